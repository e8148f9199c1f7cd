//! WordPress: its own version, and the plugins and themes that lie in `wp-content`.
//!
//! Not here: plugins that are switched on or off, which a database knows. The purl specification has no type for them:
//! they are `pkg:generic/wordpress@…`, `pkg:generic/wordpress-plugin/FOLDER@…` and `pkg:generic/wordpress-theme/FOLDER@…`.
//!
//! Sources: WordPress' Plugin Handbook, "Header Requirements", and Theme Handbook, "Main Stylesheet": headers stand in
//! the first 8 KiB of the main file; `wp-includes/version.php`.

use super::locked::Locked;
use super::{is_depth_below, lines};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};

/// Reads `wp-includes/version.php`, `wp-content/plugins/NAME/*.php` and `wp-content/themes/NAME/style.css`.
pub(super) struct WordPress;

/// How much of a main file WordPress itself reads (`get_file_data`).
const HEADER_BYTES: usize = 8 << 10;

/// What a path may be, with the name of its folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Core,
    Plugin(&'a [u8]),
    Theme(&'a [u8]),
}

/// A plugin's main file lies right in its folder, under any name.
fn part(path: &[u8]) -> Option<Part<'_>> {
    let mut parts = path.rsplit(|&b| b == b'/');
    let (file, folder, kind, content) = (parts.next()?, parts.next()?, parts.next(), parts.next());
    let found = match (kind, content) {
        _ if file == b"version.php" && folder == b"wp-includes" => Part::Core,
        (Some(b"plugins"), Some(b"wp-content")) if file.ends_with(b".php") => Part::Plugin(folder),
        (Some(b"themes"), Some(b"wp-content")) if file == b"style.css" => Part::Theme(folder),
        _ => return None,
    };
    is_depth_below(path).then_some(found)
}

impl Analyzer for WordPress {
    fn id(&self) -> &'static str {
        "wordpress/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        let path = file.path.as_bytes();
        // Most files end otherwise.
        if !(path.ends_with(b".php") || path.ends_with(b".css")) || part(path).is_none() {
            return Want::No;
        }
        Want::Whole { bytes_max: limits.manifest_bytes_max }
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let mut found = Locked::new(PackageFormat::Generic);
        let head = &file.content[..file.content.len().min(HEADER_BYTES)];
        let name = |prefix: &str, folder: &[u8]| super::field(folder).map(|folder| format!("{prefix}/{folder}"));
        match part(file.entry.path.as_bytes()) {
            Some(Part::Core) => {
                if let Some(version) = core_version(head) {
                    found.add("wordpress", version);
                }
            }
            Some(Part::Plugin(folder)) => {
                if let (Some(version), Some(name)) = (header(head, "plugin name"), name("wordpress-plugin", folder)) {
                    found.add(&name, version);
                }
            }
            Some(Part::Theme(folder)) => {
                if let (Some(version), Some(name)) = (header(head, "theme name"), name("wordpress-theme", folder)) {
                    found.add(&name, version);
                }
            }
            None => {}
        }
        found.push(file, out);
        Ok(())
    }
}

/// `$wp_version = '6.4.2';`
fn core_version(head: &[u8]) -> Option<&str> {
    let mut texts = lines(head).filter_map(|(_, line)| std::str::from_utf8(line).ok());
    let right = texts.find_map(|line| line.trim().strip_prefix("$wp_version")?.trim_start().strip_prefix('='))?;
    let right = right.trim_start();
    let mark = right.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    right[1..].split(mark).next()
}

/// The version in a header that also has the field `named`.
fn header<'a>(head: &'a [u8], named: &str) -> Option<&'a str> {
    let texts = || lines(head).filter_map(|(_, line)| std::str::from_utf8(line).ok());
    texts().find_map(|line| value_of(line, named)).filter(|name| !name.is_empty())?;
    texts().find_map(|line| value_of(line, "version")).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// `Version: 5.3`, after `<?php` and the marks of a comment, without regard to case.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let line = line.strip_prefix("<?php").unwrap_or(line).trim_start_matches([' ', '\t', '/', '*', '#', '@']);
    let (field, value) = line.split_once(':')?;
    field.eq_ignore_ascii_case(name).then(|| value.trim_end_matches("*/").trim())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    #[test]
    fn plugins_and_themes_are_told_by_their_headers() {
        let plugin = "<?php\n/**\n * Plugin Name: Akismet Anti-spam\n * Plugin URI: https://akismet.example/\n * Version: 5.3\n */\n";
        let expect = ["pkg:generic/wordpress-plugin/akismet@5.3"];
        check("var/www/html/wp-content/plugins/akismet/akismet.php", plugin, &expect);
        check("var/www/html/wp-content/plugins/akismet/inc/akismet.php", plugin, &["not wanted"]);
        check("var/www/html/wp-content/plugins/akismet/other.php", "<?php\n// Version: 1.0\n", &[]);
        let theme = "/*\nTheme Name: Twenty Twenty\nVersion: 2.0\n*/\nbody { color: red }\n";
        check("srv/wp-content/themes/twentytwenty/style.css", theme, &["pkg:generic/wordpress-theme/twentytwenty@2.0"]);
        survives("var/www/html/wp-content/plugins/akismet/akismet.php", plugin.as_bytes());
    }

    #[test]
    fn wordpress_tells_its_own_version() {
        let version = "<?php\n/**\n * @global string $wp_version\n */\n$wp_version = '6.4.2';\n";
        check("var/www/html/wp-includes/version.php", version, &["pkg:generic/wordpress@6.4.2"]);
        check("var/www/html/version.php", version, &["not wanted"]);
        survives("var/www/html/wp-includes/version.php", version.as_bytes());
    }
}
