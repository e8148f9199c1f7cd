//! Which files of a package are worth a comparison with the checksum that its database records.
//!
//! Not here: the comparison ([`crate::squash`]). Invariant: configuration is never kept: people change it.

use model::LayerPath;
use model::checksum::Checksum;

/// Folders in which nothing is run that a package brings.
const DATA: [&[u8]; 12] = [
    b"etc/",
    b"usr/include/",
    b"usr/share/doc/",
    b"usr/share/fonts/",
    b"usr/share/i18n/",
    b"usr/share/icons/",
    b"usr/share/info/",
    b"usr/share/locale/",
    b"usr/share/man/",
    b"usr/share/zoneinfo/",
    b"usr/share/common-licenses/",
    b"usr/share/lintian/",
];

/// Can a file of this path be run or loaded, as far as the path tells? Configuration (`/etc`) is left out.
pub(crate) fn may_run(path: &[u8]) -> bool {
    !path.is_empty() && !DATA.iter().any(|folder| path.starts_with(folder))
}

/// Is this named as a shared library?
pub(super) fn is_library(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    name.ends_with(b".so") || memchr::memmem::find(name, b".so.").is_some()
}

/// The files, sorted.
pub(super) fn sorted(files: impl Iterator<Item = (Vec<u8>, Checksum)>) -> Vec<(LayerPath, Checksum)> {
    let mut files: Vec<_> =
        files.filter_map(|(path, checksum)| Some((LayerPath::normalise(&path).ok()?, checksum))).collect();
    files.sort();
    files.dedup();
    files
}
