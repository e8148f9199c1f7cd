//! When to try again: exponential backoff with jitter, and what the other side asked for in `Retry-After`.

use crate::{Error, ErrorKind, Limits, Result};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// The waits between the attempts for one thing.
#[derive(Debug)]
pub(crate) struct Backoff<'a> {
    limits: &'a Limits,
    failures: u32,
}

impl<'a> Backoff<'a> {
    /// No failure yet.
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, failures: 0 }
    }

    /// The wait before the next attempt, or `None` when `error` ends the matter: it is not transient, the
    /// budget of attempts is spent, or the other side wants a longer pause than a caller can be kept for.
    pub(crate) fn pause(&mut self, error: &Error) -> Option<Duration> {
        self.failures += 1;
        let budget = match error.kind {
            ErrorKind::Transient { .. } => self.limits.attempts_max,
            // A host that is not there is asked twice: mistyped names must not look like a hang.
            ErrorKind::Unreachable => self.limits.attempts_max.min(2),
            ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Conflict
            | ErrorKind::Malformed
            | ErrorKind::LimitExceeded
            | ErrorKind::Mismatch
            | ErrorKind::Unsupported
            | ErrorKind::Untrusted
            | ErrorKind::Forbidden
            | ErrorKind::Internal => return None,
        };
        if self.failures >= budget {
            return None;
        }
        match error.retry_after() {
            Some(asked) if asked > self.limits.backoff_max => None,
            Some(asked) => Some(asked.max(self.step())),
            None => Some(self.step()),
        }
    }

    /// The same, for what is worth the whole budget even when the host is gone for a moment.
    pub(crate) fn pause_patiently(&mut self, error: &Error) -> Option<Duration> {
        if error.kind == ErrorKind::Unreachable {
            return self.pause(&Error::new(ErrorKind::Transient { retry_after: None }, ""));
        }
        self.pause(error)
    }

    /// Progress was made: failures before do not count any more.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half and all of the doubled wait, so that many clients do not come back at once.
    fn step(&self) -> Duration {
        let doubled = self.limits.backoff.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        doubled.min(self.limits.backoff_max).mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Runs `attempt` until it succeeds, fails for good, or the budget is spent.
pub(crate) async fn retrying<T, F, A>(limits: &Limits, mut attempt: F) -> Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T>>,
{
    let mut backoff = Backoff::new(limits);
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(pause) = backoff.pause(&error) else { return Err(error) };
        tracing::debug!(%error, pause_ms = pause.as_millis(), "trying again");
        tokio::time::sleep(pause).await;
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is taken relative to the answer's own
/// `Date`, so that no clock is needed and a wrong one does no harm.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?;
    let sent = http_date(headers.get(DATE)?.to_str().ok()?.trim())?;
    Some(Duration::from_secs(u64::try_from(until.as_second() - sent.as_second()).unwrap_or(0)))
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |after: &str, date: Option<&str>, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(after).unwrap());
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_str(date).unwrap());
            }
            assert_eq!(retry_after(&headers), expect.map(Duration::from_secs), "{after}");
        };
        check("7", None, Some(7));
        let sent = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        check("Sun, 06 Nov 1994 08:50:37 GMT", sent, Some(60));
        check("Sun, 06 Nov 1994 08:00:00 GMT", sent, Some(0));
        check("Sun, 06 Nov 1994 08:50:37 GMT", None, None);
        check("soon", sent, None);
        check("-1", None, None);
    }

    #[test]
    fn waits_grow_and_the_budget_ends() {
        let limits = Limits { attempts_max: 4, backoff: Duration::from_millis(100), ..Limits::default() };
        let error = Error::new(ErrorKind::Transient { retry_after: None }, "x");
        let mut backoff = Backoff::new(&limits);
        for doubled in [100, 200, 400] {
            let pause = backoff.pause(&error).unwrap().as_millis();
            assert!((doubled / 2..=doubled).contains(&pause), "{pause} for {doubled}");
        }
        assert_eq!(backoff.pause(&error), None);
        let asked = Error::new(ErrorKind::Transient { retry_after: Some(Duration::from_secs(3)) }, "x");
        assert_eq!(Backoff::new(&limits).pause(&asked), Some(Duration::from_secs(3)));
        let long = Error::new(ErrorKind::Transient { retry_after: Some(Duration::from_secs(3600)) }, "x");
        assert_eq!(Backoff::new(&limits).pause(&long), None);
        assert_eq!(Backoff::new(&limits).pause(&Error::new(ErrorKind::Denied, "x")), None);
    }
}
