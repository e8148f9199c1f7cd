//! Paths of members: made of hostile names, and never used to name a file.

use model::LayerPath;
use model::path::PATH_BYTES_MAX;

/// What stands between an archive's path and a member's name.
const INSIDE: &[u8] = b"!/";
/// A path that would be too long keeps this much of the member's name.
const SHORT_BYTES: usize = 200;

/// The path of a member. Parts that climb out are shown as `(..)`, NUL as `?`; what is too long loses its beginning.
pub(super) fn inside(archive: &LayerPath, name: &[u8]) -> LayerPath {
    let mut path = Vec::with_capacity(archive.as_bytes().len() + INSIDE.len() + name.len());
    path.extend_from_slice(archive.as_bytes());
    path.extend_from_slice(INSIDE);
    let start = path.len();
    for part in name.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if path.len() > start {
            path.push(b'/');
        }
        path.extend_from_slice(if part == b".." { b"(..)" } else { part });
    }
    if path.len() == start {
        path.push(b'?');
    }
    for byte in &mut path[start..] {
        if *byte == 0 {
            *byte = b'?';
        }
    }
    if path.len() > PATH_BYTES_MAX {
        let end = path.len() - SHORT_BYTES.min(path.len() - start)..;
        let tail = path[end].to_vec();
        path.truncate(start);
        path.extend_from_slice(b"\xe2\x80\xa6");
        path.extend_from_slice(tail.strip_prefix(b"/").unwrap_or(&tail));
    }
    LayerPath::normalise(&path).unwrap_or_else(|_| archive.clone())
}

/// The name of the one member of a packed file: its own without the last ending.
pub(super) fn unpacked(path: &LayerPath) -> Vec<u8> {
    let name = path.file_name();
    let end = name.iter().rposition(|&b| b == b'.').filter(|&end| end > 0);
    end.map_or_else(|| b"content".to_vec(), |end| name[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_paths_read_like_paths() {
        let check = |archive: &str, name: &[u8], expect: &str| {
            assert_eq!(inside(&LayerPath::from(archive), name).to_string(), expect);
        };
        check("opt/a.jar", b"lib/x.so", "opt/a.jar!/lib/x.so");
        check("opt/a.jar", b"./lib//x.so", "opt/a.jar!/lib/x.so");
        check("opt/a.jar", b"/etc/passwd", "opt/a.jar!/etc/passwd");
        check("opt/a.jar", b"../../etc/passwd", "opt/a.jar!/(..)/(..)/etc/passwd");
        check("opt/a.jar", b"a\0b", "opt/a.jar!/a?b");
        check("opt/a.jar", b"", "opt/a.jar!/?");
        check("opt/a.jar!/b.tar", b"c", "opt/a.jar!/b.tar!/c");
        let long = inside(&LayerPath::from("a.zip"), &[b'x'; 5000]).to_string();
        assert!(long.starts_with("a.zip!/…x") && long.len() < 300, "{long}");
        let deep = LayerPath::normalise(&[b'y'; 4090]).unwrap();
        assert_eq!(inside(&deep, &[b'x'; 300]), deep);
    }

    #[test]
    fn packed_files_have_one_member() {
        let check = |path: &str, expect: &str| {
            assert_eq!(String::from_utf8(unpacked(&LayerPath::from(path))).unwrap(), expect);
        };
        check("var/log/a.log.gz", "a.log");
        check("dump", "content");
        check("x/.gz", "content");
    }
}
