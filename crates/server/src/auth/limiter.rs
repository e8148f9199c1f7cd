//! Slows down guessing: failed logins per address.
//!
//! Invariant: bounded memory. When there is no room for another address, the oldest window gives way.

use crate::limits::{LOGIN_ADDRESSES_MAX, LOGIN_FAILURES_MAX, LOGIN_WINDOW_SECONDS};
use model::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    failures: u32,
}

impl Window {
    fn left_seconds(&self, now: Timestamp) -> i64 {
        LOGIN_WINDOW_SECONDS - now.duration_since(self.since).as_secs()
    }
}

/// Counts failures.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

impl Limiter {
    /// May this address try?
    ///
    /// # Errors
    /// The seconds after which it may.
    pub(crate) fn check(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let windows = self.windows.lock().expect("no panic while the lock is held");
        match windows.get(&network(address)) {
            Some(window) if window.failures >= LOGIN_FAILURES_MAX && window.left_seconds(now) > 0 => {
                Err(u64::try_from(window.left_seconds(now)).unwrap_or(1))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// It tried and failed.
    pub(crate) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut windows = self.windows.lock().expect("no panic while the lock is held");
        if windows.len() >= LOGIN_ADDRESSES_MAX && !windows.contains_key(&network(address)) {
            make_room(&mut windows, now);
        }
        let window = windows.entry(network(address)).or_insert(Window { since: now, failures: 0 });
        if window.left_seconds(now) <= 0 {
            *window = Window { since: now, failures: 0 };
        }
        window.failures += 1;
    }

    /// It tried and succeeded.
    pub(crate) fn succeeded(&self, address: IpAddr) {
        self.windows.lock().expect("no panic while the lock is held").remove(&network(address));
    }
}

/// One household has a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        },
    }
}

fn make_room(windows: &mut HashMap<IpAddr, Window>, now: Timestamp) {
    windows.retain(|_, window| window.left_seconds(now) > 0);
    if windows.len() >= LOGIN_ADDRESSES_MAX
        && let Some(oldest) = windows.iter().min_by_key(|(_, window)| window.since).map(|(address, _)| *address)
    {
        windows.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn an_address_waits_after_too_many_failures() {
        let limiter = Limiter::default();
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for second in 0..i64::from(LOGIN_FAILURES_MAX) {
            assert_eq!(limiter.check(a, at(second)), Ok(()));
            limiter.failed(a, at(second));
        }
        assert_eq!(limiter.check(a, at(100)), Err(200));
        assert_eq!(limiter.check(b, at(100)), Ok(()));
        assert_eq!(limiter.check(a, at(LOGIN_WINDOW_SECONDS)), Ok(()));
    }

    #[test]
    fn neighbours_in_one_network_count_together() {
        let limiter = Limiter::default();
        for host in 1..=LOGIN_FAILURES_MAX {
            limiter.failed(format!("2001:db8::{host}").parse().unwrap(), at(0));
        }
        assert!(limiter.check("2001:db8::ffff".parse().unwrap(), at(1)).is_err());
        assert!(limiter.check("2001:db8:0:1::1".parse().unwrap(), at(1)).is_ok());
    }
}
