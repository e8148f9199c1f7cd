//! Go programs: the build information that the linker leaves in every one of them, stripped or not (Go's package
//! `debug/buildinfo`).
//!
//! Not here: `go.mod`, which says what a source tree asks for. Programs that were packed (UPX) hide it.
//! What is read: the Go version, as package `stdlib`; the main module; its dependencies, each as what replaced it.

use super::machine_code::{Program, int, is_candidate, programs};
use super::{field, locked::Locked};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads programs that the Go linker made.
pub(super) struct Go;

/// How the header begins. It lies in writable data, at a multiple of 16.
const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER_BYTES: usize = 32;
const ALIGNMENT: usize = 16;
/// Programs that look for the magic contain it as well; so many places are tried.
const PLACES_MAX: usize = 256;
/// The longest text of versions and modules that is read; the largest programs have some hundred kilobytes.
const TEXT_BYTES_MAX: u64 = 8 << 20;
/// The text of the modules stands between two marks of this length.
const MARK_BYTES: usize = 16;

impl Analyzer for Go {
    fn id(&self) -> &'static str {
        "go/2"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_candidate(file) { Want::Program { bytes_max: limits.program_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        if !file.form.is_machine_code() {
            return Ok(());
        }
        let mut found = Locked::new(PackageFormat::Golang);
        let mut result = Ok(());
        for program in programs(file.content) {
            match build_information(program) {
                Ok(Some(information)) => read_modules(&information, &mut found),
                Ok(None) => {}
                Err(unread) => result = Err(unread),
            }
        }
        found.push(file, out);
        result
    }
}

/// What the linker wrote.
struct BuildInformation<'a> {
    /// `go1.21.3`, perhaps followed by experiments, or `devel go1.22-abcdef …`.
    version: &'a str,
    /// Lines of fields between tabulators; empty for programs that were not built from a module.
    modules: &'a str,
}

/// The first header that leads to a version; an error when there only are headers that lead nowhere.
fn build_information(program: &[u8]) -> Result<Option<BuildInformation<'_>>, Unread> {
    let mut result = Ok(None);
    for at in memchr::memmem::find_iter(program, MAGIC).take(PLACES_MAX) {
        if at % ALIGNMENT != 0 {
            continue;
        }
        let Some(header) = program.get(at..at + HEADER_BYTES) else { continue };
        let (pointer_bytes, flags) = (header[14], header[15]);
        let inline = flags & 2 != 0;
        let zeros = if inline { &header[16..] } else { &[] };
        if !matches!(pointer_bytes, 4 | 8) || flags > 3 || zeros.iter().any(|&b| b != 0) {
            continue;
        }
        let texts = if inline { inline_texts(&program[at + HEADER_BYTES..]) } else { texts_behind(program, header) };
        let information = texts.and_then(|(version, modules)| {
            let version = std::str::from_utf8(version).ok().filter(|text| is_go_version(text))?;
            Some(BuildInformation { version, modules: std::str::from_utf8(between_marks(modules)?).ok()? })
        });
        match information {
            Some(information) => return Ok(Some(information)),
            None => result = Err(Unread::malformed("a Go program whose build information cannot be read")),
        }
    }
    result
}

fn is_go_version(text: &str) -> bool {
    (text.starts_with("go") || text.starts_with("devel ")) && text.len() <= 256
}

/// From Go 1.18 on: two texts follow, each after its length.
fn inline_texts(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = counted_text(rest)?;
    let (modules, _) = counted_text(rest)?;
    Some((version, modules))
}

/// A length as in `encoding/binary`'s `Uvarint`, and so many bytes.
fn counted_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).ok().filter(|length| *length as u64 <= TEXT_BYTES_MAX)?;
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

/// Before Go 1.18: the header has the addresses of two string headers.
fn texts_behind<'a>(program: &'a [u8], header: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let big = header[15] & 1 != 0;
    let pointer_bytes = u64::from(header[14]);
    let loaded = Program::parse(program);
    let text = |field: u64| {
        let size = usize::from(header[14]);
        let string = loaded.at(int(header, field, size, big)?, 2 * pointer_bytes)?;
        let (address, length) = (int(string, 0, size, big)?, int(string, pointer_bytes, size, big)?);
        if length == 0 {
            return Some(&[][..]);
        }
        (length <= TEXT_BYTES_MAX).then(|| loaded.at(address, length))?
    };
    Some((text(16)?, text(16 + pointer_bytes).unwrap_or_default()))
}

/// The text without its marks; empty when there is none.
fn between_marks(text: &[u8]) -> Option<&[u8]> {
    if text.is_empty() {
        return Some(&[]);
    }
    let inner = text.get(MARK_BYTES..text.len().checked_sub(MARK_BYTES)?)?;
    (inner.is_empty() || inner.ends_with(b"\n")).then_some(inner)
}

/// `mod`, `dep` and `=>` lines: path, version, checksum (Go's `runtime/debug`, `BuildInfo.String`).
fn read_modules(information: &BuildInformation<'_>, found: &mut Locked) {
    let toolchain = information.version.strip_prefix("devel ").unwrap_or(information.version);
    found.add("stdlib", version_of_release(toolchain));
    let flags = information.modules.lines().find_map(|line| line.strip_prefix("build\t-ldflags=")).unwrap_or_default();
    let mut pending: Option<(&str, &str)> = None;
    for line in information.modules.lines() {
        let mut fields = line.split('\t');
        let (kind, path, version) = (fields.next(), fields.next().unwrap_or_default(), fields.next());
        match kind {
            Some("=>") => {
                // What replaced it from a folder has no name of its own.
                let named = version.filter(|version| !version.is_empty() && !path.starts_with(['.', '/']));
                pending = named.map(|version| (path, version)).or(pending);
            }
            // Go's own advisories call the go command and what belongs to it so.
            Some("path") if path == "cmd/go" => found.add("toolchain", version_of_release(toolchain)),
            Some("mod") if version == Some("(devel)") => match linked_version(flags, path) {
                Some(version) => found.add(path, &version),
                None => pending = Some((path, "(devel)")),
            },
            Some("mod" | "dep") => add_module(pending.replace((path, version.unwrap_or_default())), found),
            _ => {}
        }
    }
    add_module(pending, found);
}

/// `go1.21.3 X:boringcrypto` is `1.21.3`.
fn version_of_release(release: &str) -> &str {
    let version = release.split_ascii_whitespace().next().unwrap_or(release);
    version.strip_prefix("go").unwrap_or(version)
}

/// The version that the build put into a variable of the main module, `-X example.org/tool/version.Version=1.2.3`: all
/// that there is where the module itself only says `(devel)`.
fn linked_version(flags: &str, module: &str) -> Option<String> {
    flags.split("-X").skip(1).find_map(|flag| {
        let flag = flag.trim_start_matches([' ', '=', '\\', '"', '\'']);
        let (variable, value) = flag.split([' ', '"', '\'', '\\']).next()?.split_once('=')?;
        let name = variable.rsplit('.').next()?.to_ascii_lowercase();
        let is_of_module = variable.starts_with(module) || variable.starts_with("main.");
        let number = value.strip_prefix('v').unwrap_or(value);
        let is_release = number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.');
        let is_version = matches!(name.as_str(), "version" | "gitversion" | "buildversion" | "appversion");
        (is_of_module && is_version && is_release && number.len() <= 64).then(|| format!("v{number}"))
    })
}

fn add_module(module: Option<(&str, &str)>, found: &mut Locked) {
    let Some((path, version)) = module else { return };
    // The name of a program that was built from loose files.
    if path != "command-line-arguments" && field(path.as_bytes()).is_some() {
        found.add(path, version);
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine_code::tests::elf;
    use super::super::tests::{check_program, survives};
    use super::*;

    const MODULES: &str = "path\texample.org/tool/cmd\nmod\texample.org/tool\t(devel)\t\n\
                           dep\tgolang.org/x/net\tv0.1.0\th1:abc=\n\
                           dep\tgithub.com/old/name\tv1.0.0\n=>\tgithub.com/new/name\tv1.0.1\th1:def=\n\
                           dep\texample.org/local\tv0.0.0\n=>\t../local\t\t\nbuild\t-compiler=gc\n";

    fn marked(modules: &str) -> Vec<u8> {
        [b"0w\xaf\x0c\x92t\x08\x02A\xe1\xc1\x07\xe6\xd6\x18\xe6", modules.as_bytes(), &[0xf9; 16]].concat()
    }

    fn inline(version: &str, modules: &str) -> Vec<u8> {
        let modules = marked(modules);
        let mut out = [MAGIC, &[8, 2], &[0; 16], &[u8::try_from(version.len()).unwrap()], version.as_bytes()].concat();
        out.extend_from_slice(&[modules.len() as u8 | 0x80, (modules.len() >> 7) as u8]);
        [out, modules].concat()
    }

    const EXPECT: [&str; 5] = [
        "pkg:golang/example.org/local@v0.0.0",
        "pkg:golang/example.org/tool@(devel)",
        "pkg:golang/github.com/new/name@v1.0.1",
        "pkg:golang/golang.org/x/net@v0.1.0",
        "pkg:golang/stdlib@1.21.3",
    ];

    #[test]
    fn go_modules_are_read_from_inline_build_information() {
        let content = elf(0x40_0000, &[(".text", b"x"), (".go.buildinfo", &inline("go1.21.3 X:nocoverage", MODULES))]);
        check_program("usr/bin/tool", &content, &EXPECT.map(|line| line.replace('(', "%28").replace(')', "%29")));
        survives("usr/bin/tool", &content);
    }

    #[test]
    fn go_modules_are_read_behind_pointers() {
        let modules = marked(MODULES);
        let base = 0x40_0000_u64;
        // Header at 128, string headers at 160 and 176, then the texts.
        let (version_at, modules_at) = (base + 192, base + 208);
        let mut data = [MAGIC, &[8, 0]].concat();
        for value in [base + 160, base + 176, version_at, 8, modules_at, modules.len() as u64] {
            data.extend_from_slice(&value.to_le_bytes());
        }
        data.extend_from_slice(b"go1.21.3\0\0\0\0\0\0\0\0");
        data.extend_from_slice(&modules);
        let content = elf(base, &[(".data", &data)]);
        check_program("usr/bin/tool", &content, &EXPECT.map(|line| line.replace('(', "%28").replace(')', "%29")));
        survives("usr/bin/tool", &content);
    }

    #[test]
    fn go_build_information_that_leads_nowhere_is_a_gap() {
        let mut data = [MAGIC, &[8, 0]].concat();
        data.extend_from_slice(&[0xee; 16]);
        let gap = "gap malformed: a Go program whose build information cannot be read";
        check_program("usr/bin/tool", &elf(0x40_0000, &[(".data", &data)]), &[gap]);
    }

    #[test]
    fn go_magic_in_other_programs_is_none() {
        // A program that reads build information, as this one.
        check_program(
            "usr/bin/tool",
            &elf(0, &[(".rodata", &[MAGIC, b"and more text of it, no header"].concat())]),
            &[""; 0],
        );
        check_program("usr/bin/tool", &elf(0, &[(".text", b"no magic")]), &[""; 0]);
        let decoy = [MAGIC, &[8, 2], &[0; 16], b"\x03abc\x00"].concat();
        let real = inline("go1.22", "");
        check_program("bin/x", &elf(0, &[(".rodata", &decoy), (".data", &real)]), &["pkg:golang/stdlib@1.22"]);
    }
}
