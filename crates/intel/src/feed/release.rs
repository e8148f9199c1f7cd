//! The names that osv.dev gives to ecosystems and their releases, read as the releases that images have.

use model::{Ecosystem, EcosystemRelease};

/// Reads an OSV ecosystem with its release (OSV schema, "Defined ecosystems"). `None`: an ecosystem that is not known.
///
/// Support that one has to subscribe to (Ubuntu Pro, RHEL EUS, SUSE LTSS) keeps its full name as the release, so that
/// it matches no image that does not say that it is subscribed.
pub(super) fn read(name: &str) -> Option<EcosystemRelease> {
    let (base, rest) = name.split_once(':').map_or((name, None), |(base, rest)| (base, Some(rest)));
    let ecosystem = Ecosystem::from_name(base)?;
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { return Some(EcosystemRelease::of(ecosystem)) };
    let release = match ecosystem {
        Ecosystem::Ubuntu => rest.strip_suffix(":LTS").filter(|r| !r.contains(':')).unwrap_or(rest).to_owned(),
        Ecosystem::RedHat => red_hat(rest).unwrap_or(rest).to_owned(),
        Ecosystem::Suse => suse(rest).unwrap_or_else(|| rest.to_owned()),
        Ecosystem::OpenSuse => rest.strip_prefix("Leap ").unwrap_or(rest).to_owned(),
        Ecosystem::Alpine
        | Ecosystem::Wolfi
        | Ecosystem::Chainguard
        | Ecosystem::Debian
        | Ecosystem::AlmaLinux
        | Ecosystem::RockyLinux
        | Ecosystem::OracleLinux
        | Ecosystem::AmazonLinux
        | Ecosystem::Fedora
        | Ecosystem::PhotonOs
        | Ecosystem::OpenEuler => rest.to_owned(),
        // osv.dev calls 3.0 `Azure Linux:3`.
        Ecosystem::AzureLinux if !rest.contains('.') => format!("{rest}.0"),
        Ecosystem::AzureLinux => rest.to_owned(),
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
        | Ecosystem::SwiftUrl => return Some(EcosystemRelease::of(ecosystem)),
    };
    Some(EcosystemRelease { ecosystem, release: Some(release) })
}

/// `enterprise_linux:9::appstream` is RHEL 9; `rhel_eus:8.8::baseos` and layered products are not.
fn red_hat(rest: &str) -> Option<&str> {
    let version = rest.strip_prefix("enterprise_linux:")?.split(':').next()?;
    version.bytes().all(|b| b.is_ascii_digit()).then_some(version)
}

/// `Linux Enterprise Module for Basesystem 15 SP5` is SLES 15.5; `… 15 SP2-LTSS` and other products are not.
fn suse(rest: &str) -> Option<String> {
    let is_base = ["Linux Enterprise Server", "Linux Enterprise Desktop", "Linux Enterprise Module for "]
        .iter()
        .any(|product| rest.starts_with(product));
    if !is_base || rest.contains("SAP") {
        return None;
    }
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    match words.as_slice() {
        [.., version, pack] if number(version) && pack.strip_prefix("SP").is_some_and(number) => {
            Some(format!("{version}.{}", &pack[2..]))
        }
        [.., version] if number(version) => Some((*version).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn osv_releases_are_read_as_image_releases() {
        let check = |name: &str, expect: &str| {
            assert_eq!(read(name).map(|r| r.to_string()).unwrap_or_default(), expect, "{name}");
        };
        check("Alpine:v3.10", "Alpine:v3.10");
        check("Debian:12", "Debian:12");
        check("Ubuntu:22.04:LTS", "Ubuntu:22.04");
        check("Ubuntu:23.10", "Ubuntu:23.10");
        check("Ubuntu:Pro:18.04:LTS", "Ubuntu:Pro:18.04:LTS");
        check("Red Hat:enterprise_linux:9::appstream", "Red Hat:9");
        check("Red Hat:rhel_eus:8.8::baseos", "Red Hat:rhel_eus:8.8::baseos");
        check("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:15.5");
        check("SUSE:Linux Enterprise Server 15 SP2-LTSS", "SUSE:Linux Enterprise Server 15 SP2-LTSS");
        check("openSUSE:Leap 15.5", "openSUSE:15.5");
        check("PyPI", "PyPI");
        check("Maven:https://repo.example.org", "Maven");
        check("Hex", "Hex");
        check("Azure Linux:3", "Azure Linux:3.0");
        check("GHC", "");
        check("alpine:v3.10", "");
    }
}
