//! The operating system of an image: os-release (freedesktop os-release(5)) and the older release files.
//!
//! A layer only keeps the files; which of them counts is told by [`assemble_os`], with the whole image in view,
//! because `etc/os-release` is usually a link and a later layer may replace either end.

use super::{field, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::inventory::RawInput;
use model::{Detector, inventory};

/// Keeps the release files.
pub(super) struct OsRelease;

/// The largest release file that is kept, in bytes.
const RELEASE_BYTES_MAX: u64 = 64 << 10;

/// The files that tell the operating system, as [`assemble_os`] asks for them.
pub(crate) const RELEASE_FILES: [&str; 5] =
    ["etc/os-release", "usr/lib/os-release", "etc/alpine-release", "etc/debian_version", "etc/redhat-release"];

/// Is this a release file, or one that os-release is linked to by some distributions?
fn is_release_file(path: &[u8]) -> bool {
    RELEASE_FILES.iter().any(|file| file.as_bytes() == path)
        || path.starts_with(b"usr/lib/os.release.d/")
        || path.starts_with(b"usr/lib/os-release")
}

impl Analyzer for OsRelease {
    fn id(&self) -> &'static str {
        "os-release/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, _limits: &Limits) -> Want {
        if is_release_file(file.path.as_bytes()) { Want::Whole { bytes_max: RELEASE_BYTES_MAX } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        out.raw_input(RawInput { path: file.entry.path.clone(), content: file.content.to_vec() });
        Ok(())
    }
}

/// Tells the operating system. `read` gives the content of a path of the flattened image, links followed.
pub(crate) fn assemble_os<'a>(read: impl Fn(&str) -> Option<&'a [u8]>) -> Option<inventory::OsRelease> {
    let full = ["etc/os-release", "usr/lib/os-release"].into_iter().filter_map(&read).find_map(parse_os_release);
    full.or_else(|| {
        let version = read("etc/alpine-release").and_then(first_line)?;
        Some(release("alpine", &version, format!("Alpine Linux {version}")))
    })
    .or_else(|| {
        let text = read("etc/debian_version").and_then(first_line)?;
        // Testing and unstable have a code name here, `trixie/sid`, and no number.
        let version = if text.starts_with(|c: char| c.is_ascii_digit()) { text.as_str() } else { "" };
        let major = version.split('.').next().unwrap_or_default();
        Some(release("debian", major, format!("Debian GNU/Linux {text}")))
    })
    .or_else(|| parse_redhat_release(&read("etc/redhat-release").and_then(first_line)?))
}

fn release(id: &str, version: &str, name: String) -> inventory::OsRelease {
    inventory::OsRelease { id: id.to_owned(), version: version.to_owned(), name }
}

fn first_line(content: &[u8]) -> Option<String> {
    lines(content).next().and_then(|(_, line)| field(line))
}

fn parse_os_release(content: &[u8]) -> Option<inventory::OsRelease> {
    let (mut id, mut version, mut name, mut pretty) = (None, None, None, None);
    for (_, line) in lines(content) {
        let line = line.trim_ascii();
        let Some(equals) = memchr::memchr(b'=', line) else { continue };
        let slot = match &line[..equals] {
            b"ID" => &mut id,
            b"VERSION_ID" => &mut version,
            b"NAME" => &mut name,
            b"PRETTY_NAME" => &mut pretty,
            _ => continue,
        };
        *slot = unquote(&line[equals + 1..]);
    }
    let id = id?;
    let version = version.unwrap_or_default();
    let name = pretty.or(name).unwrap_or_else(|| format!("{id} {version}").trim_end().to_owned());
    Some(release(&id, &version, name))
}

/// A value as a shell would read it: quotes around it go, and in double quotes a backslash protects what follows.
fn unquote(value: &[u8]) -> Option<String> {
    let text = field(value)?;
    let inner = match text.as_bytes() {
        [b'"', .., b'"'] if text.len() >= 2 => &text[1..text.len() - 1],
        [b'\'', .., b'\''] if text.len() >= 2 => return Some(text[1..text.len() - 1].to_owned()),
        _ => &text,
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    (!out.is_empty()).then_some(out)
}

/// `CentOS release 6.10 (Final)`, `Rocky Linux release 8.9 (Green Obsidian)`.
fn parse_redhat_release(text: &str) -> Option<inventory::OsRelease> {
    const IDS: [(&str, &str); 7] = [
        ("red hat", "rhel"),
        ("centos", "centos"),
        ("rocky", "rocky"),
        ("almalinux", "almalinux"),
        ("fedora", "fedora"),
        ("oracle", "ol"),
        ("amazon", "amzn"),
    ];
    let lower = text.to_ascii_lowercase();
    let (_, id) = IDS.into_iter().find(|(word, _)| lower.starts_with(word))?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(release(id, version, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expect: &str) {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, content)| content.as_bytes());
        let os = assemble_os(read);
        assert_eq!(os.map(|os| format!("{}|{}|{}", os.id, os.version, os.name)).unwrap_or_default(), expect);
    }

    #[test]
    fn os_is_told_by_the_best_release_file() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        check(&[("etc/os-release", debian)], "debian|12|Debian GNU/Linux 12 (bookworm)");
        check(
            &[("usr/lib/os-release", debian), ("etc/debian_version", "12.4\n")],
            "debian|12|Debian GNU/Linux 12 (bookworm)",
        );
        check(&[("etc/os-release", "ID='wolfi'\nNAME=\"a\\\"b\"")], "wolfi||a\"b");
        check(&[("etc/alpine-release", "3.9.6\n")], "alpine|3.9.6|Alpine Linux 3.9.6");
        check(&[("etc/debian_version", "trixie/sid\n")], "debian||Debian GNU/Linux trixie/sid");
        check(&[("etc/debian_version", "10.13\n")], "debian|10|Debian GNU/Linux 10.13");
        check(&[("etc/redhat-release", "CentOS release 6.10 (Final)\n")], "centos|6.10|CentOS release 6.10 (Final)");
        check(&[("etc/os-release", "")], "");
        check(&[], "");
    }
}
