//! Conan versions, as Conan 2 reads and orders them (conan-io/conan, `conan/internal/model/version.py`).
//!
//! Items between dots; zeros at the end count for nothing. After the last `+` stands the build, after the last `-`
//! before it the pre-release; both are read the same way. A version with a build is newer than the one without.
//!
//! One thing differs on purpose: Conan compares an item of digits and letters with a number as text, which is no order
//! (`9` < `10`, `10` < `1a`, `1a` < `9`). Here the digits count first, then the rest.

use super::{Number, Why, split_while};

/// The fields are in sorting order, apart from the pre-release, which [`Pre`] puts before none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    items: Vec<Item<'a>>,
    pre: Pre<'a>,
    build: Option<Build<'a>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre<'a> {
    Some(Vec<Item<'a>>),
    None,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Build<'a> {
    items: Vec<Item<'a>>,
    pre: Pre<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    /// Digits, and what follows them.
    Number(Number<'a>, &'a str),
    Text(&'a str),
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+_*".contains(&b)) {
            return Err("it has a character that is not allowed");
        }
        let (text, build) = text.rsplit_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (items, pre) = labelled(text);
        let build = build.map(labelled).map(|(items, pre)| Build { items, pre });
        Ok(Version { items, pre, build })
    }
}

fn labelled(text: &str) -> (Vec<Item<'_>>, Pre<'_>) {
    match text.rsplit_once('-') {
        Some((text, pre)) => (items(text), Pre::Some(items(pre))),
        None => (items(text), Pre::None),
    }
}

fn items(text: &str) -> Vec<Item<'_>> {
    let mut found: Vec<Item<'_>> = text.split('.').map(item).collect();
    while found.last().is_some_and(|item| *item == Item::Number(Number::ZERO, "")) {
        found.pop();
    }
    found
}

fn item(text: &str) -> Item<'_> {
    let (digits, rest) = split_while(text, u8::is_ascii_digit);
    if digits.is_empty() { Item::Text(text) } else { Item::Number(Number::new(digits), rest) }
}
