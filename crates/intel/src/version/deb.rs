//! Versions of Debian packages: `[epoch:]upstream[-revision]` (deb-version(7)).
//!
//! Letters sort before other characters, `~` before everything, also before the end; a missing revision is `0`.

use std::cmp::Ordering;

use super::{Number, Why, split_while};

#[derive(Debug)]
pub(super) struct Version<'a> {
    epoch: Number<'a>,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
            return Err("the epoch is not a number");
        }
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("the version does not start with a digit");
        }
        if revision.is_empty() {
            return Err("the revision is empty");
        }
        if !upstream.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+~:".contains(&b)) {
            return Err("the version has a character that is not allowed");
        }
        if !revision.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~".contains(&b)) {
            return Err("the revision has a character that is not allowed");
        }
        Ok(Version { epoch: Number::new(epoch), upstream, revision })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| part(self.upstream, other.upstream))
            .then_with(|| part(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}

/// Compares in turn runs without digits, by [`weight`], and runs of digits, by value.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (x, a_after) = split_while(a, |c| !c.is_ascii_digit());
        let (y, b_after) = split_while(b, |c| !c.is_ascii_digit());
        let found = words(x, y);
        if found.is_ne() {
            return found;
        }
        let (x, a_after) = split_while(a_after, u8::is_ascii_digit);
        let (y, b_after) = split_while(b_after, u8::is_ascii_digit);
        let found = Number::new(x).cmp(&Number::new(y));
        if found.is_ne() {
            return found;
        }
        (a, b) = (a_after, b_after);
    }
    Ordering::Equal
}

fn words(a: &str, b: &str) -> Ordering {
    let weights = |text: &str, at: usize| text.as_bytes().get(at).map_or(0, |c| weight(*c));
    (0..a.len().max(b.len()))
        .map(|at| weights(a, at).cmp(&weights(b, at)))
        .find(|found| found.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The end, and a digit that ends the run, weigh nothing.
fn weight(c: u8) -> i32 {
    match c {
        b'~' => -1,
        b'a'..=b'z' | b'A'..=b'Z' => i32::from(c),
        _ => i32::from(c) + 256,
    }
}
