//! Who may log in: the lines of passwd(5) and shadow(5), without anything that could be used to do so.
//!
//! Not here: whether that is a fault (policies). Invariant: no hash of a password leaves this module, only whether
//! there is one.

use model::LayerPath;
use model::evidence::Place;
use model::observation::{AccountFact, LayerObservation, ObservationKind, PasswordState};

/// Lines of one file that are read.
pub(crate) const ACCOUNTS_MAX: usize = 10_000;

/// The largest file that is read, in bytes.
pub(crate) const ACCOUNTS_BYTES_MAX: u64 = 1 << 20;

/// The longest name or shell that is kept, in characters.
const TEXT_CHARS_MAX: usize = 256;

/// Is this a file of accounts?
pub(crate) fn is_accounts(path: &LayerPath) -> bool {
    matches!(path.as_bytes(), b"etc/passwd" | b"etc/shadow")
}

/// The accounts of a file, in its order; and whether it has more than are read.
pub(crate) fn read(path: &LayerPath, content: &[u8]) -> (Vec<LayerObservation>, bool) {
    let is_shadow = path.as_bytes() == b"etc/shadow";
    let mut out = Vec::new();
    for (number, line) in (1_u32..).zip(content.split(|byte| *byte == b'\n')) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        // A line that begins with + or - is of NIS, with # a remark of a person: neither is an account.
        if text.is_empty() || text.starts_with(['#', '+', '-']) {
            continue;
        }
        let Some(fact) = account(text, is_shadow) else { continue };
        if out.len() == ACCOUNTS_MAX {
            return (out, true);
        }
        let place = Place { path: path.clone(), line: Some(number) };
        out.push(LayerObservation { kind: ObservationKind::Account(fact), place });
    }
    (out, false)
}

/// passwd(5): `name:password:UID:GID:GECOS:directory:shell`; shadow(5): `name:password:…`, nine fields.
fn account(line: &str, is_shadow: bool) -> Option<AccountFact> {
    let fields: Vec<&str> = line.split(':').collect();
    let least = if is_shadow { 2 } else { 7 };
    if fields.len() < least || fields[0].is_empty() {
        return None;
    }
    let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    let password = match fields[1] {
        "" => PasswordState::Empty,
        "x" if !is_shadow => PasswordState::Elsewhere,
        // crypt(3) writes hashes as `$id$…`, `_…`, or 13 characters of the traditional form.
        text if text.starts_with(['$', '_']) || text.len() == 13 && !text.starts_with(['!', '*']) => PasswordState::Set,
        _locked => PasswordState::Locked,
    };
    let (uid, shell) = if is_shadow { (None, None) } else { (fields[2].parse().ok(), Some(cut(fields[6]))) };
    // passwd(5): an empty shell means /bin/sh.
    let shell = shell.map(|shell| if shell.is_empty() { "/bin/sh".to_owned() } else { shell });
    Some(AccountFact { name: cut(fields[0]), uid, shell, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, content: &str, expect: &[(&str, Option<u64>, PasswordState, Option<&str>)]) {
        let (found, cut) = read(&LayerPath::from(path), content.as_bytes());
        assert!(!cut);
        let found: Vec<AccountFact> = found
            .into_iter()
            .map(|seen| match seen.kind {
                ObservationKind::Account(fact) => fact,
                other => panic!("{other:?}"),
            })
            .collect();
        let brief: Vec<_> =
            found.iter().map(|fact| (&*fact.name, fact.uid, fact.password, fact.shell.as_deref())).collect();
        assert_eq!(brief, expect, "{content}");
    }

    #[test]
    fn lines_of_both_files_are_read() {
        use PasswordState::{Elsewhere, Empty, Locked, Set};
        let passwd = "root:x:0:0:root:/root:/bin/ash\n# a remark\n+::::::\nold::7:7::/:\nbroken:x\n";
        check(
            "etc/passwd",
            passwd,
            &[("root", Some(0), Elsewhere, Some("/bin/ash")), ("old", Some(7), Empty, Some("/bin/sh"))],
        );
        let shadow = "root:::0:::::\nbin:!::0:::::\napp:*:1::::::\nlock:!$6$a$b:1::::::\nann:$6$salt$hash:1::::::\r\nold:abJnggxhB/yWI:1::::::\n";
        check(
            "etc/shadow",
            shadow,
            &[
                ("root", None, Empty, None),
                ("bin", None, Locked, None),
                ("app", None, Locked, None),
                ("lock", None, Locked, None),
                ("ann", None, Set, None),
                ("old", None, Set, None),
            ],
        );
    }

    #[test]
    fn no_hash_is_kept() {
        let (found, _) = read(&LayerPath::from("etc/shadow"), b"ann:$6$saltsalt$hashhash:1::::::\n");
        let text = format!("{found:?}");
        assert!(text.contains("ann") && !text.contains("salt") && !text.contains("hash"), "{text}");
    }

    #[test]
    fn more_accounts_than_are_read_are_told() {
        let many: String = (0..=ACCOUNTS_MAX).map(|n| format!("u{n}:!:\n")).collect();
        let (found, cut) = read(&LayerPath::from("etc/shadow"), many.as_bytes());
        assert_eq!((found.len(), cut), (ACCOUNTS_MAX, true));
    }
}
