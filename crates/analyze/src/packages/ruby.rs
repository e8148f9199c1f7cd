//! Ruby: the specifications of installed gems, and Bundler's lockfile.
//!
//! Not here: `Gemfile`, which asks for ranges, and gemspecs elsewhere, which are programs. Those in `specifications` are
//! programs too, but RubyGems writes them in one form. How lockfiles are treated: [`super::locked`]. `Gemfile.lock` does
//! not mark what only development needs.

use super::locked::{self, Locked};
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads `specifications/*.gemspec` and `Gemfile.lock`.
pub(super) struct Ruby;

const LOCKFILES: [&[u8]; 2] = [b"Gemfile.lock", b"gems.locked"];

/// Is this the specification of an installed gem?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    if !path.ends_with(b".gemspec") || !is_depth_below(path) {
        return false;
    }
    let mut folders = path.rsplit(|&b| b == b'/').skip(1);
    match folders.next() {
        Some(b"specifications") => true,
        Some(b"default") => folders.next() == Some(b"specifications"),
        _ => false,
    }
}

impl Analyzer for Ruby {
    fn id(&self) -> &'static str {
        "ruby/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.manifest_bytes_max };
        }
        locked::wants(file, &LOCKFILES, limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::Gem);
        let result = if is_manifest(file.entry.path.as_bytes()) {
            read_specification(file.content, &mut found)
        } else {
            read_lockfile(file.content, &mut found)
        };
        found.push(file, out);
        result
    }
}

/// `s.name = "rails".freeze`, `s.version = "6.0.0"`, `s.licenses = ["MIT".freeze]`; the comment
/// `# stub: rails 6.0.0 ruby lib` says the same.
fn read_specification(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let (mut name, mut version, mut licenses) = (None, None, Vec::new());
    for (_, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some(stub) = line.strip_prefix("# stub: ") {
            let mut words = stub.split(' ');
            name = name.or(words.next());
            version = version.or(words.next());
            continue;
        }
        let Some((left, right)) = line.trim_start().split_once(" = ") else { continue };
        match left.split_once('.').map(|(_, attribute)| attribute.trim_end()) {
            Some("name") => name = name.or_else(|| quoted(right).next()),
            Some("version") => version = version.or_else(|| quoted(right).next()),
            Some("license" | "licenses") => licenses.extend(quoted(right).map(str::to_owned)),
            _ => {}
        }
    }
    let (Some(name), Some(version)) = (name, version) else {
        return Err(Unread::malformed("a gem's specification without a name or a version"));
    };
    found.add_licensed(name, version, &licenses);
    Ok(())
}

/// The texts between quotation marks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mark = text.find(['"', '\'']).map_or('"', |at| if text[at..].starts_with('"') { '"' } else { '\'' });
    text.split(mark).skip(1).step_by(2)
}

/// Sections begin at the left margin; gems stand below `specs:`, with an indentation of four:
/// `    nokogiri (1.13.0-x86_64-linux)`. Those of the section `PATH` are the project itself.
fn read_lockfile(content: &[u8], found: &mut Locked) -> Result<(), Unread> {
    let mut section = "";
    let mut is_lock = false;
    for (number, line) in lines(content) {
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Unread::malformed(format!("Gemfile.lock, line {number}: not UTF-8")));
        };
        if !line.starts_with(' ') {
            section = line.trim_end();
            is_lock |= matches!(section, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE" | "DEPENDENCIES" | "PLATFORMS");
            continue;
        }
        let gem = line.strip_prefix("    ").filter(|gem| !gem.starts_with(' '));
        if !matches!(section, "GEM" | "GIT" | "PLUGIN SOURCE") {
            continue;
        }
        if let Some((name, version)) = gem.and_then(|gem| gem.trim_end().strip_suffix(')')?.split_once(" (")) {
            // A platform follows; versions of gems have no hyphen.
            found.add_at(name, version.split('-').next().unwrap_or(version), number);
        }
    }
    if is_lock { Ok(()) } else { Err(Unread::malformed("not a Gemfile.lock: none of its sections")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn gem_specifications_are_read() {
        let spec = "# -*- encoding: utf-8 -*-\n# stub: rack 2.2.3 ruby lib\n\nGem::Specification.new do |s|\n  \
                    s.name = \"rack\".freeze\n  s.version = \"2.2.3\"\n  s.licenses = [\"MIT\".freeze, \"Ruby\".freeze]\nend\n";
        let expect = ["pkg:gem/rack@2.2.3 MIT Ruby"];
        check("usr/lib/ruby/gems/2.7.0/specifications/rack-2.2.3.gemspec", spec, &expect);
        check("usr/lib/ruby/gems/2.7.0/specifications/default/rack-2.2.3.gemspec", spec, &expect);
        check("usr/lib/ruby/gems/2.7.0/gems/rack-2.2.3/rack.gemspec", spec, &["not wanted"]);
        survives("a/specifications/rack-2.2.3.gemspec", spec.as_bytes());
        let old = "Gem::Specification.new do |s|\n  s.name = %q{rack}\n  s.version = Gem::Version.new('1.0')\n";
        let gap = "gap malformed: a gem's specification without a name or a version";
        check("a/specifications/rack-1.0.gemspec", old, &[gap]);
        check("a/specifications/rack-1.0.gemspec", &old.replace("%q{rack}", "'rack'"), &["pkg:gem/rack@1.0"]);
    }

    #[test]
    fn gemfile_lock_is_read() {
        let lock = "PATH\n  remote: .\n  specs:\n    app (0.1.0)\n      rack (~> 2)\n\nGEM\n  remote: https://gems.example/\n  \
                    specs:\n    nokogiri (1.13.0-x86_64-linux)\n      racc (~> 1.4)\n    rack (2.2.3)\n\nPLATFORMS\n  ruby\n\n\
                    DEPENDENCIES\n  rack (~> 2)\n\nBUNDLED WITH\n   2.2.0\n";
        check("app/Gemfile.lock", lock, &["pkg:gem/nokogiri@1.13.0 line 10", "pkg:gem/rack@2.2.3 line 12"]);
        check("usr/lib/ruby/gems/2.7.0/gems/x-1/Gemfile.lock", lock, &["not wanted"]);
        check("app/Gemfile.lock", "no\n", &["gap malformed: not a Gemfile.lock: none of its sections"]);
        survives("app/Gemfile.lock", lock.as_bytes());
    }
}
