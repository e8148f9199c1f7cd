//! Paths inside a layer: bytes from a hostile archive, made harmless.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A normalised path relative to the image's root: no leading `/`, no `.`, no `..`, no empty part.
///
/// Not necessarily UTF-8. `Display` and serde write text in which invalid bytes and the backslash
/// are escaped as `\xNN`, so that two different paths never read the same. The root is the empty path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LayerPath(Box<[u8]>);

/// Why an archive's member name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `..` part: such an entry is never followed.
    #[error("the path climbs out with \"..\"")]
    Escapes,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A NUL byte.
    #[error("the path contains a NUL byte")]
    Nul,
}

/// The longest path that is accepted, in bytes (Linux `PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;

impl LayerPath {
    /// Normalises a member name as a tar archive spells it (`./usr/bin/`, `/etc`, `a//b`).
    ///
    /// # Errors
    /// When the name climbs out of the root, is too long or contains NUL.
    pub fn normalise(name: &[u8]) -> Result<Self, PathError> {
        if name.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if name.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut out = Vec::with_capacity(name.len());
        for part in name.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(PathError::Escapes),
                part => {
                    if !out.is_empty() {
                        out.push(b'/');
                    }
                    out.extend_from_slice(part);
                }
            }
        }
        Ok(Self(out.into_boxed_slice()))
    }

    /// Resolves a symbolic link's target as seen from this path's folder. `..` above the root stays
    /// at the root, as the kernel does inside a chroot. `None` if the result is too long.
    pub fn resolve_link(&self, target: &[u8]) -> Option<Self> {
        let mut parts: Vec<&[u8]> = Vec::new();
        if !target.starts_with(b"/") {
            parts.extend(self.parent_bytes().split(|&b| b == b'/').filter(|p| !p.is_empty()));
        }
        for part in target.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let joined = parts.join(&b'/');
        (joined.len() <= PATH_BYTES_MAX && !joined.contains(&0)).then(|| Self(joined.into_boxed_slice()))
    }

    /// The bytes, without a leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, when it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// True for the image's root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last part.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Everything before the last part; the root's is the root.
    pub fn parent(&self) -> Self {
        Self(self.parent_bytes().into())
    }

    fn parent_bytes(&self) -> &[u8] {
        self.0.iter().rposition(|&b| b == b'/').map_or(&[], |at| &self.0[..at])
    }

    /// Appends one or more parts that are already normal.
    pub fn join(&self, part: &[u8]) -> Self {
        if self.0.is_empty() {
            return Self(part.into());
        }
        let mut out = Vec::with_capacity(self.0.len() + 1 + part.len());
        out.extend_from_slice(&self.0);
        out.push(b'/');
        out.extend_from_slice(part);
        Self(out.into_boxed_slice())
    }

    /// True when this path lies somewhere under `folder` (not when it is `folder`).
    pub fn is_under(&self, folder: &Self) -> bool {
        folder.is_root() && !self.is_root()
            || self.0.len() > folder.0.len() && self.0.starts_with(&folder.0) && self.0[folder.0.len()] == b'/'
    }

    /// Every proper ancestor, nearest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = &self.0;
        bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'/').map(|(at, _)| &bytes[..at])
    }
}

impl From<&str> for LayerPath {
    /// For literals in code and tests: what cannot be normalised becomes the root.
    fn from(text: &str) -> Self {
        Self::normalise(text.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\x5c")?,
                    c if c.is_control() => {
                        let mut buffer = [0; 4];
                        for byte in c.encode_utf8(&mut buffer).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for LayerPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LayerPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = unescape(&text).ok_or_else(|| serde::de::Error::custom("broken \\x escape in a path"))?;
        Self::normalise(&bytes).map_err(serde::de::Error::custom)
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'\\' {
            let [b'x', high, low, tail @ ..] = tail else { return None };
            let digits = [*high, *low];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_normalise() {
        let check = |input: &str, expect: Result<&str, PathError>| {
            assert_eq!(LayerPath::normalise(input.as_bytes()).map(|p| p.to_string()), expect.map(str::to_owned));
        };
        check("./usr//bin/", Ok("usr/bin"));
        check("/etc/passwd", Ok("etc/passwd"));
        check("./", Ok(""));
        check("../../etc/passwd", Err(PathError::Escapes));
        check("a/../b", Err(PathError::Escapes));
        check("a\0b", Err(PathError::Nul));
    }

    #[test]
    fn links_resolve_inside_the_root() {
        let link = LayerPath::from("usr/lib/libz.so");
        assert_eq!(link.resolve_link(b"libz.so.1").unwrap().to_string(), "usr/lib/libz.so.1");
        assert_eq!(link.resolve_link(b"/lib/x").unwrap().to_string(), "lib/x");
        assert_eq!(link.resolve_link(b"../../../../etc/passwd").unwrap().to_string(), "etc/passwd");
    }

    #[test]
    fn ancestors_are_nearest_first() {
        let path = LayerPath::from("a/b/c");
        let all: Vec<_> = path.ancestors().collect();
        assert_eq!(all, [&b"a/b"[..], b"a"]);
    }

    proptest! {
        #[test]
        fn serde_keeps_every_byte(bytes in proptest::collection::vec(1u8.., 0..64)) {
            if let Ok(path) = LayerPath::normalise(&bytes) {
                let json = serde_json::to_string(&path).unwrap();
                prop_assert_eq!(serde_json::from_str::<LayerPath>(&json).unwrap(), path);
            }
        }
    }
}
