//! What a file's name and place say about the values in it.
//!
//! Invariant: names only raise or lower a confidence; no file is left out because of its name.

use model::LayerPath;
use std::cell::OnceCell;

/// How a text assigns values to names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Environment of a process: every value is final.
    Environment,
    /// Configuration: values stand there to be used.
    Settings,
    /// Source code, documentation, data: most values are something else.
    Other,
}

/// What is known about a text apart from its bytes. Most texts hold no candidate, so nothing is told before
/// it is asked.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    path: Option<&'a LayerPath>,
    told: OnceCell<(Style, bool)>,
}

/// Folders whose files show how something is used.
const SAMPLE_FOLDERS: &[&str] = &[
    "test",
    "tests",
    "testing",
    "testdata",
    "test_data",
    "test-data",
    "__tests__",
    "spec",
    "specs",
    "fixture",
    "fixtures",
    "mock",
    "mocks",
    "__mocks__",
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "doc",
    "docs",
    "documentation",
    "man",
    "info",
    "locale",
    "locales",
    "i18n",
    "l10n",
    "lang",
    "langs",
    "translations",
    "bench",
    "benches",
    "benchmark",
    "benchmarks",
    "tutorial",
    "tutorials",
];

/// Ends of the names of such files.
const SAMPLE_ENDS: &[&str] = &[
    ".md",
    ".rst",
    ".adoc",
    ".html",
    ".htm",
    ".po",
    ".pot",
    ".d.ts",
    ".map",
    ".ipynb",
    ".tex",
    ".1",
    ".3",
    ".5",
    ".7",
    ".8",
    ".sample",
    ".example",
    ".dist",
    ".template",
    ".tmpl",
];

/// Ends of the names of such files, before the part that names the language.
const SAMPLE_STEMS: &[&str] =
    &["_test", "_tests", "-test", "-tests", ".test", ".tests", "_spec", ".spec", "_bench", "_benchmark", "_fixture"];

/// Beginnings of the names of such files.
const SAMPLE_BEGINNINGS: &[&str] =
    &["test_", "readme", "changelog", "changes", "history", "news", "license", "copying", "pkg-info", "metadata"];

/// Folders of packages that others wrote and published.
const DEPENDENCY_FOLDERS: &[&str] = &["node_modules", "bower_components", "site-packages", "dist-packages", "gems"];

/// Names with which the author of a package tells services how to build and test it. What stands there is published
/// with the package and gives nobody access to what the image is for.
const BUILD_SERVICES: &[&str] = &[
    ".appveyor.yml",
    ".circleci",
    ".cirrus.yml",
    ".codeclimate.yml",
    ".codecov.yml",
    ".coveralls.yml",
    ".drone.yml",
    ".github",
    ".gitlab-ci.yml",
    ".travis.yml",
    "appveyor.yml",
    "circle.yml",
    "codecov.yml",
];

/// Ends of the names of files that hold settings.
const SETTINGS_ENDS: &[&str] = &[
    ".ini",
    ".cfg",
    ".cnf",
    ".conf",
    ".config",
    ".properties",
    ".toml",
    ".yaml",
    ".yml",
    ".tf",
    ".hcl",
    ".tfvars",
    ".tfstate",
    ".json",
    ".xml",
    "credentials",
    "secrets",
    "wp-config.php",
    "settings.py",
    "local.php",
];

impl<'a> Surroundings<'a> {
    /// Those of an image's configuration.
    pub(super) const fn of_configuration() -> Self {
        Self { path: None, told: OnceCell::new() }
    }

    /// Those of a file.
    pub(super) const fn of_file(path: &'a LayerPath) -> Self {
        Self { path: Some(path), told: OnceCell::new() }
    }

    /// The file's path; empty in an image's configuration.
    pub(super) fn path(&self) -> &'a [u8] {
        self.path.map_or(&[], LayerPath::as_bytes)
    }

    /// How the text assigns values.
    pub(super) fn style(&self) -> Style {
        self.told().0
    }

    /// Does it hold tests, examples, documentation, translations, or what the author of a dependency tells build services?
    pub(super) fn sample(&self) -> bool {
        self.told().1
    }

    fn told(&self) -> (Style, bool) {
        *self.told.get_or_init(|| self.path.map_or((Style::Environment, false), tell))
    }
}

fn tell(path: &LayerPath) -> (Style, bool) {
    let name = path.file_name().to_ascii_lowercase();
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end.as_bytes()));
    let begins = |all: &[&str]| all.iter().any(|start| name.starts_with(start.as_bytes()));
    let is_sample = |part: &[u8]| SAMPLE_FOLDERS.iter().any(|folder| part.eq_ignore_ascii_case(folder.as_bytes()));
    let in_samples = path.parent().as_bytes().split(|b| *b == b'/').any(is_sample);
    let environment = name.starts_with(b".env") || name.ends_with(b".env") || name == b"environment";
    let style = match (environment, ends(SETTINGS_ENDS)) {
        (true, _) => Style::Environment,
        (false, true) => Style::Settings,
        (false, false) => Style::Other,
    };
    let stem = &name[..name.iter().rposition(|b| *b == b'.').unwrap_or(name.len())];
    let is_stem = stem == b"test" || stem == b"tests" || SAMPLE_STEMS.iter().any(|end| stem.ends_with(end.as_bytes()));
    (style, is_stem || in_samples || is_build_of_dependency(path) || ends(SAMPLE_ENDS) || begins(SAMPLE_BEGINNINGS))
}

/// Does the author of a dependency tell a build service something there?
fn is_build_of_dependency(path: &LayerPath) -> bool {
    let is_any = |part: &[u8], names: &[&str]| names.iter().any(|name| part == name.as_bytes());
    let mut parts = path.as_bytes().split(|b| *b == b'/');
    parts.any(|part| is_any(part, DEPENDENCY_FOLDERS)) && parts.any(|part| is_any(part, BUILD_SERVICES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_surroundings() {
        let check = |path: &str, style: Style, sample: bool| {
            let path = LayerPath::from(path);
            let found = Surroundings::of_file(&path);
            assert_eq!((found.style(), found.sample()), (style, sample), "{path}");
        };
        check("srv/app/.env", Style::Environment, false);
        check("srv/app/.env.production", Style::Environment, false);
        check("srv/app/.env.example", Style::Environment, true);
        check("etc/app/settings.YML", Style::Settings, false);
        check("root/.aws/credentials", Style::Settings, false);
        check("usr/lib/python3/test/key.pem", Style::Other, true);
        check("usr/lib/python3/latest/key.pem", Style::Other, false);
        check("app/node_modules/x/README.md", Style::Other, true);
        check("app/node_modules/debug/.coveralls.yml", Style::Settings, true);
        check("app/node_modules/x/.github/workflows/ci.yml", Style::Settings, true);
        check("app/.coveralls.yml", Style::Settings, false);
        check("app/.github/node_modules/x/config.yml", Style::Settings, false);
        check("srv/app/x509_test.cc", Style::Other, true);
        check("srv/app/contest.py", Style::Other, false);
    }
}
