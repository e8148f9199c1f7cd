//! Small package databases, as the package managers write them.

use std::fmt::Write as _;

/// `etc/os-release` of a distribution, such as `("alpine", "3.10.2", "Alpine Linux v3.10")`.
pub fn os_release(id: &str, version: &str, pretty_name: &str) -> String {
    format!("NAME=\"{pretty_name}\"\nID={id}\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{pretty_name}\"\n")
}

/// One package of `lib/apk/db/installed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApkPackage<'a> {
    /// Name of the binary package.
    pub name: &'a str,
    /// Version with release, `1.1.1c-r0`.
    pub version: &'a str,
    /// Name of the package it was built from.
    pub origin: &'a str,
    /// Paths of its files, without a leading slash.
    pub files: &'a [&'a str],
}

/// `lib/apk/db/installed` (apk-tools' installed database, format v2).
pub fn apk_installed(packages: &[ApkPackage<'_>]) -> String {
    let mut out = String::new();
    for package in packages {
        let ApkPackage { name, version, origin, files } = package;
        let _ = write!(
            out,
            "C:Q1{name}AAAAAAAAAAAAAAAAAAAAAAAA=\nP:{name}\nV:{version}\nA:x86_64\nS:1000\nI:4096\nT:{name} for tests\n\
             U:https://example.org/{name}\nL:MIT\no:{origin}\nm:Nobody <nobody@example.org>\nt:1565884800\n"
        );
        for file in *files {
            let (folder, base) = file.rsplit_once('/').unwrap_or(("", file));
            let _ = write!(out, "F:{folder}\nR:{base}\na:0:0:755\n");
        }
        out.push('\n');
    }
    out
}

/// One package of `var/lib/dpkg/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DpkgPackage<'a> {
    /// Name of the binary package.
    pub name: &'a str,
    /// Its version, with epoch if it has one.
    pub version: &'a str,
    /// Source package, when it is named otherwise: `glibc`, or with a version of its own: `gcc (12.2.0-14)`.
    pub source: Option<&'a str>,
    /// `install ok installed` normally.
    pub status: &'a str,
}

/// `var/lib/dpkg/status` (deb822 paragraphs).
pub fn dpkg_status(packages: &[DpkgPackage<'_>]) -> String {
    let mut out = String::new();
    for package in packages {
        let DpkgPackage { name, version, source, status } = package;
        let _ =
            write!(out, "Package: {name}\nStatus: {status}\nPriority: optional\nSection: libs\nArchitecture: amd64\n");
        if let Some(source) = source {
            let _ = writeln!(out, "Source: {source}");
        }
        let _ = write!(
            out,
            "Version: {version}\nMaintainer: Nobody <nobody@example.org>\nDescription: {name} for tests\n second line\n\n"
        );
    }
    out
}

/// `package.json` of an installed npm package.
pub fn node_package(name: &str, version: &str) -> String {
    format!("{{\n  \"name\": \"{name}\",\n  \"version\": \"{version}\",\n  \"license\": \"MIT\"\n}}\n")
}

/// `METADATA` of an installed Python distribution (core metadata 2.1).
pub fn python_metadata(name: &str, version: &str) -> String {
    format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {name} for tests\nLicense: MIT\n\nText.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_hold_every_package() {
        let apk = apk_installed(&[
            ApkPackage { name: "musl", version: "1.1.22-r3", origin: "musl", files: &["lib/libc.musl.so"] },
            ApkPackage { name: "libssl1.1", version: "1.1.1c-r0", origin: "openssl", files: &[] },
        ]);
        assert_eq!(apk.matches("\nP:").count(), 2);
        assert!(apk.contains("F:lib\nR:libc.musl.so\n"));
        let package =
            DpkgPackage { name: "libc6", version: "2.36-9", source: Some("glibc"), status: "install ok installed" };
        assert!(dpkg_status(&[package]).contains("Source: glibc\nVersion: 2.36-9\n"));
    }
}
