//! What a header records of the package's files: those that can be run or loaded, with their digests.
//!
//! Left out, as `rpm --verify` leaves it out or as people may change it: configuration (`%config`), ghosts (`%ghost`),
//! files whose digest is not to be verified, and those that another package replaced or that were not installed.

use super::super::recorded::{is_library, may_run, sorted};
use super::header::{Header, tag};
use model::LayerPath;
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::path::PATH_BYTES_MAX;

/// `RPMFILE_CONFIG` and `RPMFILE_GHOST` (`rpmfiles.h`).
const CONFIG_OR_GHOST: u32 = 1 | 1 << 6;
/// `RPMVERIFY_FILEDIGEST` (`rpmvf.h`).
const VERIFY_DIGEST: u32 = 1;
/// The type in a mode, and a regular file's.
const TYPE: u16 = 0o170_000;
const REGULAR: u16 = 0o100_000;

const BROKEN: &str = "the digests of its files do not fit together";

/// The algorithm, by its number in OpenPGP (RFC 9580, section 9.5). `None` for one that is not compared.
fn algorithm(header: &Header<'_>) -> Result<Option<ChecksumAlgorithm>, &'static str> {
    let number = header.numbers(tag::FILEDIGESTALGO)?.and_then(|mut numbers| numbers.next());
    Ok(match number {
        None | Some(0 | 1) => Some(ChecksumAlgorithm::Md5),
        Some(2) => Some(ChecksumAlgorithm::Sha1),
        Some(8) => Some(ChecksumAlgorithm::Sha256),
        Some(_) => None,
    })
}

/// Files with the checksums that a package records.
type Recorded = Vec<(LayerPath, Checksum)>;

/// What the header records. The second answer is true when its algorithm is not one that is compared.
pub(super) fn recorded(header: &Header<'_>) -> Result<(Recorded, bool), &'static str> {
    let (Some(names), Some(folders), Some(indexes), Some(digests), Some(modes)) = (
        header.texts(tag::BASENAMES)?,
        header.texts(tag::DIRNAMES)?,
        header.numbers(tag::DIRINDEXES)?,
        header.texts(tag::FILEDIGESTS)?,
        header.shorts(tag::FILEMODES)?,
    ) else {
        return Ok((Vec::new(), false));
    };
    let Some(algorithm) = algorithm(header)? else { return Ok((Vec::new(), true)) };
    let list = |tag| Ok::<_, &'static str>(header.numbers(tag)?.map(Iterator::collect::<Vec<u32>>));
    let (flags, verify) = (list(tag::FILEFLAGS)?, list(tag::FILEVERIFYFLAGS)?);
    let states = header.bytes(tag::FILESTATES)?;
    let count = names.len();
    if [indexes.len(), digests.len(), modes.len()].iter().any(|other| *other != count) {
        return Err(BROKEN);
    }
    let folders: Vec<&[u8]> = folders.collect();
    let mut found = Vec::new();
    for (at, ((name, index), digest)) in names.zip(indexes).zip(digests).enumerate() {
        let number = |list: &Option<Vec<u32>>, absent| list.as_ref().and_then(|l| l.get(at)).copied().unwrap_or(absent);
        let is_there = states.and_then(|states| states.get(at)).is_none_or(|state| *state == 0);
        let is_kept = modes[at] & TYPE == REGULAR
            && (modes[at] & 0o111 != 0 || is_library(name))
            && number(&flags, 0) & CONFIG_OR_GHOST == 0
            && number(&verify, u32::MAX) & VERIFY_DIGEST != 0;
        if !is_kept || !is_there {
            continue;
        }
        let folder = *usize::try_from(index).ok().and_then(|index| folders.get(index)).ok_or(BROKEN)?;
        let folder = folder.strip_prefix(b"/").unwrap_or(folder);
        let Some(checksum) = Checksum::from_hex(algorithm, digest) else { continue };
        if folder.len() + name.len() <= PATH_BYTES_MAX {
            let path = [folder, name].concat();
            if may_run(&path) {
                found.push((path, checksum));
            }
        }
    }
    Ok((sorted(found.into_iter()), false))
}
