//! Under which names a package is looked up: the same function for what a feed says and for what is installed.

use model::{Ecosystem, EcosystemRelease, PackageFormat, PackageKey};

/// A name under which advisories about a package may be kept, and the version that they compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The name, normalised.
    pub(crate) name: String,
    /// The version as found.
    pub(crate) version: String,
    /// It is the installed package's own name.
    pub(crate) is_binary: bool,
    /// It is the source package's name.
    pub(crate) is_source: bool,
    /// It is the name that this distribution's advisories use when they do not say which they mean.
    pub(crate) is_habit: bool,
}

/// Which of a distribution's two names its advisories use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The installed package's own.
    Binary,
    /// The source package's (origin, source RPM), with the source's version.
    Source,
    /// Either: records of both sorts occur.
    Both,
}

/// Alpine's secdb and Debian's tracker name sources; errata of the RHEL family list the binary packages that an
/// update ships; Rocky, SUSE and openEuler publish source names in OSV (`arch=source` purls or no architecture).
const fn naming(ecosystem: Ecosystem) -> Naming {
    match ecosystem {
        Ecosystem::Alpine
        | Ecosystem::Debian
        | Ecosystem::Ubuntu
        | Ecosystem::RockyLinux
        | Ecosystem::Suse
        | Ecosystem::OpenSuse
        | Ecosystem::OpenEuler => Naming::Source,
        Ecosystem::Wolfi | Ecosystem::Chainguard | Ecosystem::MinimOs | Ecosystem::PhotonOs | Ecosystem::AzureLinux => {
            Naming::Both
        }
        Ecosystem::RedHat
        | Ecosystem::AlmaLinux
        | Ecosystem::OracleLinux
        | Ecosystem::AmazonLinux
        | Ecosystem::Fedora
        | Ecosystem::Arch
        | Ecosystem::Npm
        | Ecosystem::PyPI
        | Ecosystem::Go
        | Ecosystem::Maven
        | Ecosystem::CratesIo
        | Ecosystem::RubyGems
        | Ecosystem::Packagist
        | Ecosystem::NuGet
        | Ecosystem::Bitnami
        | Ecosystem::ConanCenter
        | Ecosystem::Cran
        | Ecosystem::Hackage
        | Ecosystem::Hex
        | Ecosystem::Julia
        | Ecosystem::Pub
        | Ecosystem::SwiftUrl
        | Ecosystem::Generic => Naming::Binary,
    }
}

/// Distributions of which some feeds name sources and others installed packages, and say which they do
/// ([`Level`](crate::record::Level)): Red Hat's VEX names sources where there is no fix, SUSE's names installed
/// packages, Rocky's errata too.
const fn has_both_names(ecosystem: Ecosystem) -> bool {
    matches!(ecosystem, Ecosystem::RedHat | Ecosystem::Suse | Ecosystem::OpenSuse | Ecosystem::RockyLinux)
}

/// Names and versions to look a package up by, the deciding one first.
pub(crate) fn candidates(key: &PackageKey, ecosystem: Ecosystem) -> Vec<Candidate> {
    let habit = naming(ecosystem);
    let candidate = |name: &str, version: &str, is_binary: bool, is_source: bool| Candidate {
        name: normalise(ecosystem, name),
        version: version.to_owned(),
        is_binary,
        is_source,
        is_habit: match habit {
            Naming::Binary => is_binary,
            Naming::Source => is_source,
            Naming::Both => true,
        },
    };
    let Some(source) = key.source.as_ref().filter(|source| source.name != key.name) else {
        // RPM's source file name has no epoch, and the installed version has.
        let of_source = key.source.as_ref().filter(|_| habit != Naming::Binary && key.format != PackageFormat::Rpm);
        let version = of_source.map_or(&key.version, |source| &source.version);
        return vec![candidate(&key.name, version, true, true)];
    };
    let of_source = candidate(&source.name, &source.version, false, true);
    let of_binary = candidate(&key.name, &key.version, true, false);
    match habit {
        Naming::Binary | Naming::Source if has_both_names(ecosystem) => vec![of_source, of_binary],
        Naming::Both => vec![of_source, of_binary],
        Naming::Binary => vec![of_binary],
        Naming::Source => vec![of_source],
    }
}

/// Where a package's advisories are kept: the same (ecosystem and release, name) pairs that
/// [`Changes::packages`](crate::Changes) lists, so that a change finds its packages. Empty when the distribution is
/// unknown or not supported.
pub fn lookup_keys(key: &PackageKey) -> Vec<(EcosystemRelease, String)> {
    let Some(release) = key.ecosystem() else { return Vec::new() };
    candidates(key, release.ecosystem).into_iter().map(|c| (release.clone(), c.name)).collect()
}

/// One spelling for names that a registry treats as equal: PEP 503 for Python, case folding for NuGet, Packagist
/// and Bitnami, the bare address for Swift. Others are case-sensitive.
pub(crate) fn normalise(ecosystem: Ecosystem, name: &str) -> String {
    match ecosystem {
        Ecosystem::PyPI => pep503(name),
        Ecosystem::NuGet | Ecosystem::Packagist | Ecosystem::Bitnami => name.to_lowercase(),
        Ecosystem::SwiftUrl => swift(name),
        Ecosystem::Alpine
        | Ecosystem::Wolfi
        | Ecosystem::Chainguard
        | Ecosystem::MinimOs
        | Ecosystem::Arch
        | Ecosystem::Debian
        | Ecosystem::Ubuntu
        | Ecosystem::RedHat
        | Ecosystem::AlmaLinux
        | Ecosystem::RockyLinux
        | Ecosystem::OracleLinux
        | Ecosystem::AmazonLinux
        | Ecosystem::Fedora
        | Ecosystem::Suse
        | Ecosystem::OpenSuse
        | Ecosystem::PhotonOs
        | Ecosystem::AzureLinux
        | Ecosystem::OpenEuler
        | Ecosystem::Npm
        | Ecosystem::Go
        | Ecosystem::Maven
        | Ecosystem::CratesIo
        | Ecosystem::RubyGems
        | Ecosystem::ConanCenter
        | Ecosystem::Cran
        | Ecosystem::Hackage
        | Ecosystem::Hex
        | Ecosystem::Julia
        | Ecosystem::Pub
        | Ecosystem::Generic => name.to_owned(),
    }
}

/// Lower-case, and runs of `-`, `_` and `.` become one `-` (PEP 503, "Normalized Names").
fn pep503(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut in_run = false;
    for letter in name.chars() {
        if matches!(letter, '-' | '_' | '.') {
            if !in_run {
                out.push('-');
            }
            in_run = true;
        } else {
            out.extend(letter.to_lowercase());
            in_run = false;
        }
    }
    out
}

/// The address of a repository without how it is reached: advisories spell it with and without `https://` and `.git`,
/// and hosts of repositories do not tell cases apart.
fn swift(address: &str) -> String {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest).trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PackageFormat;
    use model::package::{Distro, SourcePackage};

    #[test]
    fn python_names_are_normalised_as_pep_503_says() {
        let check = |name: &str, expect: &str| assert_eq!(normalise(Ecosystem::PyPI, name), expect);
        check("Django", "django");
        check("zope.interface", "zope-interface");
        check("ruamel_.-yaml", "ruamel-yaml");
    }

    #[test]
    fn swift_packages_are_named_by_their_repository() {
        let check = |name: &str| assert_eq!(normalise(Ecosystem::SwiftUrl, name), "github.com/vapor/vapor");
        check("github.com/vapor/vapor");
        check("https://github.com/Vapor/vapor.git");
    }

    #[test]
    fn debian_packages_are_looked_up_by_source() {
        let mut key = PackageKey::new(PackageFormat::Deb, "libssl3", "3.0.11-1~deb12u1+b1");
        key.distro = Some(Distro { id: "debian".into(), version: "12".into() });
        key.source = Some(SourcePackage { name: "openssl".into(), version: "3.0.11-1~deb12u1".into() });
        let found = lookup_keys(&key);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.to_string(), "Debian:12");
        assert_eq!(found[0].1, "openssl");
        assert_eq!(candidates(&key, Ecosystem::Debian)[0].version, "3.0.11-1~deb12u1");
    }
}
