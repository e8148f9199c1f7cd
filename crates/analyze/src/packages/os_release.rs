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

/// The files that tell the operating system, as [`assemble_os`] asks for them: the best first.
pub(crate) const RELEASE_FILES: [&str; 17] = [
    "etc/os-release",
    "usr/lib/os-release",
    "etc/alpine-release",
    "etc/oracle-release",
    "etc/rocky-release",
    "etc/almalinux-release",
    "etc/centos-release",
    "etc/fedora-release",
    "etc/redhat-release",
    "etc/system-release",
    "etc/photon-release",
    "etc/mariner-release",
    "etc/azurelinux-release",
    "etc/openEuler-release",
    "etc/SuSE-release",
    "etc/lsb-release",
    "etc/debian_version",
];

/// Is this a release file, or one that os-release is linked to by some distributions?
fn is_release_file(path: &[u8]) -> bool {
    RELEASE_FILES.iter().any(|file| file.as_bytes() == path)
        || path.starts_with(b"usr/lib/os.release.d/")
        || path.starts_with(b"usr/lib/os-release")
}

impl Analyzer for OsRelease {
    fn id(&self) -> &'static str {
        "os-release/2"
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
    RELEASE_FILES.iter().find_map(|path| {
        let content = read(path)?;
        match *path {
            "etc/os-release" | "usr/lib/os-release" => parse_os_release(content),
            "etc/alpine-release" => {
                let version = first_line(content)?;
                Some(release("alpine", &version, format!("Alpine Linux {version}")))
            }
            "etc/debian_version" => parse_debian_version(&first_line(content)?),
            "etc/lsb-release" => parse_lsb_release(content),
            "etc/SuSE-release" => parse_suse_release(content),
            _ => parse_release_line(&first_line(content)?),
        }
    })
}

fn parse_debian_version(text: &str) -> Option<inventory::OsRelease> {
    // Testing and unstable have a code name here, `trixie/sid`, and no number.
    let version = if text.starts_with(|c: char| c.is_ascii_digit()) { text } else { "" };
    let major = version.split('.').next().unwrap_or_default();
    Some(release("debian", major, format!("Debian GNU/Linux {text}")))
}

fn release(id: &str, version: &str, name: String) -> inventory::OsRelease {
    inventory::OsRelease { id: id.to_owned(), version: version.to_owned(), name }
}

fn first_line(content: &[u8]) -> Option<String> {
    lines(content).next().and_then(|(_, line)| field(line))
}

/// The values of a file of `NAME=value` lines; a later line counts more than an earlier one.
fn values<const N: usize>(content: &[u8], names: [&str; N]) -> [Option<String>; N] {
    let mut values = [const { None }; N];
    for (_, line) in lines(content) {
        let line = line.trim_ascii();
        let Some(equals) = memchr::memchr(b'=', line) else { continue };
        if let Some(at) = names.iter().position(|name| name.as_bytes() == &line[..equals]) {
            values[at] = unquote(&line[equals + 1..]);
        }
    }
    values
}

fn parse_os_release(content: &[u8]) -> Option<inventory::OsRelease> {
    let [id, version_id, version, name, pretty] =
        values(content, ["ID", "VERSION_ID", "VERSION", "NAME", "PRETTY_NAME"]);
    let id = id?;
    let mut version_id = version_id.unwrap_or_default();
    if id == "openEuler" {
        version_id = open_euler_version(&version_id, &version.unwrap_or_default());
    }
    let name = pretty.or(name).unwrap_or_else(|| format!("{id} {version_id}").trim_end().to_owned());
    Some(release(&id, &version_id, name))
}

/// openEuler's advisories tell service packs apart, which only `VERSION` names: `22.03 (LTS-SP3)` is `22.03-LTS-SP3`.
fn open_euler_version(version_id: &str, version: &str) -> String {
    let support = version.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(support, _)| support.trim());
    match support.filter(|support| !support.is_empty()) {
        Some(support) if !version_id.contains('-') => format!("{version_id}-{support}"),
        _ => version_id.to_owned(),
    }
}

/// `DISTRIB_ID=Ubuntu`, `DISTRIB_RELEASE=14.04` (Linux Standard Base; the file is that of `lsb_release(1)`).
fn parse_lsb_release(content: &[u8]) -> Option<inventory::OsRelease> {
    let [id, version, name] = values(content, ["DISTRIB_ID", "DISTRIB_RELEASE", "DISTRIB_DESCRIPTION"]);
    let (id, version) = (id?, version.unwrap_or_default());
    let name = name.unwrap_or_else(|| format!("{id} {version}").trim_end().to_owned());
    Some(release(&id.to_ascii_lowercase(), &version, name))
}

/// A line with the name, then `VERSION = 11` and, of SUSE Linux Enterprise, `PATCHLEVEL = 4`.
fn parse_suse_release(content: &[u8]) -> Option<inventory::OsRelease> {
    let name = first_line(content)?;
    let value = |wanted: &[u8]| {
        lines(content).find_map(|(_, line)| {
            let equals = memchr::memchr(b'=', line)?;
            (line[..equals].trim_ascii() == wanted).then(|| field(&line[equals + 1..]))?
        })
    };
    let version = value(b"VERSION")?;
    let lower = name.to_ascii_lowercase();
    let id = match lower.as_str() {
        text if text.starts_with("opensuse") => "opensuse",
        text if text.contains("desktop") => "sled",
        _ => "sles",
    };
    let patch = value(b"PATCHLEVEL").filter(|patch| id != "opensuse" && patch != "0");
    let version = patch.map_or_else(|| version.clone(), |patch| format!("{version}.{patch}"));
    Some(release(id, &version, name))
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

/// `CentOS release 6.10 (Final)`, `Rocky Linux release 8.9 (Green Obsidian)`, `VMware Photon OS 4.0`,
/// `CBL-Mariner 2.0.20220226`, `openEuler release 22.03 (LTS-SP3)`.
fn parse_release_line(text: &str) -> Option<inventory::OsRelease> {
    const IDS: [(&str, &str); 13] = [
        ("red hat", "rhel"),
        ("centos", "centos"),
        ("rocky", "rocky"),
        ("almalinux", "almalinux"),
        ("fedora", "fedora"),
        ("oracle", "ol"),
        ("amazon", "amzn"),
        ("vmware photon", "photon"),
        ("photon", "photon"),
        ("cbl-mariner", "mariner"),
        ("microsoft azure linux", "azurelinux"),
        ("azure linux", "azurelinux"),
        ("openeuler", "openEuler"),
    ];
    let lower = text.to_ascii_lowercase();
    let (_, id) = IDS.into_iter().find(|(word, _)| lower.starts_with(word))?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let version = match id {
        "openEuler" => open_euler_version(version, text),
        _ => version.to_owned(),
    };
    Some(release(id, &version, text.to_owned()))
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
        check(
            &[
                ("etc/redhat-release", "Red Hat Enterprise Linux 7.9\n"),
                ("etc/oracle-release", "Oracle Linux Server release 7.9\n"),
            ],
            "ol|7.9|Oracle Linux Server release 7.9",
        );
        check(
            &[
                ("etc/debian_version", "jessie/sid\n"),
                ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\n"),
            ],
            "ubuntu|14.04|Ubuntu 14.04",
        );
        check(&[("etc/os-release", "")], "");
        check(&[], "");
    }
}
