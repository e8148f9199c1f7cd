//! Package URLs (purl specification, `PURL-SPECIFICATION.rst`): the public name of a package.

use crate::Digest;
use crate::package::{Distro, PackageFormat, PackageKey, SourcePackage};
use crate::purl_parts::PurlParts;
use crate::reference::ImageRef;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A canonical package URL, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Purl(String);

/// The parts of a [`Purl`], not yet encoded.
pub(crate) struct PackageParts<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Sorted by key; absent values are left out.
    pub(crate) qualifiers: &'a [(&'a str, Option<&'a str>)],
}

/// Letters, digits and `-._~` stay; `:` stays too, as the specification's canonical form has it.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

impl Purl {
    pub(crate) fn build(parts: &PackageParts<'_>) -> Self {
        let mut text = format!("pkg:{}", parts.kind);
        for part in parts.namespace.unwrap_or_default().split('/').filter(|p| !p.is_empty()) {
            text.push('/');
            text.extend(utf8_percent_encode(part, ENCODE));
        }
        text.push('/');
        text.extend(utf8_percent_encode(parts.name, ENCODE));
        if !parts.version.is_empty() {
            text.push('@');
            text.extend(utf8_percent_encode(parts.version, ENCODE));
        }
        let mut separator = '?';
        for (key, value) in parts.qualifiers {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                text.push(separator);
                text.push_str(key);
                text.push('=');
                text.extend(utf8_percent_encode(value, ENCODE));
                separator = '&';
            }
        }
        Self(text)
    }

    /// The package URL of a container image (purl specification, type `oci`): the name is the last part of the
    /// repository, the version the digest. Without a reference in a registry the name is `image`.
    pub fn of_image(reference: Option<&ImageRef>, digest: &Digest, architecture: &str) -> Self {
        let repository = reference.map(|r| format!("{}/{}", r.registry, r.repository));
        let name = reference.and_then(|r| r.repository.rsplit('/').next()).unwrap_or("image");
        Self::build(&PackageParts {
            kind: "oci",
            namespace: None,
            name,
            version: &digest.to_string(),
            qualifiers: &[
                ("arch", Some(architecture)),
                ("repository_url", repository.as_deref()),
                ("tag", reference.and_then(|r| r.tag.as_deref())),
            ],
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a purl that a user typed as the key that verdicts are made for. `arch`, `distro` (as `id-version`),
    /// `epoch`, `rpmmod`, `uuid` and `upstream` (as `name` or `name@version`) are understood, other qualifiers are ignored.
    ///
    /// # Errors
    /// A sentence that names the part that is wrong.
    pub fn to_key(text: &str) -> Result<PackageKey, String> {
        let rest = text
            .strip_prefix("pkg:")
            .ok_or_else(|| format!("{text:?} is not a package URL: it does not start with pkg:"))?;
        let rest = rest.trim_start_matches('/').split('#').next().unwrap_or_default();
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (path, version) = match path.rsplit_once('@') {
            Some((path, version)) if !path.is_empty() && !path.ends_with('/') => (path, decode(version)?),
            _ => return Err(format!("{text:?} has no version: expected pkg:type/name@version")),
        };
        let (kind, path) =
            path.split_once('/').ok_or_else(|| format!("{text:?} has no name: expected pkg:type/name@version"))?;
        let kind = kind.to_ascii_lowercase();
        let format =
            PackageFormat::from_purl_type(&kind).ok_or_else(|| format!("package type {kind:?} is not known"))?;
        let (namespace, name) = path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')));
        let mut key = PackageKey::new(format, join_name(format, &decode(namespace)?, &decode(name)?), version);
        apply_qualifiers(&mut key, &decode(namespace)?, qualifiers)?;
        // Whatever else the specification asks for.
        text.parse::<PurlParts>().map_err(|e| format!("{text:?}: {e}"))?;
        Ok(key)
    }
}

fn join_name(format: PackageFormat, namespace: &str, name: &str) -> String {
    match format {
        PackageFormat::Maven if !namespace.is_empty() => format!("{namespace}:{name}"),
        PackageFormat::Npm
        | PackageFormat::Golang
        | PackageFormat::Composer
        | PackageFormat::Generic
        | PackageFormat::Swift
            if !namespace.is_empty() =>
        {
            format!("{namespace}/{name}")
        }
        _ => name.to_owned(),
    }
}

fn apply_qualifiers(key: &mut PackageKey, namespace: &str, qualifiers: &str) -> Result<(), String> {
    let mut distro = None;
    for (name, value) in qualifiers.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decode(value)?;
        match name {
            "arch" => key.architecture = Some(value),
            "distro" => distro = Some(value),
            "epoch" if !key.version.contains(':') => key.version = format!("{value}:{}", key.version),
            "rpmmod" | "uuid" => key.module = Some(value),
            "upstream" => {
                let (name, version) = value.split_once('@').unwrap_or((&value, &key.version));
                key.source = Some(SourcePackage { name: name.to_owned(), version: version.to_owned() });
            }
            _ => {}
        }
    }
    if key.format.is_os() {
        let (id, version) = match &distro {
            Some(text) => os_id_and_version(text),
            None => (namespace, ""),
        };
        if !id.is_empty() {
            key.distro = Some(Distro { id: id.to_owned(), version: version.to_owned() });
        }
    }
    Ok(())
}

/// The parts of `opensuse-leap-15.5` and `openEuler-22.03-LTS-SP3`: an `ID` has hyphens, and so has a `VERSION_ID`, which
/// begins with a digit.
fn os_id_and_version(distro: &str) -> (&str, &str) {
    let starts_version = |(at, _): &(usize, &str)| distro[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let split = distro.match_indices('-').find(starts_version);
    split.map_or((distro, ""), |(at, _)| (&distro[..at], &distro[at + 1..]))
}

fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|t| t.into_owned())
        .map_err(|_| format!("{text:?} is not UTF-8 when decoded"))
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purl_of_a_key_reads_back() {
        let check = |text: &str| assert_eq!(Purl::to_key(text).unwrap().purl().as_str(), text);
        check("pkg:apk/alpine/libssl1.1@1.1.1c-r0?arch=x86_64&distro=alpine-3.10.2&upstream=openssl");
        check("pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc");
        check("pkg:npm/%40babel/core@7.0.0");
        check("pkg:pypi/django@2.2.0");
        check("pkg:alpm/arch/pacman@6.0.1-1?arch=x86_64&distro=arch");
        check("pkg:generic/wordpress-plugin/akismet@5.3");
        check("pkg:julia/AWS@1.88.0?uuid=fbe9abb3-538b-5e4e-ba9e-bc94f4f92ebc");
        check("pkg:swift/github.com/Alamofire/Alamofire@5.4.3");
        check("pkg:golang/github.com/gin-gonic/gin@v1.9.0");
        check("pkg:rpm/rocky/openssl-libs@3.0.7-24.el9?arch=x86_64&distro=rocky-9.2&epoch=1&upstream=openssl");
    }

    #[test]
    fn a_distro_is_an_id_and_a_version() {
        let check = |text: &str, id: &str, version: &str| assert_eq!(os_id_and_version(text), (id, version), "{text}");
        check("debian-12", "debian", "12");
        check("opensuse-leap-15.5", "opensuse-leap", "15.5");
        check("openEuler-20.03-LTS", "openEuler", "20.03-LTS");
        check("openEuler-22.03-LTS-SP3", "openEuler", "22.03-LTS-SP3");
        check("arch", "arch", "");
        check("sle-bci", "sle-bci", "");
        check("debian-sid", "debian-sid", "");
        check("-1-", "", "1-");
    }

    #[test]
    fn purl_of_an_image_names_its_digest() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let reference: ImageRef = "registry.example.org/team/app:1.0".parse().unwrap();
        let hex = "ab".repeat(32);
        assert_eq!(
            Purl::of_image(Some(&reference), &digest, "amd64").as_str(),
            format!("pkg:oci/app@sha256:{hex}?arch=amd64&repository_url=registry.example.org%2Fteam%2Fapp&tag=1.0")
        );
        assert_eq!(Purl::of_image(None, &digest, "").as_str(), format!("pkg:oci/image@sha256:{hex}"));
    }

    #[test]
    fn purl_errors_name_the_part() {
        assert!(Purl::to_key("npm/lodash").unwrap_err().contains("pkg:"));
        assert!(Purl::to_key("pkg:npm/lodash").unwrap_err().contains("no version"));
        assert!(Purl::to_key("pkg:nosuch/a@1").unwrap_err().contains("nosuch"));
    }
}
