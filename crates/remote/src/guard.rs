//! The address guard: where Pratique never connects to, whatever a user, a registry or a redirect says.
//!
//! Private and loopback registries are the normal case and allowed unless the operator denies them; link-local
//! and cloud-metadata addresses never are. The check runs on literal addresses in URLs and, as the resolver of
//! the HTTP client, on what a name resolved to: the very addresses that are connected to, so that a name cannot
//! resolve to something else between check and use.
//!
//! Behind a forward proxy the proxy resolves names; only literal addresses and well-known metadata names are
//! checked there.

use crate::{Error, ErrorKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// Decides about addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Refuse private and loopback addresses too.
    pub(crate) deny_private: bool,
    /// Hosts of the configured forward proxies: the operator chose them, private or not.
    pub(crate) proxies: Arc<[String]>,
}

/// Why an address was refused; travels as the cause inside the HTTP client's errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    host: String,
    why: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: Pratique does not connect to it", self.host, self.why)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorKind::Forbidden, refused.to_string())
    }
}

impl Guard {
    /// A guard that knows the forward proxies of the environment.
    pub(crate) fn new(deny_private: bool) -> Self {
        Self { deny_private, proxies: proxy_hosts() }
    }

    /// Checks the literal address or the name in a URL, before any connection.
    pub(crate) fn check_url(&self, url: &Url) -> Result<()> {
        let refuse = |why| Refused { host: url.host_str().unwrap_or_default().to_owned(), why };
        let verdict = match url.host() {
            None => return Err(Error::new(ErrorKind::Malformed, "the address names no host")),
            Some(Host::Ipv4(address)) => self.refusal(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.refusal(IpAddr::V6(address)),
            Some(Host::Domain(name)) => metadata_name(name),
        };
        match verdict {
            Some(why) => Err(refuse(why).into()),
            None => Ok(()),
        }
    }

    /// Keeps the addresses of `host` that may be connected to.
    pub(crate) fn allowed(&self, host: &str, found: Vec<SocketAddr>) -> std::result::Result<Vec<SocketAddr>, Refused> {
        if self.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(host)) {
            return Ok(found);
        }
        let mut why = None;
        let mut kept = Vec::with_capacity(found.len());
        for address in found {
            match self.refusal(address.ip()) {
                Some(reason) => why = Some(reason),
                None => kept.push(address),
            }
        }
        match why {
            Some(why) if kept.is_empty() => Err(Refused { host: host.to_owned(), why }),
            Some(_) | None => Ok(kept),
        }
    }

    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let address = embedded_v4(address).map_or(address, IpAddr::V4);
        if is_metadata(address) {
            return Some("is a cloud-metadata address");
        }
        if is_link_local(address) {
            return Some("is a link-local address");
        }
        if is_group(address) {
            return Some("is a multicast or broadcast address");
        }
        (self.deny_private && is_private(address)).then_some("is a private address, and private addresses are denied")
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let kept = guard.allowed(&host, found)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:0:0/96`), NAT64 (`64:ff9b::/96`,
/// RFC 6052) and 6to4 (`2002::/16`, RFC 3056).
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(v4);
    }
    let four = |a: u16, b: u16| {
        let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => Some(four(a, b)),
        _ => None,
    }
}

/// Metadata services outside of the link-local range, and two of the IPv6 ones: Alibaba, Oracle, Azure's wire
/// server, Amazon and Google over IPv6.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            matches!(
                v4.octets(),
                [169, 254, 169, 254 | 253 | 123] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16]
            )
        }
        IpAddr::V6(v6) => {
            v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || v6 == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

fn metadata_name(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let known = matches!(name.as_str(), "metadata.google.internal" | "metadata.goog" | "instance-data.ec2.internal");
    known.then_some("is a cloud-metadata service")
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Not of the public internet: RFC 1918, loopback, unspecified, carrier-grade NAT, IPv6 unique local, and the
/// blocks kept for documentation and benchmarks.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || a == 0
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (v4.octets()[..3] == [192, 0, 0])
                || a >= 240
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || first & 0xffc0 == 0xfec0
        }
    }
}

/// The hosts that the proxy variables of the environment name.
fn proxy_hosts() -> Arc<[String]> {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|value| {
            let url = if value.contains("://") { value } else { format!("http://{value}") };
            Url::parse(&url).ok()?.host_str().map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, url: &str, expect: &str) {
        let found = match guard.check_url(&Url::parse(url).unwrap()) {
            Ok(()) => "goes".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expect), "{url}: {found}");
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_reached() {
        let guard = Guard::default();
        check(&guard, "http://169.254.169.254/latest/meta-data", "cloud-metadata");
        check(&guard, "http://2852039166/", "cloud-metadata");
        check(&guard, "http://0xa9fea9fe/", "cloud-metadata");
        check(&guard, "http://169.254.1.1/", "link-local");
        check(&guard, "http://[fe80::1]/", "link-local");
        check(&guard, "http://[::ffff:169.254.169.254]/", "cloud-metadata");
        check(&guard, "http://[64:ff9b::a9fe:a9fe]/", "cloud-metadata");
        check(&guard, "http://[2002:a9fe:a9fe::1]/", "cloud-metadata");
        check(&guard, "http://[fd00:ec2::254]/", "cloud-metadata");
        check(&guard, "http://100.100.100.200/", "cloud-metadata");
        check(&guard, "http://metadata.google.internal./", "cloud-metadata");
        check(&guard, "http://239.1.1.1/", "multicast");
        check(&guard, "http://127.0.0.1:5000/", "goes");
        check(&guard, "http://10.1.2.3/", "goes");
        check(&guard, "http://[fd00::1]/", "goes");
    }

    #[test]
    fn private_addresses_can_be_denied() {
        let guard = Guard { deny_private: true, proxies: Arc::default() };
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fd00::1]",
            "[::]",
        ] {
            check(&guard, &format!("http://{private}/"), "private");
        }
        check(&guard, "http://1.1.1.1/", "goes");
        check(&guard, "http://[2606:4700::1]/", "goes");
    }

    #[test]
    fn resolved_addresses_are_filtered_and_refused_when_none_is_left() {
        let guard = Guard { deny_private: true, proxies: ["proxy.lan".to_owned()].into() };
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let kept = guard.allowed("mixed.example", vec![address("169.254.169.254"), address("1.1.1.1")]);
        assert_eq!(kept, Ok(vec![address("1.1.1.1")]));
        let none = guard.allowed("evil.example", vec![address("169.254.169.254"), address("fe80::1")]).unwrap_err();
        assert!(Error::from(none).to_string().contains("evil.example"));
        assert!(guard.allowed("registry.lan", vec![address("10.0.0.1")]).is_err());
        assert!(guard.allowed("proxy.lan", vec![address("10.0.0.1")]).is_ok());
    }
}
