//! Walks a tar archive (POSIX.1-2017 `pax`, section "EXTENDED DESCRIPTION"; GNU tar manual, "Basic Tar Format")
//! without copying what it does not have to.
//!
//! Not here: what members mean for an image. Where writers disagree, a member is read as Go's `archive/tar`
//! reads it, because that is what unpacks layers at run time: a reader that disagrees can be hidden from.
//! Invariant: memory is bounded by `extension_bytes_max` whatever the headers claim, and nothing is skipped by
//! a claim that the bytes do not keep.

use std::io::{self, BufRead};

/// Why a walk cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The source failed.
    Input(io::Error),
    /// The archive ends inside a header or a member.
    EndsEarly,
    /// A header that no reader should trust.
    Malformed(&'static str),
    /// An extension header above the limit.
    ExtensionTooLarge(u64),
}

impl Broken {
    /// For people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Input(error) => error.to_string(),
            Self::EndsEarly => "the archive ends early".to_owned(),
            Self::Malformed(what) => (*what).to_owned(),
            Self::ExtensionTooLarge(limit) => format!("an extension header is larger than the limit of {limit} bytes"),
        }
    }
}

/// What kind of member it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File,
    HardLink,
    Symlink,
    Folder,
    Special,
    Unknown(u8),
}

/// One member's header, reused from member to member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: MemberKind,
    /// Size of the content in bytes, holes included.
    pub(crate) bytes: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// The content is stored with a map of holes: what follows is not the content as a reader would see it.
    pub(crate) sparse: bool,
}

impl Member {
    pub(crate) const fn new() -> Self {
        Self {
            name: Vec::new(),
            link: Vec::new(),
            kind: MemberKind::File,
            bytes: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            sparse: false,
        }
    }
}

/// Reads members one after the other.
pub(crate) struct Walker<R> {
    source: R,
    /// Bytes of the current member's content that were not consumed yet.
    body: u64,
    /// Bytes between the content and the next header.
    padding: u64,
    position: u64,
    extension_bytes_max: u64,
    pax: Pax,
    long_name: Vec<u8>,
    long_link: Vec<u8>,
    extension: Vec<u8>,
}

/// What the last PAX header said about the next member.
#[derive(Default)]
struct Pax {
    path: Vec<u8>,
    link: Vec<u8>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    sparse: bool,
    sparse_name: Vec<u8>,
    sparse_size: Option<u64>,
}

impl Pax {
    fn clear(&mut self) {
        self.path.clear();
        self.link.clear();
        self.sparse_name.clear();
        self.size = None;
        self.uid = None;
        self.gid = None;
        self.sparse = false;
        self.sparse_size = None;
    }
}

const BLOCK: usize = 512;
/// The scratch buffer grows by what has arrived, and at least by this.
const SCRATCH_STEP: usize = 1 << 20;
type Block = [u8; BLOCK];

impl<R: BufRead> Walker<R> {
    pub(crate) fn new(source: R, extension_bytes_max: u64) -> Self {
        Self {
            source,
            body: 0,
            padding: 0,
            position: 0,
            extension_bytes_max,
            pax: Pax::default(),
            long_name: Vec::new(),
            long_link: Vec::new(),
            extension: Vec::new(),
        }
    }

    /// How many bytes of the archive were consumed.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Skips what is left of the current member and reads the next header into `member`; false at the end.
    pub(crate) fn next(&mut self, member: &mut Member) -> Result<bool, Broken> {
        self.pax.clear();
        self.long_name.clear();
        self.long_link.clear();
        let mut described = false;
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            if !self.read_header(&mut block)? {
                return if described { Err(Broken::EndsEarly) } else { Ok(false) };
            }
            let size = number(&block[124..136])?;
            let kind = block[156];
            match kind {
                b'x' => {
                    self.read_extension(size)?;
                    self.pax.clear();
                    parse_pax(&self.extension, &mut self.pax)?;
                }
                b'g' => self.set_body(size)?,
                b'L' => {
                    self.read_extension(size)?;
                    self.long_name.clear();
                    self.long_name.extend_from_slice(until_nul(&self.extension));
                }
                b'K' => {
                    self.read_extension(size)?;
                    self.long_link.clear();
                    self.long_link.extend_from_slice(until_nul(&self.extension));
                }
                _ => {
                    self.describe(&block, member)?;
                    self.set_content(&block, size, member)?;
                    return Ok(true);
                }
            }
            described |= kind != b'g';
        }
    }

    /// Reads a header block. False at the end of the archive: two blocks of zeros, or the end of the source.
    fn read_header(&mut self, block: &mut Block) -> Result<bool, Broken> {
        if !self.read_block(block)? {
            return Ok(false);
        }
        if is_zero(block) {
            if !self.read_block(block)? || is_zero(block) {
                return Ok(false);
            }
            return Err(Broken::Malformed("a block of zeros is followed by another header"));
        }
        let stored = number(&block[148..156])?;
        let bytes = || block[..148].iter().chain(&block[156..]);
        let unsigned = bytes().map(|&b| u64::from(b)).sum::<u64>() + 8 * 32;
        let signed = || bytes().map(|&b| i64::from(b.cast_signed())).sum::<i64>() + 8 * 32;
        if stored != unsigned && i64::try_from(stored) != Ok(signed()) {
            return Err(Broken::Malformed("a header's checksum is wrong"));
        }
        Ok(true)
    }

    /// Fills in what the header and the extensions before it say.
    fn describe(&mut self, block: &Block, member: &mut Member) -> Result<(), Broken> {
        let pax = &mut self.pax;
        member.name.clear();
        if !self.long_name.is_empty() {
            member.name.extend_from_slice(&self.long_name);
        } else if !pax.sparse_name.is_empty() {
            member.name.extend_from_slice(&pax.sparse_name);
        } else if !pax.path.is_empty() {
            member.name.extend_from_slice(&pax.path);
        } else {
            header_name(block, &mut member.name);
        }
        member.link.clear();
        if !self.long_link.is_empty() {
            member.link.extend_from_slice(&self.long_link);
        } else if !pax.link.is_empty() {
            member.link.extend_from_slice(&pax.link);
        } else {
            member.link.extend_from_slice(until_nul(&block[157..257]));
        }
        member.kind = match block[156] {
            0 if member.name.ends_with(b"/") => MemberKind::Folder,
            0 | b'0' | b'7' | b'S' => MemberKind::File,
            b'1' => MemberKind::HardLink,
            b'2' => MemberKind::Symlink,
            b'3' | b'4' | b'6' => MemberKind::Special,
            b'5' => MemberKind::Folder,
            other => MemberKind::Unknown(other),
        };
        member.mode = u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or_default();
        member.uid = pax.uid.map_or_else(|| number(&block[108..116]), Ok)?;
        member.gid = pax.gid.map_or_else(|| number(&block[116..124]), Ok)?;
        Ok(())
    }

    /// Works out where the content ends, and how large a reader would see it.
    fn set_content(&mut self, block: &Block, header_size: u64, member: &mut Member) -> Result<(), Broken> {
        let stored = self.pax.size.unwrap_or(header_size);
        let has_content = matches!(member.kind, MemberKind::File | MemberKind::Unknown(_));
        self.set_body(if has_content { stored } else { 0 })?;
        member.bytes = self.body;
        member.sparse = false;
        if block[156] == b'S' {
            member.sparse = true;
            member.bytes = number(&block[483..495])?;
            let mut extended = block[482] != 0;
            while extended {
                let mut map = [0; BLOCK];
                if !self.read_block(&mut map)? {
                    return Err(Broken::EndsEarly);
                }
                extended = map[504] != 0;
            }
        } else if self.pax.sparse && member.kind == MemberKind::File {
            member.sparse = true;
            member.bytes = self.pax.sparse_size.unwrap_or(stored);
        }
        Ok(())
    }

    fn set_body(&mut self, bytes: u64) -> Result<(), Broken> {
        if bytes > i64::MAX.cast_unsigned() {
            return Err(Broken::Malformed("a member's size is larger than any file"));
        }
        self.body = bytes;
        self.padding = bytes.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn read_extension(&mut self, bytes: u64) -> Result<(), Broken> {
        if bytes > self.extension_bytes_max {
            return Err(Broken::ExtensionTooLarge(self.extension_bytes_max));
        }
        self.set_body(bytes)?;
        let mut extension = std::mem::take(&mut self.extension);
        extension.clear();
        let result = self.pieces(|piece| {
            extension.extend_from_slice(piece);
            true
        });
        self.extension = extension;
        result
    }

    /// The first bytes of the content, at most `bytes`, without moving on. Blocks of archives and what the source
    /// holds are aligned, so that there are fewer only where the content or the archive ends.
    pub(crate) fn head(&mut self, bytes: usize) -> &[u8] {
        let wanted = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes);
        // An error shows again when the content is read.
        let available = self.source.fill_buf().unwrap_or_default();
        &available[..wanted.min(available.len())]
    }

    /// How many bytes of the content lie in one piece in the source.
    pub(crate) fn at_hand(&mut self) -> usize {
        self.head(usize::MAX).len()
    }

    /// Hands the whole content to `look`: borrowed from the source where it lies there in one piece, else put
    /// together in `scratch`. When the archive ends before the content, `look` gets what there is with `false`, and
    /// the reason is returned beside its answer.
    pub(crate) fn whole<T>(
        &mut self,
        scratch: &mut Vec<u8>,
        look: impl FnOnce(&[u8], bool) -> T,
    ) -> (T, Option<Broken>) {
        let wanted = usize::try_from(self.body).unwrap_or(usize::MAX);
        if let Ok(available) = self.source.fill_buf()
            && available.len() >= wanted
        {
            let value = look(&available[..wanted], true);
            self.consume(wanted);
            return (value, None);
        }
        scratch.clear();
        let result = self.pieces(|piece| {
            if scratch.capacity() - scratch.len() < piece.len() {
                let growth = scratch.len().max(SCRATCH_STEP).min(wanted - scratch.len());
                scratch.reserve_exact(growth.max(piece.len()));
            }
            scratch.extend_from_slice(piece);
            true
        });
        (look(scratch, result.is_ok()), result.err())
    }

    /// Hands the content on piece by piece, as it lies in the source, until `take` returns false.
    pub(crate) fn pieces(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        while self.body > 0 {
            let available = self.source.fill_buf().map_err(Broken::Input)?;
            if available.is_empty() {
                return Err(Broken::EndsEarly);
            }
            let n = available.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
            let go_on = take(&available[..n]);
            self.consume(n);
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// Skips what is left of the content, and the padding after it.
    fn skip(&mut self) -> Result<(), Broken> {
        self.pieces(|_| true)?;
        self.body = std::mem::take(&mut self.padding);
        let result = self.pieces(|_| true);
        self.body = 0;
        match result {
            // Some writers leave out the padding of the last member.
            Err(Broken::EndsEarly) => Ok(()),
            result => result,
        }
    }

    /// Reads one block; false when the source is at its end.
    fn read_block(&mut self, block: &mut Block) -> Result<bool, Broken> {
        let mut filled = 0;
        while filled < BLOCK {
            let available = self.source.fill_buf().map_err(Broken::Input)?;
            if available.is_empty() {
                return if filled == 0 { Ok(false) } else { Err(Broken::EndsEarly) };
            }
            let n = available.len().min(BLOCK - filled);
            block[filled..filled + n].copy_from_slice(&available[..n]);
            self.source.consume(n);
            self.position += n as u64;
            filled += n;
        }
        Ok(true)
    }

    fn consume(&mut self, bytes: usize) {
        self.source.consume(bytes);
        self.position += bytes as u64;
        self.body -= bytes as u64;
    }
}

fn is_zero(block: &Block) -> bool {
    block.iter().all(|&b| b == 0)
}

fn until_nul(field: &[u8]) -> &[u8] {
    memchr::memchr(0, field).map_or(field, |end| &field[..end])
}

/// A name as the header spells it: POSIX headers have a prefix field, GNU's use that space otherwise.
fn header_name(block: &Block, out: &mut Vec<u8>) {
    let name = until_nul(&block[..100]);
    if &block[257..263] == b"ustar\0" {
        let end = if &block[508..512] == b"tar\0" { 476 } else { 500 };
        let prefix = until_nul(&block[345..end]);
        if !prefix.is_empty() {
            out.extend_from_slice(prefix);
            out.push(b'/');
        }
    }
    out.extend_from_slice(name);
}

/// A numeric field: octal digits between blanks, or, with the top bit set, a binary number (GNU).
fn number(field: &[u8]) -> Result<u64, Broken> {
    const BAD: Broken = Broken::Malformed("a header has a number that is none");
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        if first & 0x40 != 0 {
            return Err(Broken::Malformed("a header has a negative number"));
        }
        return rest.iter().try_fold(u64::from(first & 0x3f), |value, &byte| {
            value.checked_mul(256).map(|value| value | u64::from(byte)).ok_or(BAD)
        });
    }
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(|b| *b == 0).unwrap_or(digits.len())];
    let digits = digits.trim_ascii_end();
    digits.iter().try_fold(0_u64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value + u64::from(byte - b'0')).ok_or(BAD),
        _ => Err(BAD),
    })
}

/// Records of the form `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record (POSIX.1-2017 `pax`, "pax
/// Extended Header").
fn parse_pax(mut rest: &[u8], pax: &mut Pax) -> Result<(), Broken> {
    const BAD: Broken = Broken::Malformed("an extended header has a record that is none");
    while !rest.is_empty() {
        let space = memchr::memchr(b' ', rest).filter(|at| *at < 20).ok_or(BAD)?;
        let length = usize::try_from(decimal(&rest[..space])?).map_err(|_| BAD)?;
        let record = rest.get(space + 1..length).ok_or(BAD)?;
        let (b'\n', record) = record.split_last().ok_or(BAD)? else { return Err(BAD) };
        let equals = memchr::memchr(b'=', record).ok_or(BAD)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        rest = &rest[length..];
        apply_pax(key, value, pax)?;
    }
    Ok(())
}

fn apply_pax(key: &[u8], value: &[u8], pax: &mut Pax) -> Result<(), Broken> {
    pax.sparse |= key.starts_with(b"GNU.sparse.");
    if value.is_empty() {
        return Ok(());
    }
    let copy = |to: &mut Vec<u8>| {
        to.clear();
        to.extend_from_slice(value);
    };
    match key {
        b"path" => copy(&mut pax.path),
        b"linkpath" => copy(&mut pax.link),
        b"GNU.sparse.name" => copy(&mut pax.sparse_name),
        b"size" => pax.size = Some(decimal(value)?),
        b"uid" => pax.uid = Some(decimal(value)?),
        b"gid" => pax.gid = Some(decimal(value)?),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => pax.sparse_size = Some(decimal(value)?),
        _ => {}
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Result<u64, Broken> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse().map_err(|_| Broken::Malformed("an extended header has a number that is none"))
}
