//! RPM's own database form, NDB (`Packages.db`): pages of slots at the start say in which blocks a package's header lies.
//!
//! Every number has its lowest byte first. A file starts with 32 bytes (`RpmP`, version, generation, number of pages of
//! slots, next package number, nothing), then slots of 16 bytes (`Slot`, package number, first block, number of blocks).
//! A block has 16 bytes; the blocks of a package are `BlbS`, package number, generation, length, the header, zeros, and
//! at their end an Adler-32 of all before (RFC 1950, section 8.2), the length again, and `BlbE`.

use super::pages::Order::Little;
use super::{Fault, Intake, Spot};

/// The first bytes of the file.
pub(super) const MAGIC: &[u8] = b"RpmP";

const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
/// The file's header takes the room of two slots.
const FIRST_SLOT: usize = 2;
const BLOCK_BYTES: usize = 16;
const HEAD_BYTES: usize = 16;
const TAIL_BYTES: usize = 12;

/// Reads the header that every used slot points to.
pub(super) fn read(content: &[u8], intake: &mut Intake<'_, '_>) {
    let (version, slot_pages) = match (Little.u32(content, 4), Little.u32(content, 12)) {
        (Some(version), Some(pages)) => (version, usize::try_from(pages).unwrap_or(usize::MAX)),
        (_, None) | (None, _) => return intake.fault(Fault::malformed("the file is cut off", Spot::Database)),
    };
    if version != 0 {
        return intake.fault(Fault::unsupported("a version of the file format that is not supported"));
    }
    let slots_end = slot_pages.saturating_mul(PAGE_BYTES);
    if slots_end == 0 || slots_end > content.len() {
        intake.fault(Fault::malformed("its pages of slots are cut off", Spot::Database));
    }
    let slots = content[..slots_end.min(content.len())].as_chunks::<SLOT_BYTES>().0;
    // Blobs do not overlap, so all of them together are no larger than the file.
    let mut room = content.len();
    for (number, slot) in (0..).zip(slots).skip(FIRST_SLOT) {
        match blob_of(content, slot, slots_end) {
            Ok(None) => {}
            Ok(Some((package, bytes))) => match room.checked_sub(bytes.len()) {
                Some(left) => {
                    room = left;
                    read_blob(package, bytes, intake);
                }
                None => return intake.fault(Fault::malformed("blobs that overlap", Spot::Slot(number))),
            },
            Err(what) => intake.fault(Fault::malformed(what, Spot::Slot(number))),
        }
    }
}

fn number_of(slot: &[u8], at: usize) -> u32 {
    Little.u32(slot, at).expect("a slot has four numbers")
}

/// The package number of a slot, and the blocks that it names; `None` when it is free.
fn blob_of<'a>(
    content: &'a [u8],
    slot: &[u8; SLOT_BYTES],
    slots_end: usize,
) -> Result<Option<(u32, &'a [u8])>, &'static str> {
    if !slot.starts_with(b"Slot") {
        return Err("not a slot");
    }
    let bytes = |at| usize::try_from(number_of(slot, at)).ok().and_then(|blocks| blocks.checked_mul(BLOCK_BYTES));
    let (package, start, length) = (number_of(slot, 4), bytes(8), bytes(12));
    if start == Some(0) {
        return Ok(None);
    }
    let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let range = range.filter(|range| range.start >= slots_end).ok_or("blocks that are none")?;
    content.get(range).map(|bytes| Some((package, bytes))).ok_or("blocks that the file does not have")
}

fn read_blob(package: u32, bytes: &[u8], intake: &mut Intake<'_, '_>) {
    match header_in(package, bytes) {
        Ok(header) => intake.header(package.into(), header),
        Err(what) => intake.fault(Fault::malformed(what, Spot::Package(package.into()))),
    }
}

/// The header in the blocks of a package, once everything around it agrees.
fn header_in(package: u32, bytes: &[u8]) -> Result<&[u8], &'static str> {
    const FRAME: &str = "a blob whose head and tail do not agree";
    let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>().ok_or(FRAME)?;
    let (head, body) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(FRAME)?;
    let length = usize::try_from(number_of(head, 12)).map_err(|_| FRAME)?;
    let is_sound = head.starts_with(b"BlbS")
        && tail.ends_with(b"BlbE")
        && number_of(head, 4) == package
        && tail[4..8] == head[12..16]
        && body.len().checked_sub(length).is_some_and(|padding| padding < BLOCK_BYTES);
    if !is_sound {
        return Err(FRAME);
    }
    if Little.u32(tail, 0) != Some(adler32(rest)) {
        return Err("a blob with a wrong checksum");
    }
    Ok(&body[..length])
}

/// RFC 1950, section 8.2. The sums of 5552 bytes fit into 32 bits.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut a, mut b) = (1_u32, 0_u32);
    for part in bytes.chunks(5552) {
        for byte in part {
            a += u32::from(*byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::adler32;

    #[test]
    fn ndb_checksum_is_adler32() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(&[0xff; 100_000]), 0x149a_302c);
    }
}
