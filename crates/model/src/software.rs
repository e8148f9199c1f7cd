//! Software without a package manager, and what NVD calls it.
//!
//! Not here: what NVD says about it (`intel` reads that), and how programs are found (`analyze`).
//!
//! To add one: a line in [`SOFTWARE`], with the name that an analyzer, a folder of a Nix store or a bill of materials
//! uses in `pkg:generic/NAME@VERSION`. Software that is not listed has no advisories, and a gap says so.
//!
//! Source of vendors and products: NVD's CVE records ("CVE API 2.0", `configurations`), its CPE dictionary, and the CPE
//! names in Bitnami's vulnerability database. NVD renamed some over the years without rewriting older records, hence several
//! for one program.

/// One program or library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Software {
    /// Its name in a package URL of type `generic`.
    pub name: &'static str,
    /// `vendor:product` of every CPE name that means it.
    pub products: &'static [&'static str],
    /// `vendor:product` of builds by others that share most of its code: a record that names only these does not say
    /// whether it is affected.
    pub kin: &'static [&'static str],
    /// How its versions are written.
    pub versions: Versions,
}

/// How the versions of software are written, ordered, and spelled in CPE names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Numbers, and words for what comes before a release.
    Plain,
    /// Patch letters: `1.1.1w`.
    OpenSsl,
    /// A number of the portable release: `9.3p2`; NVD leaves `p1` out.
    OpenSsh,
    /// PEP 440.
    Python,
    /// `1.8.0_392` and `8u392` are one. NVD lists of each feature release the newest that was supported, and means what
    /// came before it too (Oracle's "Critical Patch Update Advisory": "it is likely that earlier versions of affected
    /// releases are also affected").
    Java,
    /// The third number is a patch that NVD often leaves out: its `4.3` may be any `4.3.N`.
    Patched,
    /// Patch levels (`2.0.0-p247`) stand in NVD's names and not in what programs tell of themselves.
    Levelled,
}

const fn plain(name: &'static str, products: &'static [&'static str]) -> Software {
    Software { name, products, kin: &[], versions: Versions::Plain }
}

const fn versioned(name: &'static str, products: &'static [&'static str], versions: Versions) -> Software {
    Software { name, products, kin: &[], versions }
}

const NODE: &[&str] = &["nodejs:node.js", "joyent:node.js"];
const PYTHON: &[&str] = &["python:python", "python_software_foundation:python"];
const HTTPD: &[&str] = &["apache:http_server"];
const NGINX: &[&str] = &["f5:nginx", "f5:nginx_open_source", "igor_sysoev:nginx", "nginx:nginx"];
const ORACLE_JAVA: &[&str] = &["oracle:jdk", "oracle:jre", "sun:jdk", "sun:jre"];

/// Everything that is known, sorted by name.
pub const SOFTWARE: &[Software] = &[
    plain("apache-httpd", HTTPD),
    versioned("bash", &["gnu:bash"], Versions::Patched),
    versioned("bash-interactive", &["gnu:bash"], Versions::Patched),
    plain("busybox", &["busybox:busybox"]),
    plain("composer", &["getcomposer:composer"]),
    plain("curl", &["haxx:curl", "haxx:libcurl"]),
    plain("dnsmasq", &["thekelleys:dnsmasq"]),
    plain("erlang", &["erlang:erlang/otp"]),
    plain("ffmpeg", &["ffmpeg:ffmpeg"]),
    plain("git", &["git-scm:git", "git:git"]),
    plain("go", &["golang:go"]),
    plain("grafana", &["grafana:grafana"]),
    plain("gzip", &["gnu:gzip"]),
    plain("haproxy", &["haproxy:haproxy"]),
    plain("httpd", HTTPD),
    plain("jq", &["jqlang:jq", "jq_project:jq"]),
    plain("lighttpd", &["lighttpd:lighttpd"]),
    plain("lua", &["lua:lua"]),
    plain("mariadb", &["mariadb:mariadb"]),
    plain("memcached", &["memcached:memcached"]),
    plain("mysql", &["oracle:mysql", "oracle:mysql_server", "mysql:mysql"]),
    plain("nginx", NGINX),
    plain("node", NODE),
    plain("nodejs", NODE),
    Software { name: "openjdk", products: &["oracle:openjdk"], kin: ORACLE_JAVA, versions: Versions::Java },
    plain("openresty", &["openresty:openresty"]),
    versioned("openssh", &["openbsd:openssh"], Versions::OpenSsh),
    versioned("openssl", &["openssl:openssl"], Versions::OpenSsl),
    versioned("oracle-jdk", ORACLE_JAVA, Versions::Java),
    plain("perl", &["perl:perl"]),
    plain("php", &["php:php"]),
    plain("postgresql", &["postgresql:postgresql"]),
    plain("proftpd", &["proftpd:proftpd"]),
    versioned("python", PYTHON, Versions::Python),
    versioned("python3", PYTHON, Versions::Python),
    plain("redis", &["redis:redis", "redislabs:redis", "pivotal_software:redis"]),
    versioned("ruby", &["ruby-lang:ruby"], Versions::Levelled),
    plain("rust", &["rust-lang:rust"]),
    plain("squid", &["squid-cache:squid"]),
    plain("traefik", &["traefik:traefik", "containous:traefik"]),
    plain("unbound", &["nlnetlabs:unbound"]),
    plain("util-linux", &["kernel:util-linux"]),
    plain("valkey", &["lfprojects:valkey", "linuxfoundation:valkey", "valkey-io:valkey"]),
    plain("varnish", &["varnish-software:varnish_cache", "varnish_cache_project:varnish_cache"]),
    plain("wordpress", &["wordpress:wordpress"]),
    plain("xz", &["tukaani:xz"]),
    plain("zstd", &["facebook:zstandard"]),
];

/// The software that a package URL of type `generic` means by a name.
pub fn software(name: &str) -> Option<&'static Software> {
    SOFTWARE.binary_search_by(|known| known.name.cmp(name)).ok().map(|at| &SOFTWARE[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_sorted_and_named_as_nvd_names_it() {
        assert!(SOFTWARE.is_sorted_by(|a, b| a.name < b.name));
        for known in SOFTWARE {
            assert_eq!(software(known.name), Some(known));
            assert!(!known.products.is_empty(), "{}", known.name);
            for pair in known.products.iter().chain(known.kin) {
                let (vendor, product) = pair.split_once(':').expect("a vendor and a product");
                assert!(!vendor.is_empty() && !product.contains(':') && *pair == pair.to_lowercase(), "{pair}");
            }
        }
        assert_eq!(software("six"), None);
    }
}
