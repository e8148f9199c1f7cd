//! Versions of OpenSSL: three numbers, then letters for patch releases before 3.0 (`1.1.1w`, after `z` come `za`, `zb`;
//! "Release Strategy" of the OpenSSL project), or a pre-release (`3.0.0-beta2`, `1.1.1-pre8`).

use super::{Number, Why, split_while};

/// The fields are in sorting order; `numbers` has no trailing zeros.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'a> {
    numbers: Vec<Number<'a>>,
    label: Label<'a>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label<'a> {
    /// `dev`, then `alpha`, `beta`, `pre`, each with its number.
    Pre(Stage, Number<'a>),
    Release,
    /// How many letters, then which.
    Patch(usize, &'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Dev,
    Alpha,
    Beta,
    Pre,
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        let mut numbers = Vec::with_capacity(3);
        let mut rest = text;
        loop {
            let (digits, after) = split_while(rest, u8::is_ascii_digit);
            if digits.is_empty() {
                return Err("a number is missing");
            }
            numbers.push(Number::new(digits));
            rest = after;
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None => break,
            }
        }
        while numbers.last().is_some_and(|n| n.is_zero()) {
            numbers.pop();
        }
        Ok(Version { numbers, label: label(rest)? })
    }
}

fn label(text: &str) -> Result<Label<'_>, Why> {
    if text.is_empty() {
        return Ok(Label::Release);
    }
    let Some(pre) = text.strip_prefix('-') else {
        let lower = text.bytes().all(|b| b.is_ascii_lowercase());
        return if lower { Ok(Label::Patch(text.len(), text)) } else { Err("the patch letters are not letters") };
    };
    let (word, digits) = split_while(pre, u8::is_ascii_alphabetic);
    let stage = match word {
        "dev" => Stage::Dev,
        "alpha" => Stage::Alpha,
        "beta" => Stage::Beta,
        "pre" => Stage::Pre,
        _ => return Err("the pre-release is unknown"),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the pre-release has no plain number");
    }
    Ok(Label::Pre(stage, Number::new(digits)))
}
