//! RPM databases are recognised, and reported as not read: nothing found and could not look are not the same.

use crate::analyzer::{Analyzer, FileEntry, FileView, Unread, Want};
use crate::limits::Limits;
use crate::sink::Sink;
use model::{Detector, GapReason};

/// Recognises `var/lib/rpm`.
pub(super) struct Rpm;

const FOLDERS: [&[u8]; 3] = [b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/"];
const NAMES: [&[u8]; 3] = [b"Packages", b"Packages.db", b"rpmdb.sqlite"];

fn is_database(path: &[u8]) -> bool {
    FOLDERS.iter().any(|folder| path.strip_prefix(*folder).is_some_and(|name| NAMES.contains(&name)))
}

impl Analyzer for Rpm {
    fn id(&self) -> &'static str {
        "rpm/1"
    }

    fn detector(&self) -> Detector {
        Detector::Packages
    }

    fn wants(&self, file: &FileEntry<'_>, limits: &Limits) -> Want {
        if is_database(file.path.as_bytes()) { Want::Whole { bytes_max: limits.database_bytes_max } } else { Want::No }
    }

    fn analyze(&self, _file: &FileView<'_>, _out: &mut Sink<'_>) -> Result<(), Unread> {
        let detail = "an RPM database, which is not supported: its packages are not listed".to_owned();
        Err(Unread { reason: GapReason::Unsupported, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn rpm_database_is_a_gap_and_not_an_empty_list() {
        let gap = "gap unsupported: an RPM database, which is not supported: its packages are not listed";
        check("var/lib/rpm/rpmdb.sqlite", "SQLite format 3", &[gap]);
        check("var/lib/rpm/__db.001", "", &["not wanted"]);
    }
}
