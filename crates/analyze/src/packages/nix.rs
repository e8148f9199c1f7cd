//! Packages of a Nix store, by the names of its folders: `nix/store/DIGEST-NAME-VERSION`, perhaps with the name of an
//! output after it.
//!
//! Not an analyzer: names of folders are facts of the whole image, so the squash asks here. The purl specification has no
//! type for Nix: its packages are `pkg:generic/NAME@VERSION`.
//!
//! Source: Nix' manual, "Store path" and `builtins.parseDrvName`: the version begins after the first hyphen that no
//! letter follows.

use model::{PackageFormat, PackageKey};

const STORE: &[u8] = b"nix/store/";
/// Digits of the digest, in Nix' own base 32.
const DIGEST_LETTERS: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";
const DIGEST_BYTES: usize = 32;
/// Outputs that Nixpkgs splits packages into; `out` is not written.
const OUTPUTS: [&str; 12] =
    ["bin", "data", "debug", "dev", "devdoc", "dist", "doc", "info", "lib", "man", "py", "static"];
/// What is no package: derivations, sources, patches, scripts.
const OTHERS: [&str; 11] =
    [".drv", ".patch", ".diff", ".lock", ".sh", ".json", ".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".zip"];

/// The entry of the store that a path lies in, as a path.
pub(crate) fn store_entry(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(STORE)?;
    let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    Some(&path[..STORE.len() + end])
}

/// The package of a store's entry; `None` for what has no version.
pub(crate) fn package_of(entry: &[u8]) -> Option<PackageKey> {
    let name = entry.strip_prefix(STORE)?;
    let (digest, name) = name.split_at_checked(DIGEST_BYTES)?;
    let name = std::str::from_utf8(name.strip_prefix(b"-")?).ok()?;
    let is_digest = digest.iter().all(|b| DIGEST_LETTERS.contains(b));
    if !is_digest || name.len() > super::FIELD_BYTES_MAX || OTHERS.iter().any(|other| name.ends_with(other)) {
        return None;
    }
    let hyphen = name
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let (name, version) = (&name[..hyphen], &name[hyphen + 1..]);
    let version = match version.rsplit_once('-') {
        Some((version, output)) if OUTPUTS.contains(&output) => version,
        _ => version,
    };
    (!name.is_empty()).then(|| PackageKey::new(PackageFormat::Generic, name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_paths_name_packages() {
        let check = |name: &str, expect: &str| {
            let path = format!("nix/store/0c1p5z9kda11zsrl0xf6qqsmv8wfn3xy-{name}");
            let found = package_of(path.as_bytes()).map(|key| key.purl().to_string());
            assert_eq!(found.as_deref().unwrap_or_default(), expect, "{name}");
        };
        check("openssl-3.0.12", "pkg:generic/openssl@3.0.12");
        check("openssl-3.0.12-bin", "pkg:generic/openssl@3.0.12");
        check("gcc-12.3.0-lib", "pkg:generic/gcc@12.3.0");
        check("python3.11-six-1.16.0", "pkg:generic/python3.11-six@1.16.0");
        check("glibc-2.38-44", "pkg:generic/glibc@2.38-44");
        check("openssl-3.0.12.drv", "");
        check("source", "");
        assert_eq!(package_of(b"nix/store/short-openssl-3"), None);
        assert_eq!(store_entry(b"nix/store/abc-x/bin/x"), Some(&b"nix/store/abc-x"[..]));
        assert_eq!(store_entry(b"usr/store/abc"), None);
    }
}
