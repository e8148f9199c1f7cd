//! Lua: rocks that LuaRocks installed, by the rockspec that it keeps: `rocks-5.4/NAME/VERSION/NAME-VERSION.rockspec`.
//!
//! Not here: rockspecs of source trees. A rockspec is a Lua program; of it only the assignments of texts at the left
//! margin are read, and `license` within `description`.
//!
//! Source: LuaRocks' documentation, "Rockspec format" and "File locations".

use super::locked::Locked;
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads the rockspecs of trees.
pub(super) struct Lua;

/// Is this the rockspec of an installed rock?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    if !path.ends_with(b".rockspec") || !is_depth_below(path) {
        return false;
    }
    let tree = path.rsplit(|&b| b == b'/').nth(3).unwrap_or_default();
    tree == b"rocks" || tree.starts_with(b"rocks-")
}

impl Analyzer for Lua {
    fn id(&self) -> &'static str {
        "lua/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) { Want::Whole { bytes_max: limits.manifest_bytes_max } } else { Want::No }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let (mut package, mut version, mut license) = (None, None, None);
        for (_, line) in lines(file.content) {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let Some((left, right)) = line.split_once('=') else { continue };
            let slot = match left.trim_end() {
                "package" => &mut package,
                "version" => &mut version,
                indented if indented.trim_start() == "license" => &mut license,
                _ => continue,
            };
            *slot = slot.or_else(|| text(right));
        }
        // A version that is put together by the program is in the name of the folder.
        let mut parts = file.entry.path.as_bytes().rsplit(|&b| b == b'/').skip(1);
        let (folder_version, folder_name) = (parts.next().and_then(super::field), parts.next().and_then(super::field));
        let (Some(name), Some(version)) =
            (package.map(str::to_owned).or(folder_name), version.map(str::to_owned).or(folder_version))
        else {
            return Err(Unread::malformed("a rockspec without a package or a version"));
        };
        let licenses: Vec<String> = license.map(str::to_owned).into_iter().collect();
        let mut found = Locked::new(PackageFormat::Luarocks);
        found.add_licensed(&name, &version, &licenses);
        found.push(file, out);
        Ok(())
    }
}

/// `"…"`, `'…'` or `[[…]]`, and nothing that is put together.
fn text(right: &str) -> Option<&str> {
    let right = right.trim().trim_end_matches([',', ';']);
    let marks = [("\"", "\""), ("'", "'"), ("[[", "]]")];
    let inner = marks.iter().find_map(|(open, close)| right.strip_prefix(open)?.strip_suffix(close))?;
    (!inner.contains(['"', '\'', '[', ']']) && !inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn installed_rocks_are_read() {
        let spec = "package = \"LuaSocket\"\nversion = \"3.1.0-1\"\nsource = {\n  url = \"git+https://git.example/x\"\n}\n\
                    description = {\n  license = \"MIT\",\n}\n";
        let path = "usr/local/lib/luarocks/rocks-5.1/luasocket/3.1.0-1/luasocket-3.1.0-1.rockspec";
        check(path, spec, &["pkg:luarocks/LuaSocket@3.1.0-1 MIT"]);
        check("src/luasocket-3.1.0-1.rockspec", spec, &["not wanted"]);
        let computed = "local v = '3.1'\npackage = 'luasocket'\nversion = v .. \"-1\"\n";
        check(path, computed, &["pkg:luarocks/luasocket@3.1.0-1"]);
        survives(path, spec.as_bytes());
    }
}
