//! PHP: Composer's list of what is installed, and its lockfile.
//!
//! Not here: `composer.json`, which asks for ranges. How lockfiles are treated: [`super::locked`]. Of `installed.json`
//! everything is reported, also what only development needs: it is there.
//!
//! Source: Composer's documentation, "Basic usage", "composer.lock"; `installed.json` is a list in version 1 and an
//! object with `packages` in version 2.

use super::is_depth_below;
use super::locked::{self, Locked, without_mark};
use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, PackageFormat};
use serde::Deserialize;
use serde_json::Value;

/// Reads `vendor/composer/installed.json` and `composer.lock`.
pub(super) struct Php;

/// Is this Composer's list of installed packages?
pub(super) fn is_manifest(path: &[u8]) -> bool {
    path.strip_suffix(b"composer/installed.json").is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
        && is_depth_below(path)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Installed {
    Second { packages: Vec<Release> },
    First(Vec<Release>),
}

#[derive(Deserialize)]
struct Lockfile {
    packages: Vec<Release>,
}

#[derive(Deserialize)]
struct Release {
    name: String,
    version: String,
    /// A list, or one text.
    #[serde(default)]
    license: Value,
}

impl Analyzer for Php {
    fn id(&self) -> &'static str {
        "php/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_manifest(file.path.as_bytes()) {
            return Want::Whole { bytes_max: limits.lockfile_bytes_max };
        }
        locked::wants(file, &[b"composer.lock"], limits)
    }

    fn analyze(&self, file: &FileView<'_>, out: &mut Sink<'_>) -> Result<(), Unread> {
        let json = without_mark(file.content);
        let packages = if is_manifest(file.entry.path.as_bytes()) {
            match serde_json::from_slice(json) {
                Ok(Installed::Second { packages } | Installed::First(packages)) => packages,
                Err(error) => return Err(Unread::malformed(format!("not Composer's installed.json: {error}"))),
            }
        } else {
            let lock: Result<Lockfile, _> = serde_json::from_slice(json);
            lock.map_err(|error| Unread::malformed(format!("not a composer.lock: {error}")))?.packages
        };
        let mut found = Locked::new(PackageFormat::Composer);
        for release in &packages {
            found.add_licensed(&release.name, &release.version, &licenses(&release.license));
        }
        found.push(file, out);
        Ok(())
    }
}

fn licenses(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, survives};

    const LIST: &str =
        r#"[{"name":"monolog/monolog","version":"1.0.0","license":["MIT"]},{"name":"a/b","version":"v2.0.0"}]"#;

    #[test]
    fn composer_installed_json_is_read_in_both_versions() {
        let expect = ["pkg:composer/a/b@v2.0.0", "pkg:composer/monolog/monolog@1.0.0 MIT"];
        check("app/vendor/composer/installed.json", LIST, &expect);
        let second = format!(r#"{{"packages":{LIST},"dev":true,"dev-package-names":["a/b"]}}"#);
        check("app/vendor/composer/installed.json", &second, &expect);
        check("app/installed.json", LIST, &["not wanted"]);
        survives("app/vendor/composer/installed.json", second.as_bytes());
    }

    #[test]
    fn composer_lock_is_read_without_development() {
        let lock = format!(r#"{{"packages":{LIST},"packages-dev":[{{"name":"x/y","version":"1"}}]}}"#);
        check("app/composer.lock", &lock, &["pkg:composer/a/b@v2.0.0", "pkg:composer/monolog/monolog@1.0.0 MIT"]);
        check("app/vendor/x/composer.lock", &lock, &["not wanted"]);
        check(
            "app/composer.lock",
            "{}",
            &["gap malformed: not a composer.lock: missing field `packages` at line 1 column 2"],
        );
        survives("app/composer.lock", lock.as_bytes());
    }
}
