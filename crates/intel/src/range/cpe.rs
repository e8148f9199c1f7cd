//! Names of products in the form that NVD uses: CPE 2.3 formatted strings,
//! `cpe:2.3:a:openssl:openssl:3.0.1:*:*:*:*:*:*:*`.
//!
//! Not here: which package a name means ([`model::software`]) and what NVD says with it (the feed `nvd`).
//!
//! Invariant: a name is read whole or refused; [`Name`]'s `Display` gives it back in the same form.
//!
//! Source: NIST IR 7695, "Common Platform Enumeration: Naming Specification Version 2.3", section 6.2.

use std::fmt;

/// The longest name that is read, in bytes.
pub const BYTES_MAX: usize = 2048;
/// What every name begins with.
const PREFIX: &str = "cpe:2.3:";
/// `part`, `vendor`, `product`, `version`, `update`, `edition`, `language`, `sw_edition`, `target_sw`, `target_hw`,
/// `other`.
const ATTRIBUTES: usize = 11;

/// The name of a product, or a pattern for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    attributes: [Value; ATTRIBUTES],
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `*`: any value.
    Any,
    /// `-`: the attribute does not apply.
    NotApplicable,
    /// A text, without its escapes.
    Text(String),
    /// A text with `?` or `*` in it that stand for other characters, as it was written.
    Pattern(String),
}

/// Why a text is not a CPE name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a CPE 2.3 name: {why}")]
pub struct NotAName {
    /// The text, cut to 100 characters.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Value {
    /// The text; `None` for everything else.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Any | Self::NotApplicable | Self::Pattern(_) => None,
        }
    }

    /// `*` and `-` alike: nothing in particular.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Any | Self::NotApplicable)
    }
}

impl fmt::Display for Value {
    /// As it stands in a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::NotApplicable => f.write_str("-"),
            Self::Pattern(text) => f.write_str(text),
            Self::Text(text) if text == "-" => f.write_str("\\-"),
            Self::Text(text) => text.chars().try_for_each(|c| match c {
                '-' | '.' | '_' => write!(f, "{c}"),
                c if c.is_ascii_punctuation() => write!(f, "\\{c}"),
                c => write!(f, "{c}"),
            }),
        }
    }
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NotAName`] when it is not one, or is longer than [`BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let refused = |why| NotAName { name: text.chars().take(100).collect(), why };
        if text.len() > BYTES_MAX {
            return Err(refused("it is longer than 2,048 bytes"));
        }
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| refused("it does not begin with cpe:2.3:"))?;
        let mut attributes = [const { Value::Any }; ATTRIBUTES];
        let mut read = 0;
        for part in split(rest) {
            let slot = attributes.get_mut(read).ok_or_else(|| refused("it has more than eleven attributes"))?;
            *slot = value(part).map_err(refused)?;
            read += 1;
        }
        if read != ATTRIBUTES {
            return Err(refused("it has fewer than eleven attributes"));
        }
        Ok(Self { attributes })
    }

    /// True for an application, in contrast to an operating system (`o`) or hardware (`h`).
    pub fn is_application(&self) -> bool {
        self.attributes[0].text() == Some("a")
    }

    /// `vendor:product`, lower-case; `None` when either is not a plain text.
    pub fn product(&self) -> Option<String> {
        let (vendor, product) = (self.attributes[1].text()?, self.attributes[2].text()?);
        Some(format!("{vendor}:{product}").to_ascii_lowercase())
    }

    /// The version.
    pub const fn version(&self) -> &Value {
        &self.attributes[3]
    }

    /// What follows the version: a patch level, a pre-release.
    pub const fn update(&self) -> &Value {
        &self.attributes[4]
    }

    /// The edition of the software: `lts`, `enterprise`.
    pub const fn software_edition(&self) -> &Value {
        &self.attributes[7]
    }

    /// What it runs on or in: `windows`, `wordpress`.
    pub const fn target_software(&self) -> &Value {
        &self.attributes[8]
    }

    /// What it is built for: `x64`.
    pub const fn target_hardware(&self) -> &Value {
        &self.attributes[9]
    }

    /// The attributes that narrow it and have no method of their own: edition, language, other.
    pub fn rest(&self) -> [&Value; 3] {
        [&self.attributes[5], &self.attributes[6], &self.attributes[10]]
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpe:2.3")?;
        self.attributes.iter().try_for_each(|value| write!(f, ":{value}"))
    }
}

/// The parts between colons that are not escaped.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let mut is_escaped = false;
        let end = here.bytes().position(|byte| {
            let is_end = byte == b':' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let (part, after) = match end {
            Some(end) => (&here[..end], Some(&here[end + 1..])),
            None => (here, None),
        };
        rest = after;
        Some(part)
    })
}

fn value(part: &str) -> Result<Value, &'static str> {
    match part {
        "" => return Err("an attribute is empty"),
        "*" => return Ok(Value::Any),
        "-" => return Ok(Value::NotApplicable),
        _ => {}
    }
    let mut text = String::with_capacity(part.len());
    let (mut is_pattern, mut letters) = (false, part.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next().ok_or("it ends with an escape")?),
            '*' | '?' => is_pattern = true,
            letter if letter.is_control() || letter.is_whitespace() => {
                return Err("it has a space or control character");
            }
            letter => text.push(letter),
        }
    }
    if text.chars().any(char::is_control) {
        return Err("it has a space or control character");
    }
    Ok(if is_pattern { Value::Pattern(part.to_owned()) } else { Value::Text(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_nist_writes_them() {
        // The examples of NIST IR 7695, section 6.2.2.3, and of section 6.2.3.
        let explorer = Name::parse("cpe:2.3:a:microsoft:internet_explorer:8.0.6001:beta:*:*:*:*:*:*").unwrap();
        assert!(explorer.is_application());
        assert_eq!(explorer.product().as_deref(), Some("microsoft:internet_explorer"));
        assert_eq!((explorer.version().text(), explorer.update().text()), (Some("8.0.6001"), Some("beta")));
        let insight = Name::parse("cpe:2.3:a:hp:insight_diagnostics:7.4.0.1570:-:*:*:online:win2003:x64:*").unwrap();
        assert_eq!(*insight.update(), Value::NotApplicable);
        assert_eq!(insight.software_edition().text(), Some("online"));
        assert_eq!(
            (insight.target_software().text(), insight.target_hardware().text()),
            (Some("win2003"), Some("x64"))
        );
        let escaped = Name::parse(r"cpe:2.3:a:foo\\bar:big\$money:2010:*:*:*:special:ipod_touch:80gb:*").unwrap();
        assert_eq!(escaped.product().as_deref(), Some(r"foo\bar:big$money"));
        let colon = Name::parse(r"cpe:2.3:a:a:b\:c:1:*:*:*:*:*:*:*").unwrap();
        assert_eq!(colon.product().as_deref(), Some("a:b:c"));
        let erlang = Name::parse(r"cpe:2.3:a:erlang:erlang\/otp:25.0:rc1:*:*:*:*:*:*").unwrap();
        assert_eq!(erlang.product().as_deref(), Some("erlang:erlang/otp"));
        assert!(!Name::parse("cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*").unwrap().is_application());
        let pattern = Name::parse("cpe:2.3:a:microsoft:internet_explorer:8.*:sp?:*:*:*:*:*:*").unwrap();
        assert_eq!(*pattern.version(), Value::Pattern("8.*".to_owned()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let check = |text: &str, why: &str| {
            let found = Name::parse(text).expect_err(text);
            assert!(found.why.contains(why), "{text}: {}", found.why);
        };
        check("cpe:/a:microsoft:ie:8", "does not begin");
        check("", "does not begin");
        check("cpe:2.3:a:b:c:1", "fewer");
        check("cpe:2.3:a:b:c:1:*:*:*:*:*:*:*:*", "more");
        check("cpe:2.3:a::c:1:*:*:*:*:*:*:*", "empty");
        check("cpe:2.3:a:b:c:1:*:*:*:*:*:*:\\", "escape");
        check("cpe:2.3:a:b:c d:1:*:*:*:*:*:*:*", "space");
        check(&format!("cpe:2.3:a:b:{}:1:*:*:*:*:*:*:*", "c".repeat(BYTES_MAX)), "longer");
    }

    fn attribute() -> impl Strategy<Value = Value> {
        prop_oneof![Just(Value::Any), Just(Value::NotApplicable), "[a-z0-9._~:/!*?\\\\+-]{1,12}".prop_map(Value::Text),]
    }

    proptest! {
        #[test]
        fn a_name_is_written_as_it_was_read(values in proptest::collection::vec(attribute(), ATTRIBUTES)) {
            let name = Name { attributes: values.try_into().expect("eleven") };
            prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(cpe:2.3:)?\\PC{0,60}", rest in "[ab:*?\\\\-]{0,40}") {
            for text in [text.clone(), format!("{text}{rest}"), format!("cpe:2.3:{rest}")] {
                if let Ok(name) = Name::parse(&text) {
                    prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
                }
            }
        }
    }
}
