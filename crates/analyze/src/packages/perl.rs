//! Perl: distributions that cpanm or carton installed, `.meta/NAME-VERSION/MYMETA.json`; what ExtUtils::Install noted in
//! `perllocal.pod`; Carton's lockfile, `cpanfile.snapshot`.
//!
//! Not here: `.packlist`, which lists files and has no version; `cpanfile`, which asks for ranges; modules that are part
//! of Perl. How lockfiles are treated: [`super::locked`]. `perllocal.pod` names the main module, from which the
//! distribution's name follows for nearly all; of a module that it names several times the last entry counts.
//!
//! Sources: CPAN::Meta::Spec; ExtUtils::Command::MM, `perllocal_install`; Carton's documentation; purl specification,
//! type `cpan`, whose name is that of the distribution.

use super::locked::{self, Locked, without_mark};
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads `MYMETA.json`, `perllocal.pod` and `cpanfile.snapshot`.
pub(super) struct Perl;

const SNAPSHOT: &[u8] = b"cpanfile.snapshot";
const LOCAL: &[u8] = b"perllocal.pod";

/// Is this the metadata of an installed distribution?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    let Some(folder) = path.strip_suffix(b"/MYMETA.json") else { return false };
    folder.rsplit(|&b| b == b'/').nth(1) == Some(b".meta") && is_depth_below(path)
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    /// A text; some tools write a number.
    version: Value,
    /// A list, or one text.
    #[serde(default)]
    license: Value,
}

impl Analyzer for Perl {
    fn id(&self) -> &'static str {
        "perl/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let path = file.path.as_bytes();
        if is_manifest(path) || file.path.file_name() == LOCAL && file.bytes > 0 && is_depth_below(path) {
            return Want::Whole { bytes_max: limits.manifest_bytes_max };
        }
        locked::wants(file, &[SNAPSHOT], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::Cpan);
        let result = match file.entry.path.file_name() {
            SNAPSHOT => read_snapshot(file.content, &mut found),
            LOCAL => {
                read_local(file.content, &mut found);
                Ok(())
            }
            _ => read_metadata(file.content, &mut found),
        };
        found.push(file, out);
        result
    }
}

fn read_metadata(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let metadata: Metadata = serde_json::from_slice(without_mark(content))
        .map_err(|error| Unread::malformed(format!("not the metadata of a Perl distribution: {error}")))?;
    let version = match &metadata.version {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let licenses: Vec<String> = match &metadata.license {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let licenses: Vec<String> = licenses.into_iter().filter(|license| license != "unknown").collect();
    found.add_licensed(&metadata.name.replace("::", "-"), &version, &licenses);
    Ok(())
}

/// `=head2 DATE: C<Module> L<Try::Tiny|Try::Tiny>`, and below it `C<VERSION: 0.31>`.
fn read_local(content: &[u8], found: &mut Locked) {
    let mut last: BTreeMap<String, (String, u32)> = BTreeMap::new();
    let mut module: Option<&str> = None;
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if line.starts_with("=head2 ") {
            let link = line.split_once("C<Module> L<").map(|(_, link)| link);
            module = link.and_then(|link| link.split(['|', '>']).next());
        } else if let (Some(name), Some(version)) = (module, line.strip_prefix("C<VERSION: ")) {
            last.insert(name.replace("::", "-"), (version.trim_end_matches('>').to_owned(), number));
        }
    }
    for (name, (version, number)) in last {
        found.add_at(&name, &version, number);
    }
}

/// Below `DISTRIBUTIONS`, indented by two, one `NAME-VERSION` per distribution.
fn read_snapshot(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    if !content.starts_with(b"# carton snapshot format: version 1") {
        return Err(Unread::malformed("not a cpanfile.snapshot of version 1"));
    }
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let distribution = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        // `Some-Name-v1.2.3`: the version follows the last hyphen.
        if let Some((name, version)) = distribution.and_then(|text| text.trim_end().rsplit_once('-'))
            && version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
        {
            found.add_at(name, version, number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn installed_distributions_are_read() {
        let metadata = r#"{"abstract":"x","author":["y"],"license":["artistic_2"],"meta-spec":{"version":2},
            "name":"DateTime","version":"1.55"}"#;
        let path = "usr/local/lib/perl5/site_perl/5.36.0/x86_64-linux-gnu/.meta/DateTime-1.55/MYMETA.json";
        check(path, metadata, &["pkg:cpan/DateTime@1.55 artistic_2"]);
        check(path, r#"{"name":"A::B","version":0.5,"license":"unknown"}"#, &["pkg:cpan/A-B@0.5"]);
        check("src/DateTime-1.55/MYMETA.json", metadata, &["not wanted"]);
        survives(path, metadata.as_bytes());
    }

    #[test]
    fn perllocal_names_what_was_installed_last() {
        let entry = |version: &str| {
            format!(
                "=head2 Wed Jan  1 00:00:00 2020: C<Module> L<Try::Tiny|Try::Tiny>\n\n=over 4\n\n=item *\n\n\
                 C<installed into: /usr/local/share/perl/5.36.0>\n\n=item *\n\nC<VERSION: {version}>\n\n=back\n\n"
            )
        };
        let local = entry("0.30") + &entry("0.31");
        check("usr/local/lib/perl/5.36.0/perllocal.pod", &local, &["pkg:cpan/Try-Tiny@0.31 line 25"]);
        survives("usr/local/lib/perl/5.36.0/perllocal.pod", entry("0.31").as_bytes());
    }

    #[test]
    fn carton_snapshot_is_read() {
        let lock = "# carton snapshot format: version 1.0\nDISTRIBUTIONS\n  Mojolicious-9.19\n    pathname: S/SR/SRI/Mojolicious-9.19.tar.gz\n    \
                    provides:\n      Mojo undef\n  libwww-perl-v6.76\n    pathname: O/OA/OALDERS/libwww-perl-v6.76.tar.gz\n";
        check(
            "app/cpanfile.snapshot",
            lock,
            &["pkg:cpan/Mojolicious@9.19 line 3", "pkg:cpan/libwww-perl@v6.76 line 7"],
        );
        check("app/cpanfile.snapshot", "x", &["gap malformed: not a cpanfile.snapshot of version 1"]);
        survives("app/cpanfile.snapshot", lock.as_bytes());
    }
}
