//! Debian's databases of installed packages: `status` (dpkg(1), "FILES"; field syntax in deb-control(5)), the one file
//! per package below `status.d` of images without dpkg, and the file lists and checksums of `info`.

use super::recorded::{may_run, sorted};
use super::{field, lines, owned_manifests};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use memchr::memmem;
use model::checksum::{Checksum, ChecksumAlgorithm};
use model::evidence::Place;
use model::inventory::{OwnedFiles, RawInput, RecordedFiles};
use model::package::{LayerPackage, SourcePackage};
use model::{Detector, PackageFormat, PackageKey};

/// Reads `var/lib/dpkg`.
pub(super) struct Dpkg;

const STATUS: &[u8] = b"var/lib/dpkg/status";
const STATUS_FOLDER: &[u8] = b"var/lib/dpkg/status.d/";
const INFO_FOLDER: &[u8] = b"var/lib/dpkg/info/";

/// Files that were moved away to make room for another package's (dpkg-divert(1)).
pub(crate) const DIVERSIONS: &str = "var/lib/dpkg/diversions";

/// Is this a database of packages (not a list of files)?
fn is_database(path: &[u8]) -> bool {
    path == STATUS || path.starts_with(STATUS_FOLDER) && !path.ends_with(b".md5sums")
}

/// The package that a file list belongs to: `info/NAME.list` or `info/NAME:ARCHITECTURE.list`.
fn listed_package(path: &[u8]) -> Option<&[u8]> {
    let stem = path.strip_prefix(INFO_FOLDER)?.strip_suffix(b".list")?;
    stem.split(|&b| b == b':').next().filter(|name| !name.is_empty())
}

/// The package that a list of checksums belongs to: `info/NAME[:ARCHITECTURE].md5sums`, `status.d/NAME.md5sums`.
fn summed_package(path: &[u8]) -> Option<&[u8]> {
    let name = path.strip_prefix(INFO_FOLDER).or_else(|| path.strip_prefix(STATUS_FOLDER))?;
    name.strip_suffix(b".md5sums")?.split(|&b| b == b':').next().filter(|name| !name.is_empty())
}

impl Analyzer for Dpkg {
    fn id(&self) -> &'static str {
        "dpkg/2"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let path = file.path.as_bytes();
        let is_wanted = || {
            is_database(path)
                || listed_package(path).is_some()
                || summed_package(path).is_some()
                || path == DIVERSIONS.as_bytes()
        };
        if path.starts_with(b"var/lib/dpkg/") && is_wanted() {
            Want::Whole { bytes_max: limits.database_bytes_max }
        } else {
            Want::No
        }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let path = file.entry.path.as_bytes();
        if let Some(package) = listed_package(path) {
            read_list(package, file, out);
        } else if let Some(package) = summed_package(path) {
            read_checksums(package, file, out);
        } else if path == DIVERSIONS.as_bytes() {
            out.raw_input(RawInput { path: file.entry.path.clone(), content: file.content.to_vec() });
        } else {
            return read_status(file, out);
        }
        Ok(())
    }
}

/// Each line has the MD5 sum of a file, two spaces, and the file's path without a slash in front (deb-md5sums(5)).
/// Configuration files are not among them.
fn read_checksums(package: &[u8], file: &FileView<'_>, out: &mut Sink<'_>) {
    const DIGITS: usize = 32;
    let recorded = lines(file.content).filter_map(|(_, line)| {
        let (digits, path) = line.split_at_checked(DIGITS)?;
        let path = path.strip_prefix(b"  ")?;
        let path = path.strip_prefix(b"./").unwrap_or(path);
        Some((path.to_vec(), Checksum::from_hex(ChecksumAlgorithm::Md5, digits)?)).filter(|(path, _)| may_run(path))
    });
    out.recorded(RecordedFiles {
        format: PackageFormat::Deb,
        package: String::from_utf8_lossy(package).into_owned(),
        recorded_in: file.entry.path.clone(),
        files: sorted(recorded),
    });
}

/// A file list has one absolute path per line.
fn read_list(package: &[u8], file: &FileView<'_>, out: &mut Sink<'_>) {
    // What [`super::is_language_manifest`] looks for, as far as Debian's packages have it; most lists have none of it.
    const NEEDLES: [&[u8]; 23] = [
        b"/package.json\n",
        b"-info/",
        b".egg-info\n",
        b"bin/",
        b"/libexec/",
        b".jar\n",
        b".gemspec\n",
        b".deps.json\n",
        b"/installed.json\n",
        b"/DESCRIPTION\n",
        b"/MYMETA.json\n",
        b".app\n",
        b".dll\n",
        b".rockspec\n",
        b"/release\n",
        b"/libcrypto.so",
        b"/libcurl",
        b"/liblua",
        b"/libnode",
        b"/libperl.so",
        b"/libphp",
        b"/libpython",
        b"/libruby",
    ];
    if NEEDLES.iter().any(|needle| memmem::find(file.content, needle).is_some()) {
        out.owned(OwnedFiles {
            format: PackageFormat::Deb,
            package: String::from_utf8_lossy(package).into_owned(),
            recorded_in: file.entry.path.clone(),
            paths: owned_manifests(lines(file.content).map(|(_, line)| line)),
        });
    }
}

/// One stanza, as far as it is of interest.
#[derive(Default)]
struct Stanza<'a> {
    line: u32,
    package: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
}

fn read_status(file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
    let is_status = file.entry.path.as_bytes() == STATUS;
    // A last line without an end may be half a version: dpkg always ends its lines, and its stanzas too.
    let whole = if is_status { whole_lines(file.content) } else { file.content };
    let mut stanza = Stanza::default();
    let mut nameless = None;
    for (number, line) in lines(whole) {
        if line.is_empty() {
            nameless = nameless.or(finish(std::mem::take(&mut stanza), file, out));
        } else {
            if stanza.line == 0 {
                stanza.line = number;
            }
            set(&mut stanza, line);
        }
    }
    nameless = nameless.or(finish(stanza, file, out));
    let cut = is_status && !file.content.is_empty() && !file.content.ends_with(b"\n\n");
    match (cut, nameless) {
        (true, _) => Err(Unread::malformed("the dpkg database does not end with an empty line: it is cut off")),
        (false, Some(line)) => {
            Err(Unread::malformed(format!("dpkg database, line {line}: a stanza without a package name or a version")))
        }
        (false, None) => Ok(()),
    }
}

fn whole_lines(content: &[u8]) -> &[u8] {
    memchr::memrchr(b'\n', content).map_or(&[], |end| &content[..=end])
}

fn set<'a>(stanza: &mut Stanza<'a>, line: &'a [u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return };
    let value = line[colon + 1..].trim_ascii();
    let field = match line[..colon].first() {
        Some(b'P' | b'p') if line[..colon].eq_ignore_ascii_case(b"Package") => &mut stanza.package,
        Some(b'S' | b's') if line[..colon].eq_ignore_ascii_case(b"Status") => &mut stanza.status,
        Some(b'S' | b's') if line[..colon].eq_ignore_ascii_case(b"Source") => &mut stanza.source,
        Some(b'V' | b'v') if line[..colon].eq_ignore_ascii_case(b"Version") => &mut stanza.version,
        Some(b'A' | b'a') if line[..colon].eq_ignore_ascii_case(b"Architecture") => &mut stanza.architecture,
        Some(_) | None => return,
    };
    *field = Some(value);
}

/// Are the package's files on disk? The third word of `Status` (dpkg(1), "Package states"); images without dpkg
/// leave the field out.
fn is_unpacked(status: Option<&[u8]>) -> bool {
    let Some(status) = status else { return true };
    let state = status.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(2);
    matches!(state, Some(b"installed" | b"half-configured" | b"unpacked" | b"triggers-awaited" | b"triggers-pending"))
}

/// Pushes the package. Answers the stanza's line if it should be a package and is not.
fn finish(stanza: Stanza<'_>, file: &FileView<'_>, out: &mut Sink<'_>) -> Option<u32> {
    if stanza.line == 0 || !is_unpacked(stanza.status) {
        return None;
    }
    let (Some(name), Some(version)) = (stanza.package.and_then(field), stanza.version.and_then(field)) else {
        return Some(stanza.line);
    };
    let source = match stanza.source.and_then(field) {
        Some(text) => parse_source(&text, &version),
        None => SourcePackage { name: name.clone(), version: version.clone() },
    };
    let mut key = PackageKey::new(PackageFormat::Deb, name, version);
    key.architecture = stanza.architecture.and_then(field);
    key.source = Some(source);
    let place = Place { path: file.entry.path.clone(), line: Some(stanza.line) };
    out.package(LayerPackage { key, place, licenses: Vec::new() });
    None
}

/// `Source: name` or `Source: name (version)` (deb-control(5)).
fn parse_source(text: &str, own_version: &str) -> SourcePackage {
    let (name, version) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end().trim_end_matches(')').trim()),
        None => (text, own_version),
    };
    let version = if version.is_empty() { own_version } else { version };
    SourcePackage { name: name.trim().to_owned(), version: version.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn dpkg_status_is_read() {
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\n\
                      Version: 2.36-9+b1\nDescription: C library\n Version: none of this\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: tzdata\nStatus: install ok half-configured\nArchitecture: all\nVersion: 2024a-0+deb12u1\n\n";
        check(
            "var/lib/dpkg/status",
            status,
            &[
                "pkg:deb/libc6@2.36-9%2Bb1?arch=amd64&upstream=glibc source 2.36-9 line 1",
                "pkg:deb/tzdata@2024a-0%2Bdeb12u1?arch=all line 13",
            ],
        );
    }

    #[test]
    fn dpkg_status_cut_in_half_keeps_what_is_whole() {
        let cut = "the dpkg database does not end with an empty line: it is cut off";
        let whole = "Package: a\nStatus: install ok installed\nVersion: 1\n\n";
        check(
            "var/lib/dpkg/status",
            &format!("{whole}Package: b\nStatus: install ok installed\nVersion: 2.1"),
            &[&format!("gap malformed: {cut}"), "pkg:deb/a@1 line 1"],
        );
    }

    #[test]
    fn dpkg_status_folder_has_one_package_per_file() {
        let stanza = "Package: base-files\nVersion: 12.4\nArchitecture: amd64";
        check("var/lib/dpkg/status.d/base-files", stanza, &["pkg:deb/base-files@12.4?arch=amd64 line 1"]);
        check("var/lib/dpkg/status.d/base-files.md5sums", stanza, &[]);
    }

    #[test]
    fn dpkg_lists_claim_manifests() {
        let list = "/.\n/usr\n/usr/lib/python3/dist-packages/six-1.16.0.egg-info\n/usr/share/doc/six/METADATA\n";
        check(
            "var/lib/dpkg/info/python3-six:all.list",
            list,
            &["owned python3-six: usr/lib/python3/dist-packages/six-1.16.0.egg-info"],
        );
    }
}
