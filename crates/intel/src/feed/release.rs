//! The names that feeds give to releases, read as the releases that images have.
//!
//! Support that one has to subscribe to is a [`Stream`] of the release that it is for: it speaks of the same packages,
//! and its fixes are for subscribers.

use crate::record::Stream;
use model::{Ecosystem, EcosystemRelease};

/// A release, and the extended support of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) release: EcosystemRelease,
    pub(super) stream: Option<Stream>,
}

/// Reads an OSV ecosystem with its release (OSV schema, "Defined ecosystems"). `None`: an ecosystem that is not known.
///
/// What is neither a release nor extended support of one (Ubuntu's builds for FIPS, layered products of Red Hat and SUSE)
/// keeps its full name as the release, so that it matches no image.
pub(super) fn read(name: &str) -> Option<Target> {
    let (base, rest) = name.split_once(':').map_or((name, None), |(base, rest)| (base, Some(rest)));
    let ecosystem = Ecosystem::from_name(base)?;
    let plain = |release: Option<&str>| Target {
        release: EcosystemRelease { ecosystem, release: release.map(str::to_owned) },
        stream: None,
    };
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Some(plain(None)) };
    Some(match ecosystem {
        Ecosystem::Ubuntu => ubuntu(rest).unwrap_or_else(|| plain(Some(rest))),
        Ecosystem::RedHat => red_hat(rest).unwrap_or_else(|| plain(Some(rest))),
        Ecosystem::Suse => suse(rest).unwrap_or_else(|| plain(Some(rest))),
        Ecosystem::OpenSuse => plain(Some(rest.strip_prefix("Leap ").unwrap_or(rest))),
        Ecosystem::Alpine
        | Ecosystem::Wolfi
        | Ecosystem::Chainguard
        | Ecosystem::MinimOs
        | Ecosystem::Arch
        | Ecosystem::Debian
        | Ecosystem::AlmaLinux
        | Ecosystem::RockyLinux
        | Ecosystem::OracleLinux
        | Ecosystem::AmazonLinux
        | Ecosystem::Fedora
        | Ecosystem::PhotonOs
        | Ecosystem::OpenEuler => plain(Some(rest)),
        // OSV counts whole releases (`Azure Linux:3`), os-release and the OVAL documents say `3.0`.
        Ecosystem::AzureLinux if rest.contains('.') => plain(Some(rest)),
        Ecosystem::AzureLinux => plain(Some(&format!("{rest}.0"))),
        // A language's registry has no releases; what stands there names a repository (`Maven:https://…`).
        Ecosystem::Npm
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
        | Ecosystem::Generic => plain(None),
    })
}

/// Canonical's support beyond the public one. Versions that are built for it say so: `1.2-3ubuntu0.1~esm2`.
pub(super) fn ubuntu_pro() -> Stream {
    Stream { name: "Ubuntu Pro".to_owned(), marker: "esm".to_owned(), clears_only: false }
}

/// `22.04:LTS`, `23.10`, `Pro:18.04:LTS`.
fn ubuntu(rest: &str) -> Option<Target> {
    let (rest, stream) = rest.strip_prefix("Pro:").map_or((rest, None), |rest| (rest, Some(ubuntu_pro())));
    let number = rest.strip_suffix(":LTS").unwrap_or(rest);
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let release = EcosystemRelease { ecosystem: Ecosystem::Ubuntu, release: Some(number.to_owned()) };
    is_number.then_some(Target { release, stream })
}

/// A product of Red Hat's CPE names: `enterprise_linux:9::appstream` is RHEL 9; `rhel_eus:8.8::baseos` is support for
/// subscribers that stays at 8.8, whose builds end in `.el8_8`; `rhel_els:7` is support for subscribers beyond its end.
/// Layered products are none of these.
pub(super) fn red_hat(product: &str) -> Option<Target> {
    let (name, rest) = product.split_once(':')?;
    let version = rest.split(':').next()?;
    let (major, minor) = version.split_once('.').map_or((version, None), |(major, minor)| (major, Some(minor)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(major) || !minor.is_none_or(is_number) {
        return None;
    }
    let stream = match (name, minor) {
        ("enterprise_linux", None) => None,
        ("rhel_els", _) => Some(Stream { name: "RHEL ELS".to_owned(), marker: String::new(), clears_only: false }),
        ("rhel_eus" | "rhel_aus" | "rhel_e4s" | "rhel_tus", Some(minor)) => Some(Stream {
            name: format!("RHEL {} {version}", name["rhel_".len()..].to_ascii_uppercase()),
            marker: format!(".el{major}_{minor}"),
            clears_only: true,
        }),
        _ => return None,
    };
    let release = EcosystemRelease { ecosystem: Ecosystem::RedHat, release: Some(major.to_owned()) };
    Some(Target { release, stream })
}

/// The minor release of RHEL that a build was made for, as its release tag says: `.el9_4` is 9.4.
pub(super) fn minor_of_build(version: &str) -> Option<Stream> {
    let at = version.find(".el")?;
    let (major, rest) = version[at + ".el".len()..].split_once('_')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| Stream {
        name: format!("RHEL {major}.{minor}"),
        marker: format!(".el{major}_{minor}"),
        clears_only: true,
    })
}

/// A product of SUSE's without the word SUSE: `Linux Enterprise Module for Basesystem 15 SP5` is SLES 15.5,
/// `Linux Enterprise Server 15 SP2-LTSS` is its support for subscribers. Other products are not.
pub(super) fn suse(product: &str) -> Option<Target> {
    let is_base = ["Linux Enterprise Server", "Linux Enterprise Desktop", "Linux Enterprise Module for "]
        .iter()
        .any(|base| product.starts_with(base));
    if !is_base || product.contains("SAP") || product.contains("Teradata") {
        return None;
    }
    let long_term = product.strip_suffix("-LTSS").or_else(|| product.strip_suffix(" LTSS"));
    let stream = long_term.map(|_| Stream { name: "SUSE LTSS".to_owned(), marker: String::new(), clears_only: false });
    let words: Vec<&str> = long_term.unwrap_or(product).split(' ').collect();
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let release = match words.as_slice() {
        [.., version, pack] if number(version) && pack.strip_prefix("SP").is_some_and(number) => {
            format!("{version}.{}", &pack[2..])
        }
        [.., version] if number(version) => (*version).to_owned(),
        _ => return None,
    };
    Some(Target { release: EcosystemRelease { ecosystem: Ecosystem::Suse, release: Some(release) }, stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_name_their_minor_release() {
        let check = |version: &str, expect: &str| {
            let found = minor_of_build(version).map(|stream| format!("{} {}", stream.name, stream.marker));
            assert_eq!(found.unwrap_or_default(), expect, "{version}");
        };
        check("3.9.18-3.el9_4.5", "RHEL 9.4 .el9_4");
        check("32:9.11.36-14.el8_10", "RHEL 8.10 .el8_10");
        check("2.2.5-3.el8_1.2", "RHEL 8.1 .el8_1");
        check("3.9.19-8.el9", "");
        check("1.0.2k-21.el7_fips", "");
    }

    #[test]
    fn osv_releases_are_read_as_image_releases() {
        let check = |name: &str, expect: &str| {
            let found = read(name).map(|target| {
                let stream = target.stream.map(|stream| format!(" for {}", stream.name)).unwrap_or_default();
                format!("{}{stream}", target.release)
            });
            assert_eq!(found.unwrap_or_default(), expect, "{name}");
        };
        check("Alpine:v3.10", "Alpine:v3.10");
        check("Debian:12", "Debian:12");
        check("Ubuntu:22.04:LTS", "Ubuntu:22.04");
        check("Ubuntu:23.10", "Ubuntu:23.10");
        check("Ubuntu:Pro:18.04:LTS", "Ubuntu:18.04 for Ubuntu Pro");
        check("Ubuntu:Pro:FIPS:18.04:LTS", "Ubuntu:Pro:FIPS:18.04:LTS");
        check("Red Hat:enterprise_linux:9::appstream", "Red Hat:9");
        check("Red Hat:rhel_eus:8.8::baseos", "Red Hat:8 for RHEL EUS 8.8");
        check("Red Hat:rhel_els:7", "Red Hat:7 for RHEL ELS");
        check("Red Hat:openshift:4.14::el9", "Red Hat:openshift:4.14::el9");
        check("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:15.5");
        check("SUSE:Linux Enterprise Server 15 SP2-LTSS", "SUSE:15.2 for SUSE LTSS");
        check("SUSE:Linux Enterprise Server 11 SP4 LTSS", "SUSE:11.4 for SUSE LTSS");
        check("SUSE:Package Hub 12", "SUSE:Package Hub 12");
        check("openSUSE:Leap 15.5", "openSUSE:15.5");
        check("openSUSE:Tumbleweed", "openSUSE:Tumbleweed");
        check("PyPI", "PyPI");
        check("Maven:https://repo.example.org", "Maven");
        check("Hex", "Hex");
        check("Azure Linux:3", "Azure Linux:3.0");
        check("GHC", "");
        check("alpine:v3.10", "");
    }
}
