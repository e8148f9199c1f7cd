//! Groups of agents: their names, and how a join token says which group and mode it is for.

use crate::problem::{Answer, Problem};
use model::registry::ScanMode;

/// The longest name.
const NAME_CHARS_MAX: usize = 64;

/// Checks the name of a group: it is part of the names of readers and shown everywhere.
///
/// # Errors
/// 422, saying what a name is made of.
pub(crate) fn check(name: &str) -> Answer<()> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(word) {
        return Ok(());
    }
    let rule = format!("a group has 1 to {NAME_CHARS_MAX} lower-case letters, digits, dashes, dots and underscores");
    Err(Problem::refused(format!("{name:?} is no name for a group of agents: {rule}")))
}

/// What a join token carries: mode and group in one text.
pub(crate) fn join_text(mode: ScanMode, group: &str) -> String {
    format!("{mode}:{group}")
}

/// Reads [`join_text`].
pub(crate) fn read_join_text(text: &str) -> Option<(ScanMode, &str)> {
    let (mode, group) = text.split_once(':')?;
    let mode = match mode {
        "outpost" => ScanMode::Outpost,
        "broker" => ScanMode::Broker,
        _ => return None,
    };
    Some((mode, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_text_round_trips() {
        for mode in [ScanMode::Outpost, ScanMode::Broker] {
            assert_eq!(read_join_text(&join_text(mode, "eu-west")), Some((mode, "eu-west")));
        }
        assert_eq!(read_join_text("cloud:x"), None);
        assert!(check("eu-west.1").is_ok());
        for bad in ["", "A", "a b", "a/b", "ü", &"x".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
