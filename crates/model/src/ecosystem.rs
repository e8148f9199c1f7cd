//! Where advisories are kept: a distribution and its release, or a language's registry.

use crate::package::{Distro, PackageFormat, PackageKey};
use crate::software::software;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A body of advisories with one naming and one version order. The names are osv.dev's, so that a reader
/// recognises them (OSV schema, "Defined ecosystems").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ecosystem {
    /// Alpine Linux.
    Alpine,
    /// Wolfi.
    Wolfi,
    /// Chainguard OS.
    Chainguard,
    /// MinimOS.
    #[serde(rename = "MinimOS")]
    MinimOs,
    /// Arch Linux. osv.dev has no name for it.
    #[serde(rename = "Arch Linux")]
    Arch,
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
    /// Red Hat Enterprise Linux, and CentOS, which takes its advisories.
    #[serde(rename = "Red Hat")]
    RedHat,
    /// AlmaLinux.
    AlmaLinux,
    /// Rocky Linux.
    #[serde(rename = "Rocky Linux")]
    RockyLinux,
    /// Oracle Linux.
    #[serde(rename = "Oracle Linux")]
    OracleLinux,
    /// Amazon Linux.
    #[serde(rename = "Amazon Linux")]
    AmazonLinux,
    /// Fedora.
    Fedora,
    /// SUSE Linux Enterprise.
    #[serde(rename = "SUSE")]
    Suse,
    /// openSUSE.
    #[serde(rename = "openSUSE")]
    OpenSuse,
    /// Photon OS.
    #[serde(rename = "Photon OS")]
    PhotonOs,
    /// Azure Linux, formerly CBL-Mariner.
    #[serde(rename = "Azure Linux")]
    AzureLinux,
    /// openEuler.
    #[serde(rename = "openEuler")]
    OpenEuler,
    /// The npm registry.
    #[serde(rename = "npm")]
    Npm,
    /// The Python Package Index.
    PyPI,
    /// Go modules.
    Go,
    /// Maven repositories.
    Maven,
    /// crates.io.
    #[serde(rename = "crates.io")]
    CratesIo,
    /// RubyGems.
    RubyGems,
    /// Packagist.
    Packagist,
    /// NuGet.
    NuGet,
    /// Bitnami's application packages.
    Bitnami,
    /// ConanCenter.
    ConanCenter,
    /// The Comprehensive R Archive Network.
    #[serde(rename = "CRAN")]
    Cran,
    /// Hackage.
    Hackage,
    /// Hex.
    Hex,
    /// Julia's General registry.
    Julia,
    /// Dart's package repository.
    Pub,
    /// Swift packages, by the address of their repository.
    #[serde(rename = "SwiftURL")]
    SwiftUrl,
    /// Software without a package manager, of which NVD's configurations speak ([`software`]). osv.dev has no name for
    /// it.
    Generic,
}

impl Ecosystem {
    /// Every ecosystem.
    pub const ALL: [Self; 35] = [
        Self::Alpine,
        Self::Wolfi,
        Self::Chainguard,
        Self::MinimOs,
        Self::Arch,
        Self::Debian,
        Self::Ubuntu,
        Self::RedHat,
        Self::AlmaLinux,
        Self::RockyLinux,
        Self::OracleLinux,
        Self::AmazonLinux,
        Self::Fedora,
        Self::Suse,
        Self::OpenSuse,
        Self::PhotonOs,
        Self::AzureLinux,
        Self::OpenEuler,
        Self::Npm,
        Self::PyPI,
        Self::Go,
        Self::Maven,
        Self::CratesIo,
        Self::RubyGems,
        Self::Packagist,
        Self::NuGet,
        Self::Bitnami,
        Self::ConanCenter,
        Self::Cran,
        Self::Hackage,
        Self::Hex,
        Self::Julia,
        Self::Pub,
        Self::SwiftUrl,
        Self::Generic,
    ];

    /// The name as osv.dev spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alpine => "Alpine",
            Self::Wolfi => "Wolfi",
            Self::Chainguard => "Chainguard",
            Self::MinimOs => "MinimOS",
            Self::Arch => "Arch Linux",
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::RedHat => "Red Hat",
            Self::AlmaLinux => "AlmaLinux",
            Self::RockyLinux => "Rocky Linux",
            Self::OracleLinux => "Oracle Linux",
            Self::AmazonLinux => "Amazon Linux",
            Self::Fedora => "Fedora",
            Self::Suse => "SUSE",
            Self::OpenSuse => "openSUSE",
            Self::PhotonOs => "Photon OS",
            Self::AzureLinux => "Azure Linux",
            Self::OpenEuler => "openEuler",
            Self::Npm => "npm",
            Self::PyPI => "PyPI",
            Self::Go => "Go",
            Self::Maven => "Maven",
            Self::CratesIo => "crates.io",
            Self::RubyGems => "RubyGems",
            Self::Packagist => "Packagist",
            Self::NuGet => "NuGet",
            Self::Bitnami => "Bitnami",
            Self::ConanCenter => "ConanCenter",
            Self::Cran => "CRAN",
            Self::Hackage => "Hackage",
            Self::Hex => "Hex",
            Self::Julia => "Julia",
            Self::Pub => "Pub",
            Self::SwiftUrl => "SwiftURL",
            Self::Generic => "Generic",
        }
    }

    /// The ecosystem of a name as osv.dev spells it, without the release.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == name)
    }

    /// How its packages are recorded.
    pub const fn format(self) -> PackageFormat {
        match self {
            Self::Alpine | Self::Wolfi | Self::Chainguard | Self::MinimOs => PackageFormat::Apk,
            Self::Arch => PackageFormat::Alpm,
            Self::Debian | Self::Ubuntu => PackageFormat::Deb,
            Self::RedHat
            | Self::AlmaLinux
            | Self::RockyLinux
            | Self::OracleLinux
            | Self::AmazonLinux
            | Self::Fedora
            | Self::Suse
            | Self::OpenSuse
            | Self::PhotonOs
            | Self::AzureLinux
            | Self::OpenEuler => PackageFormat::Rpm,
            Self::Npm => PackageFormat::Npm,
            Self::PyPI => PackageFormat::PyPi,
            Self::Go => PackageFormat::Golang,
            Self::Maven => PackageFormat::Maven,
            Self::CratesIo => PackageFormat::Cargo,
            Self::RubyGems => PackageFormat::Gem,
            Self::Packagist => PackageFormat::Composer,
            Self::NuGet => PackageFormat::NuGet,
            Self::Bitnami => PackageFormat::Bitnami,
            Self::ConanCenter => PackageFormat::Conan,
            Self::Cran => PackageFormat::Cran,
            Self::Hackage => PackageFormat::Hackage,
            Self::Hex => PackageFormat::Hex,
            Self::Julia => PackageFormat::Julia,
            Self::Pub => PackageFormat::Pub,
            Self::SwiftUrl => PackageFormat::Swift,
            Self::Generic => PackageFormat::Generic,
        }
    }

    /// The values of os-release's `ID` (freedesktop os-release(5)) that are known, each with its ecosystem.
    pub const OS_IDS: [(&str, Self); 26] = [
        ("alpine", Self::Alpine),
        ("wolfi", Self::Wolfi),
        ("chainguard", Self::Chainguard),
        ("minimos", Self::MinimOs),
        ("arch", Self::Arch),
        ("debian", Self::Debian),
        ("ubuntu", Self::Ubuntu),
        ("rhel", Self::RedHat),
        ("centos", Self::RedHat),
        ("almalinux", Self::AlmaLinux),
        ("rocky", Self::RockyLinux),
        ("ol", Self::OracleLinux),
        ("amzn", Self::AmazonLinux),
        ("fedora", Self::Fedora),
        ("sles", Self::Suse),
        ("sled", Self::Suse),
        ("sles_sap", Self::Suse),
        ("sle_hpc", Self::Suse),
        ("sle-bci", Self::Suse),
        ("opensuse", Self::OpenSuse),
        ("opensuse-leap", Self::OpenSuse),
        ("opensuse-tumbleweed", Self::OpenSuse),
        ("photon", Self::PhotonOs),
        ("azurelinux", Self::AzureLinux),
        ("mariner", Self::AzureLinux),
        ("openEuler", Self::OpenEuler),
    ];

    /// The ecosystem of an os-release `ID` (freedesktop os-release(5)).
    pub fn from_os_id(id: &str) -> Option<Self> {
        Self::OS_IDS.into_iter().find(|(known, _)| *known == id).map(|(_, ecosystem)| ecosystem)
    }

    /// Which part of `VERSION_ID` names the release that advisories are kept for; `None` for rolling ones.
    fn release_of(self, version: &str) -> Option<String> {
        let parts = |n: usize| version.split('.').take(n).collect::<Vec<_>>().join(".");
        let release = match self {
            Self::Alpine if version.is_empty() || version.contains("_alpha") || version == "edge" => "edge".to_owned(),
            Self::Alpine => format!("v{}", parts(2)),
            // The first Amazon Linux counts by month (`2018.03`); its advisories know one release.
            Self::AmazonLinux if version.starts_with("201") => "1".to_owned(),
            Self::Debian
            | Self::RedHat
            | Self::AlmaLinux
            | Self::RockyLinux
            | Self::OracleLinux
            | Self::AmazonLinux
            | Self::Fedora => parts(1),
            // Tumbleweed's `VERSION_ID` is the day of the snapshot.
            Self::OpenSuse if version.len() == 8 && !version.contains('.') => "Tumbleweed".to_owned(),
            Self::Ubuntu | Self::Suse | Self::OpenSuse | Self::PhotonOs | Self::AzureLinux => parts(2),
            Self::OpenEuler => version.to_owned(),
            Self::Wolfi
            | Self::Chainguard
            | Self::MinimOs
            | Self::Arch
            | Self::Npm
            | Self::PyPI
            | Self::Go
            | Self::Maven
            | Self::CratesIo
            | Self::RubyGems
            | Self::Packagist
            | Self::NuGet
            | Self::Bitnami
            | Self::ConanCenter
            | Self::Cran
            | Self::Hackage
            | Self::Hex
            | Self::Julia
            | Self::Pub
            | Self::SwiftUrl
            | Self::Generic => return None,
        };
        (!release.is_empty()).then_some(release)
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An ecosystem and, for distributions, the release: `Alpine:v3.10`, `Debian:12`, `npm`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EcosystemRelease {
    /// The body of advisories.
    pub ecosystem: Ecosystem,
    /// The release as osv.dev spells it after the colon (`v3.10`, `12`, `24.04`); `None` where there is none.
    pub release: Option<String>,
}

impl EcosystemRelease {
    /// For an ecosystem without releases.
    pub const fn of(ecosystem: Ecosystem) -> Self {
        Self { ecosystem, release: None }
    }

    /// Where advisories for packages of this distribution are kept; `None` when the distribution is not supported.
    pub fn of_distro(distro: &Distro) -> Option<Self> {
        let ecosystem = Ecosystem::from_os_id(&distro.id)?;
        Some(Self { ecosystem, release: ecosystem.release_of(&distro.version) })
    }

    /// Reads `Alpine:v3.10`. The release is kept as it stands; suffixes such as `:LTS` stay in it.
    pub fn from_name(name: &str) -> Option<Self> {
        let (base, release) = name.split_once(':').map_or((name, None), |(b, r)| (b, Some(r.to_owned())));
        Some(Self { ecosystem: Ecosystem::from_name(base)?, release })
    }

    /// What people read: `alpine 3.10`, `debian 12`, `npm`.
    pub fn plain(&self) -> String {
        let name = match self.ecosystem {
            Ecosystem::Generic => "software without a package manager".to_owned(),
            other => other.as_str().to_lowercase(),
        };
        match &self.release {
            Some(release) => format!("{name} {}", release.strip_prefix('v').unwrap_or(release)),
            None => name,
        }
    }
}

impl fmt::Display for EcosystemRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{}:{release}", self.ecosystem),
            None => write!(f, "{}", self.ecosystem),
        }
    }
}

impl PackageKey {
    /// Where advisories about this package are kept; `None` when its distribution is unknown or not supported,
    /// and for formats that no body of advisories is kept for.
    pub fn ecosystem(&self) -> Option<EcosystemRelease> {
        match self.format {
            PackageFormat::Apk | PackageFormat::Deb | PackageFormat::Rpm | PackageFormat::Alpm => {
                let found = EcosystemRelease::of_distro(self.distro.as_ref()?)?;
                (found.ecosystem.format() == self.format).then_some(found)
            }
            PackageFormat::Npm => Some(EcosystemRelease::of(Ecosystem::Npm)),
            PackageFormat::PyPi => Some(EcosystemRelease::of(Ecosystem::PyPI)),
            PackageFormat::Golang => Some(EcosystemRelease::of(Ecosystem::Go)),
            PackageFormat::Maven => Some(EcosystemRelease::of(Ecosystem::Maven)),
            PackageFormat::Cargo => Some(EcosystemRelease::of(Ecosystem::CratesIo)),
            PackageFormat::Gem => Some(EcosystemRelease::of(Ecosystem::RubyGems)),
            PackageFormat::Composer => Some(EcosystemRelease::of(Ecosystem::Packagist)),
            PackageFormat::NuGet => Some(EcosystemRelease::of(Ecosystem::NuGet)),
            PackageFormat::Bitnami => Some(EcosystemRelease::of(Ecosystem::Bitnami)),
            PackageFormat::Conan => Some(EcosystemRelease::of(Ecosystem::ConanCenter)),
            PackageFormat::Cran => Some(EcosystemRelease::of(Ecosystem::Cran)),
            PackageFormat::Hackage => Some(EcosystemRelease::of(Ecosystem::Hackage)),
            PackageFormat::Hex => Some(EcosystemRelease::of(Ecosystem::Hex)),
            PackageFormat::Julia => Some(EcosystemRelease::of(Ecosystem::Julia)),
            PackageFormat::Pub => Some(EcosystemRelease::of(Ecosystem::Pub)),
            PackageFormat::Swift => Some(EcosystemRelease::of(Ecosystem::SwiftUrl)),
            PackageFormat::Generic => software(&self.name).map(|_| EcosystemRelease::of(Ecosystem::Generic)),
            PackageFormat::Cocoapods
            | PackageFormat::Conda
            | PackageFormat::Cpan
            | PackageFormat::Luarocks
            | PackageFormat::Otp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_named_as_osv_names_them() {
        let check = |id: &str, version: &str, expect: &str| {
            let distro = Distro { id: id.to_owned(), version: version.to_owned() };
            let found = EcosystemRelease::of_distro(&distro).map(|e| e.to_string()).unwrap_or_default();
            assert_eq!(found, expect);
        };
        check("alpine", "3.10.2", "Alpine:v3.10");
        check("alpine", "3.21_alpha20240807", "Alpine:edge");
        check("debian", "12", "Debian:12");
        check("ubuntu", "24.04", "Ubuntu:24.04");
        check("rhel", "9.4", "Red Hat:9");
        check("wolfi", "20230201", "Wolfi");
        check("amzn", "2018.03", "Amazon Linux:1");
        check("amzn", "2", "Amazon Linux:2");
        check("amzn", "2023", "Amazon Linux:2023");
        check("opensuse-tumbleweed", "20240801", "openSUSE:Tumbleweed");
        check("opensuse-leap", "15.5", "openSUSE:15.5");
        check("minimos", "20241031", "MinimOS");
        check("arch", "20240101.0.1", "Arch Linux");
        check("openEuler", "22.03-LTS-SP3", "openEuler:22.03-LTS-SP3");
        check("sles", "15.5", "SUSE:15.5");
        check("mariner", "2.0", "Azure Linux:2.0");
        check("gentoo", "1", "");
    }
}
