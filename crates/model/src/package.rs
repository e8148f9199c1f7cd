//! Installed software: what a package database, a manifest or a binary says about itself.

use crate::evidence::{Evidence, Place};
use crate::purl::{PackageParts, Purl};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a package is recorded; the purl type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageFormat {
    /// Alpine's package format.
    Apk,
    /// Debian's package format.
    Deb,
    /// RPM.
    Rpm,
    /// Node.js.
    Npm,
    /// Python.
    PyPi,
    /// Go modules.
    Golang,
    /// Java artifacts.
    Maven,
    /// Rust crates.
    Cargo,
    /// Ruby gems.
    Gem,
    /// PHP packages.
    Composer,
    /// .NET packages.
    NuGet,
    /// Bitnami's application packages.
    Bitnami,
    /// Arch Linux's package format.
    Alpm,
    /// CocoaPods.
    Cocoapods,
    /// Conan's C and C++ packages.
    Conan,
    /// Conda.
    Conda,
    /// Perl distributions.
    Cpan,
    /// R packages.
    Cran,
    /// Software without a package manager of its own: well-known programs, WordPress, what lies in a Nix store.
    Generic,
    /// Haskell packages.
    Hackage,
    /// Elixir and Erlang packages.
    Hex,
    /// Julia packages.
    Julia,
    /// Lua rocks.
    Luarocks,
    /// Applications that are part of Erlang/OTP or Elixir.
    Otp,
    /// Dart packages.
    Pub,
    /// Swift packages.
    Swift,
}

impl PackageFormat {
    /// Every format.
    pub const ALL: [Self; 26] = [
        Self::Apk,
        Self::Deb,
        Self::Rpm,
        Self::Npm,
        Self::PyPi,
        Self::Golang,
        Self::Maven,
        Self::Cargo,
        Self::Gem,
        Self::Composer,
        Self::NuGet,
        Self::Bitnami,
        Self::Alpm,
        Self::Cocoapods,
        Self::Conan,
        Self::Conda,
        Self::Cpan,
        Self::Cran,
        Self::Generic,
        Self::Hackage,
        Self::Hex,
        Self::Julia,
        Self::Luarocks,
        Self::Otp,
        Self::Pub,
        Self::Swift,
    ];

    /// The purl type (purl specification, `PURL-TYPES`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Cargo => "cargo",
            Self::Gem => "gem",
            Self::Composer => "composer",
            Self::NuGet => "nuget",
            Self::Bitnami => "bitnami",
            Self::Alpm => "alpm",
            Self::Cocoapods => "cocoapods",
            Self::Conan => "conan",
            Self::Conda => "conda",
            Self::Cpan => "cpan",
            Self::Cran => "cran",
            Self::Generic => "generic",
            Self::Hackage => "hackage",
            Self::Hex => "hex",
            Self::Julia => "julia",
            Self::Luarocks => "luarocks",
            Self::Otp => "otp",
            Self::Pub => "pub",
            Self::Swift => "swift",
        }
    }

    /// The format of a purl type.
    pub fn from_purl_type(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == kind)
    }

    /// Is it a distribution's own format, whose advisories depend on the release?
    pub const fn is_os(self) -> bool {
        matches!(self, Self::Apk | Self::Deb | Self::Rpm | Self::Alpm)
    }
}

impl fmt::Display for PackageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The distribution of an operating-system package, from os-release: `ID` and `VERSION_ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`, such as `alpine`.
    pub id: String,
    /// `VERSION_ID` as found, such as `3.10.2` or `12`; empty for rolling releases.
    pub version: String,
}

/// The source package that a binary package was built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version, as found; the binary's own when the database tells no other.
    pub version: String,
}

/// Everything that a verdict about a package needs, and nothing else: equal keys get equal verdicts, so
/// they are stored once and matched once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageKey {
    /// How it is recorded.
    pub format: PackageFormat,
    /// The distribution, for operating-system formats, once the image's release is known.
    pub distro: Option<Distro>,
    /// Name as the format spells it. npm scopes, Go, Swift and Maven namespaces are part of it
    /// (`@babel/core`, `org.apache:commons`, `github.com/vapor/vapor`).
    pub name: String,
    /// Version as found, never normalised. Debian and RPM epochs are in it (`1:2.3-4`).
    pub version: String,
    /// `x86_64`, `amd64`, …, as found.
    pub architecture: Option<String>,
    /// The source package, for operating-system formats.
    pub source: Option<SourcePackage>,
    /// What tells packages of one name apart: the RPM module, `name:stream`; of a Julia package its UUID.
    pub module: Option<String>,
}

impl PackageKey {
    /// A key with only the parts that every format has.
    pub fn new(format: PackageFormat, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            format,
            distro: None,
            name: name.into(),
            version: version.into(),
            architecture: None,
            source: None,
            module: None,
        }
    }

    /// The package URL. Everything that tells two keys apart for a user is in it, except the source version.
    pub fn purl(&self) -> Purl {
        let distro = self.distro.as_ref();
        let (namespace, name) = match self.format {
            PackageFormat::Apk | PackageFormat::Deb | PackageFormat::Rpm | PackageFormat::Alpm => {
                (distro.map(|d| d.id.as_str()), self.name.as_str())
            }
            PackageFormat::Maven => split_namespace(&self.name, ':'),
            PackageFormat::Npm
            | PackageFormat::Golang
            | PackageFormat::Composer
            | PackageFormat::Generic
            | PackageFormat::Swift => split_namespace(&self.name, '/'),
            PackageFormat::PyPi
            | PackageFormat::Cargo
            | PackageFormat::Gem
            | PackageFormat::NuGet
            | PackageFormat::Bitnami
            | PackageFormat::Cocoapods
            | PackageFormat::Conan
            | PackageFormat::Conda
            | PackageFormat::Cpan
            | PackageFormat::Cran
            | PackageFormat::Hackage
            | PackageFormat::Hex
            | PackageFormat::Julia
            | PackageFormat::Luarocks
            | PackageFormat::Otp
            | PackageFormat::Pub => (None, self.name.as_str()),
        };
        let (epoch, version) = match (self.format, self.version.split_once(':')) {
            (PackageFormat::Rpm, Some((epoch, rest))) => (Some(epoch), rest),
            _ => (None, self.version.as_str()),
        };
        let distro_text =
            distro.map(|d| if d.version.is_empty() { d.id.clone() } else { format!("{}-{}", d.id, d.version) });
        let is_julia = self.format == PackageFormat::Julia;
        let upstream = self.source.as_ref().filter(|s| s.name != self.name).map(|s| s.name.as_str());
        Purl::build(&PackageParts {
            kind: self.format.as_str(),
            namespace,
            name,
            version,
            qualifiers: &[
                ("arch", self.architecture.as_deref()),
                ("distro", distro_text.as_deref()),
                ("epoch", epoch),
                ("rpmmod", self.module.as_deref().filter(|_| !is_julia)),
                ("upstream", upstream),
                ("uuid", self.module.as_deref().filter(|_| is_julia)),
            ],
        })
    }
}

fn split_namespace(name: &str, separator: char) -> (Option<&str>, &str) {
    match name.rsplit_once(separator) {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    }
}

/// A package as one layer records it: the release is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerPackage {
    /// The key, with `distro` still empty.
    pub key: PackageKey,
    /// Where it is recorded.
    pub place: Place,
    /// Licence expressions as found, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
}

/// A package of an image: one per key, with every place that records it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// What a verdict needs.
    pub key: PackageKey,
    /// Where it is recorded, sorted. The layer is the one that brought it in, not the last that rewrote the database.
    pub evidence: Vec<Evidence>,
    /// Licence expressions as found, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// The operating-system package that owns this language package's files, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
