//! What a package analyzer is: it sees one file at a time and can open nothing.
//!
//! Not here: the pass that offers files ([`crate::read_layer`]), or anything that needs more than one file
//! ([`crate::squash`]). Invariant: an analyzer's facts depend on the path and the content of one file alone,
//! so that they can be stored per layer.

use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, GapReason, LayerPath};

/// What the archive's header says about a regular file, before its content is read.
#[derive(Debug, Clone, Copy)]
pub struct FileEntry<'a> {
    /// Where it lies.
    pub path: &'a LayerPath,
    /// Size of the content in bytes.
    pub bytes: u64,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

impl FileEntry<'_> {
    /// May anybody execute it?
    pub const fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

/// How much of a file an analyzer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    No,
    /// All of it; a file larger than `bytes_max` is a gap.
    Whole {
        /// The largest file that is read, in bytes.
        bytes_max: u64,
    },
    /// All of it, if its first bytes are those of machine code; then a file larger than `bytes_max` is a gap.
    Program {
        /// The largest file that is read, in bytes.
        bytes_max: u64,
    },
}

/// A file with its content.
#[derive(Debug, Clone, Copy)]
pub struct FileView<'a> {
    /// What the header says.
    pub entry: FileEntry<'a>,
    /// The content, or its beginning when the archive ends early.
    pub content: &'a [u8],
    /// What the first bytes tell.
    pub form: FileForm,
    /// False when the archive ended before the content did.
    pub complete: bool,
}

/// What a file's first bytes tell about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileForm {
    /// No bytes.
    Empty,
    /// ELF (System V ABI, chapter 4).
    Elf,
    /// DOS or Windows executable.
    Pe,
    /// Mach-O, thin or universal.
    MachO,
    /// Starts with `#!`.
    Script,
    /// No NUL byte among the first.
    Text,
    /// Anything else.
    Binary,
}

impl FileForm {
    /// How many bytes are looked at to tell text from binary, as git does.
    pub const HEAD_BYTES: usize = 8000;

    /// How many bytes tell machine code and scripts.
    pub const MAGIC_BYTES: usize = 8;

    /// Tells the form from the first [`Self::HEAD_BYTES`] bytes of the content, or fewer.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(Self::HEAD_BYTES)];
        match head {
            [] => Self::Empty,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Self::MachO,
            [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, architectures, ..] if *architectures < 20 => Self::MachO,
            [b'#', b'!', ..] => Self::Script,
            [b'M', b'Z', rest @ ..] if rest.iter().take(Self::MAGIC_BYTES - 2).any(|&b| b == 0) => Self::Pe,
            head if memchr::memchr(0, head).is_some() => Self::Binary,
            _ => Self::Text,
        }
    }

    /// Is it machine code in a form that a system loads?
    pub const fn is_machine_code(self) -> bool {
        matches!(self, Self::Elf | Self::Pe | Self::MachO)
    }

    /// Is it told to be text?
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Script)
    }
}

/// Why an analyzer could not read a file it wanted: becomes a gap that names the file. What it pushed before stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// For programs.
    pub reason: GapReason,
    /// For people: what is wrong with the file. The file's path is added.
    pub detail: String,
}

impl Unread {
    /// The bytes are not in the form they should have.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self { reason: GapReason::Malformed, detail: detail.into() }
    }
}

/// Reads one kind of file. All of them stand in one slice, [`crate::packages::ANALYZERS`].
pub trait Analyzer: Send + Sync {
    /// A short name for people and for the fingerprint; it carries a version when its facts change: `dpkg/1`.
    fn id(&self) -> &'static str;

    /// Whose facts it makes.
    fn detector(&self) -> Detector;

    /// Does it read this file? Called for every regular file: cheap, no allocation.
    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want;

    /// Reads one file it wanted.
    ///
    /// # Errors
    /// When the file could not be read in full; what was pushed before the error stays.
    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread>;
}
