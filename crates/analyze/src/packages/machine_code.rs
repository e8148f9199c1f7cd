//! Just enough of ELF, PE and Mach-O to find a section by its name and the bytes behind an address.
//!
//! Not here: symbols, relocations, code. Invariant: every offset and length is checked against the file; what points
//! outside is not there.
//!
//! Sources: System V ABI, chapters 4 and 5; Microsoft's "PE Format"; Apple's `mach-o/loader.h` and `mach-o/fat.h`.

use crate::analyzer::{FileEntry, FileForm};

/// A program in a form that a system loads. Programs below this size are too small to hold what is looked for.
const PROGRAM_BYTES_MIN: u64 = 2048;
/// How many programs of a universal file are looked at.
const SLICES_MAX: u64 = 16;
/// Load commands of a Mach-O file that are looked at.
const COMMANDS_MAX: u64 = 4096;
/// How programs and the libraries that language packages load are named where their mode does not tell.
const SUFFIXES: [&[u8]; 4] = [b".exe", b".dll", b".so", b".node"];

/// May this file be a program or a library that some language's package loads? Its content decides.
pub(super) fn is_candidate(file: &FileEntry<'_>) -> bool {
    let path = file.path.as_bytes();
    file.bytes >= PROGRAM_BYTES_MIN && (file.is_executable() || SUFFIXES.iter().any(|suffix| path.ends_with(suffix)))
}

/// Does a file of this name lie where programs do? The mode is not known.
pub(super) fn is_in_program_folder(path: &[u8]) -> bool {
    let Some(slash) = memchr::memrchr(b'/', path) else { return false };
    matches!(path[..slash].rsplit(|&b| b == b'/').next(), Some(b"bin" | b"sbin" | b"libexec"))
}

/// The programs inside a file: several in a universal Mach-O file, else the file itself.
pub(super) fn programs(content: &[u8]) -> Vec<&[u8]> {
    match FileForm::of(&content[..content.len().min(FileForm::MAGIC_BYTES)]) {
        FileForm::Elf | FileForm::Pe => vec![content],
        FileForm::MachO if content.starts_with(&[0xca, 0xfe, 0xba, 0xbe]) => universal(content),
        FileForm::MachO => vec![content],
        FileForm::Empty | FileForm::Script | FileForm::Text | FileForm::Binary => Vec::new(),
    }
}

fn universal(content: &[u8]) -> Vec<&[u8]> {
    let count = int(content, 4, 4, true).unwrap_or(0).min(SLICES_MAX);
    let slice = |index: u64| {
        let header = tail(content, 8 + index * 20)?;
        cut(content, int(header, 8, 4, true)?, int(header, 12, 4, true)?)
    };
    (0..count).filter_map(slice).collect()
}

/// One program.
pub(super) struct Program<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
    sections: Vec<(&'a [u8], &'a [u8])>,
}

/// A range of addresses that is filled from the file.
struct Segment {
    address: u64,
    offset: u64,
    bytes: u64,
}

impl<'a> Program<'a> {
    /// Reads the tables of segments and sections. What is broken in them is left out.
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let mut program = Self { bytes, segments: Vec::new(), sections: Vec::new() };
        // Each stops at the first field that lies outside the file.
        let _ends_early = match bytes {
            [0x7f, b'E', b'L', b'F', ..] => program.read_elf(),
            [b'M', b'Z', ..] => program.read_pe(),
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => program.read_mach_o(true),
            _ => program.read_mach_o(false),
        };
        program
    }

    /// The content of the first section of this name.
    pub(super) fn section(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.sections.iter().find(|(known, _)| *known == name).map(|(_, content)| *content)
    }

    /// `bytes` bytes behind an address.
    pub(super) fn at(&self, address: u64, bytes: u64) -> Option<&'a [u8]> {
        let holds = |segment: &&Segment| address >= segment.address && address - segment.address < segment.bytes;
        let segment = self.segments.iter().find(holds)?;
        let within = address - segment.address;
        (bytes <= segment.bytes - within).then_some(())?;
        cut(self.bytes, segment.offset.checked_add(within)?, bytes)
    }

    fn read_elf(&mut self) -> Option<()> {
        let bytes = self.bytes;
        let wide = *bytes.get(4)? == 2;
        let big = *bytes.get(5)? == 2;
        let word = if wide { 8 } else { 4 };
        let at = |narrow: u64, wide_at: u64| if wide { wide_at } else { narrow };
        let field = |base: &[u8], offset: u64, size: usize| int(base, offset, size, big);
        let segments = field(bytes, at(28, 32), word)?;
        let (segment_bytes, segment_count) = (field(bytes, at(42, 54), 2)?, field(bytes, at(44, 56), 2)?);
        for index in 0..segment_count {
            let Some(header) = tail(bytes, segments.checked_add(index * segment_bytes)?) else { break };
            const LOAD: u64 = 1;
            if field(header, 0, 4)? == LOAD {
                self.segments.push(Segment {
                    address: field(header, at(8, 16), word)?,
                    offset: field(header, at(4, 8), word)?,
                    bytes: field(header, at(16, 32), word)?,
                });
            }
        }
        let sections = field(bytes, at(32, 40), word)?;
        let (section_bytes, section_count) = (field(bytes, at(46, 58), 2)?, field(bytes, at(48, 60), 2)?);
        let content = |header: &[u8]| cut(bytes, field(header, at(16, 24), word)?, field(header, at(20, 32), word)?);
        let header_of = |index: u64| tail(bytes, sections.checked_add(index * section_bytes)?);
        let names = content(header_of(field(bytes, at(50, 62), 2)?)?)?;
        for header in (0..section_count).map_while(header_of) {
            let name = tail(names, field(header, 0, 4)?).map(until_nul).unwrap_or_default();
            if let Some(content) = content(header) {
                self.sections.push((name, content));
            }
        }
        Some(())
    }

    fn read_pe(&mut self) -> Option<()> {
        let bytes = self.bytes;
        let coff = tail(bytes, int(bytes, 0x3c, 4, false)?)?.strip_prefix(b"PE\0\0")?;
        let optional = tail(coff, 20)?;
        let base = match int(optional, 0, 2, false)? {
            0x20b => int(optional, 24, 8, false)?,
            _ => int(optional, 28, 4, false)?,
        };
        let sections = tail(optional, int(coff, 16, 2, false)?)?;
        for index in 0..int(coff, 2, 2, false)? {
            let header = tail(sections, index * 40)?;
            let (virtual_bytes, raw_bytes) = (int(header, 8, 4, false)?, int(header, 16, 4, false)?);
            let (address, offset) = (int(header, 12, 4, false)?, int(header, 20, 4, false)?);
            self.segments.push(Segment { address: base.checked_add(address)?, offset, bytes: raw_bytes });
            // What lies on disk is padded to a multiple of a block.
            if let Some(content) = cut(bytes, offset, raw_bytes.min(virtual_bytes)) {
                self.sections.push((until_nul(header.get(..8)?), content));
            }
        }
        Some(())
    }

    fn read_mach_o(&mut self, big: bool) -> Option<()> {
        let bytes = self.bytes;
        let field = |base: &[u8], offset: u64, size: usize| int(base, offset, size, big);
        let wide = field(bytes, 0, 4)? == 0xfeed_facf;
        let mut command = tail(bytes, if wide { 32 } else { 28 })?;
        for _ in 0..field(bytes, 16, 4)?.min(COMMANDS_MAX) {
            let (kind, command_bytes) = (field(command, 0, 4)?, field(command, 4, 4)?);
            let (word, at, section_bytes) = match kind {
                0x1 => (4, [24, 32, 36, 48, 56, 36, 40], 68),
                0x19 => (8, [24, 40, 48, 64, 72, 40, 48], 80),
                _ => {
                    command = tail(command, command_bytes.max(8))?;
                    continue;
                }
            };
            let [address, offset, length, count, first, section_length, section_offset] = at;
            self.segments.push(Segment {
                address: field(command, address, word)?,
                offset: field(command, offset, word)?,
                bytes: field(command, length, word)?,
            });
            let room = command_bytes / section_bytes;
            for index in 0..field(command, count, 4)?.min(room) {
                let header = tail(command, first + index * section_bytes)?;
                let content = cut(bytes, field(header, section_offset, 4)?, field(header, section_length, word)?);
                if let Some(content) = content {
                    self.sections.push((until_nul(header.get(..16)?), content));
                }
            }
            command = tail(command, command_bytes.max(8))?;
        }
        Some(())
    }
}

/// An unsigned number of at most 8 bytes.
pub(super) fn int(bytes: &[u8], at: u64, size: usize, big: bool) -> Option<u64> {
    let field = cut(bytes, at, size as u64)?;
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(if big { field.iter().fold(0, fold) } else { field.iter().rev().fold(0, fold) })
}

fn tail(bytes: &[u8], at: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..)
}

fn cut(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    tail(bytes, at)?.get(..usize::try_from(length).ok()?)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a small ELF file: its bytes are mapped at `address`, and `sections` follow the headers, each at a
    /// multiple of 16.
    pub(in crate::packages) fn elf(address: u64, sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; 64 + 56];
        let mut names = vec![0];
        let mut headers = vec![0; 64];
        let mut put = |out: &mut Vec<u8>, name: &str, content: &[u8], names: &mut Vec<u8>| {
            out.resize(out.len().next_multiple_of(16), 0);
            let mut header = [0; 64];
            header[..4].copy_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
            header[24..32].copy_from_slice(&(out.len() as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
            headers.extend_from_slice(&header);
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            out.extend_from_slice(content);
        };
        for (name, content) in sections {
            put(&mut out, name, content, &mut names);
        }
        let table = [&names[..], b".shstrtab\0"].concat();
        put(&mut out, ".shstrtab", &table, &mut names);
        out.resize(out.len().next_multiple_of(16).max(PROGRAM_BYTES_MIN as usize), 0);
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let end = out.len() as u64;
        out[32..40].copy_from_slice(&64_u64.to_le_bytes());
        out[40..48].copy_from_slice(&end.to_le_bytes());
        let counts = [56_u16, 1, 64, sections.len() as u16 + 2, sections.len() as u16 + 1];
        for (index, count) in counts.iter().enumerate() {
            out[54 + 2 * index..56 + 2 * index].copy_from_slice(&count.to_le_bytes());
        }
        out[64] = 1;
        out[80..88].copy_from_slice(&address.to_le_bytes());
        out[96..104].copy_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&headers);
        out
    }

    #[test]
    fn elf_sections_and_addresses_are_found() {
        let file = elf(0x40_0000, &[(".text", b"code"), (".dep-v0", b"audit")]);
        let program = Program::parse(&file);
        assert_eq!(program.section(b".dep-v0"), Some(&b"audit"[..]));
        assert_eq!(program.section(b".missing"), None);
        assert_eq!(program.at(0x40_0000, 4), Some(&b"\x7fELF"[..]));
        assert_eq!(program.at(0x3f_ffff, 1), None);
        assert_eq!(program.at(0x40_0000, u64::MAX), None);
    }

    #[test]
    fn pe_sections_and_addresses_are_found() {
        let mut file = vec![0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        file[0x46] = 1;
        file[0x54] = 112;
        file[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        file[0x58 + 24..0x58 + 28].copy_from_slice(&0x40_0000_u32.to_le_bytes());
        let section = 0x58 + 112;
        file[section..section + 8].copy_from_slice(b".dep-v0\0");
        for (at, value) in [(8, 5_u32), (12, 0x1000), (16, 0x20), (20, 0x1e0)] {
            file[section + at..section + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        file[0x1e0..0x1e5].copy_from_slice(b"audit");
        let program = Program::parse(&file);
        assert_eq!(program.section(b".dep-v0"), Some(&b"audit"[..]));
        assert_eq!(program.at(0x40_1000, 5), Some(&b"audit"[..]));
    }

    #[test]
    fn mach_o_sections_and_addresses_are_found_also_in_universal_files() {
        let mut thin = vec![0; 256];
        thin[..4].copy_from_slice(&0xfeed_facf_u32.to_le_bytes());
        thin[16] = 1;
        let command = 32;
        thin[command] = 0x19;
        thin[command + 4] = 72 + 80;
        thin[command + 24..command + 32].copy_from_slice(&0x1_0000_0000_u64.to_le_bytes());
        thin[command + 48..command + 56].copy_from_slice(&256_u64.to_le_bytes());
        thin[command + 64] = 1;
        let section = command + 72;
        thin[section..section + 7].copy_from_slice(b".dep-v0");
        thin[section + 40] = 5;
        thin[section + 48] = 200;
        thin[200..205].copy_from_slice(b"audit");
        let program = Program::parse(&thin);
        assert_eq!(program.section(b".dep-v0"), Some(&b"audit"[..]));
        assert_eq!(program.at(0x1_0000_00c8, 5), Some(&b"audit"[..]));
        let mut fat = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1];
        fat.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 1, 0, 0, 0, 0, 0]);
        fat.extend_from_slice(&thin);
        assert_eq!(programs(&fat), [&thin[..]]);
        for end in 0..fat.len() {
            for program in programs(&fat[..end]) {
                let _ = Program::parse(program).section(b".dep-v0");
            }
        }
    }

    #[test]
    fn program_tables_that_lie_are_survived() {
        let file = elf(u64::MAX - 16, &[(".text", b"code")]);
        for at in 0..file.len().min(256) {
            for value in [0, 0x7f, 0xff] {
                let mut broken = file.clone();
                broken[at] = value;
                let program = Program::parse(&broken);
                let _ = (program.section(b".text"), program.at(u64::MAX, 8), program.at(0, u64::MAX));
            }
        }
    }
}
