//! NuGet versions: one to four numbers, then semver's labels, compared without regard to case; metadata counts for
//! nothing.

use super::{Number, Why, split_while};

/// The fields are in sorting order; `numbers` has no trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    numbers: Vec<Number<'a>>,
    labels: Labels<'a>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Labels<'a> {
    Pre(Vec<Label<'a>>),
    Release,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label<'a> {
    Number(Number<'a>),
    /// In upper case, in which NuGet compares.
    Text(String),
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let (text, metadata) = text.split_once('+').unwrap_or((text, "0"));
        if !metadata.split('.').all(is_label) {
            return Err("the metadata is not allowed");
        }
        let (numbers, labels) = text.split_once('-').map_or((text, None), |(n, l)| (n, Some(l)));
        let mut found = Vec::with_capacity(4);
        for number in numbers.split('.') {
            let (digits, rest) = split_while(number, u8::is_ascii_digit);
            if digits.is_empty() || !rest.is_empty() {
                return Err("a part between dots is not a number");
            }
            found.push(Number::new(digits));
        }
        if found.len() > 4 {
            return Err("it has more than four numbers");
        }
        while found.last().is_some_and(|n| n.is_zero()) {
            found.pop();
        }
        let labels = match labels {
            None => Labels::Release,
            Some(text) if text.split('.').all(is_label) => Labels::Pre(text.split('.').map(label).collect()),
            Some(_) => return Err("a label is empty or has a character that is not allowed"),
        };
        Ok(Version { numbers: found, labels })
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn label(text: &str) -> Label<'_> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        Label::Number(Number::new(text))
    } else {
        Label::Text(text.to_ascii_uppercase())
    }
}
