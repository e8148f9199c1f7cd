//! Versions of apk packages: `digits{.digits}…[letter]{_suffix[digits]}…[~hash][-rN]` (apk-version(8)).
//!
//! The order is that of apk-tools 3. One thing is read as apk-tools 2 read it, because packages and advisories of older
//! releases are written so: digits may follow the letter (`6.0.2p1-r3`).
//!
//! Two rules surprise: after the first number, a number with a leading zero is compared as text (`1.01` < `1.1`); and of
//! two versions where one goes on, the longer one is newer unless it goes on with a pre-release suffix.

use std::cmp::Ordering;

use super::{Incomparable, Number, Scheme, Why, split_while};

/// Whether today's apk-tools takes this for a version that a package may have.
pub fn is_valid(version: &str) -> bool {
    Scheme::Apk.check_length(version).is_ok() && Tokens::new(version, Grammar::Strict).check().is_ok()
}

/// Whether `version` satisfies `operator bound` as in an apk dependency. The operator is any combination of `<`, `=`,
/// `>` and `~`, which compares only as many parts as the bound has; a leading `!` turns the answer round.
///
/// # Errors
/// [`Incomparable`] when either version stops being readable before the order is decided, or for an unknown operator.
pub fn satisfies(version: &str, operator: &str, bound: &str) -> Result<bool, Incomparable> {
    for text in [version, bound] {
        Scheme::Apk.check_length(text)?;
    }
    let (negated, signs) = operator.strip_prefix('!').map_or((false, operator), |rest| (true, rest));
    if signs.is_empty() || !signs.bytes().all(|b| b"<=>~".contains(&b)) {
        return Err(Scheme::Apk.incomparable(bound, "its operator is unknown"));
    }
    let reach = if signs.contains('~') { Reach::Prefix } else { Reach::Whole };
    let wanted = match walk(version, bound, reach)? {
        Ordering::Less => signs.contains('<'),
        Ordering::Equal => signs.contains(['=', '~']),
        Ordering::Greater => signs.contains('>'),
    };
    Ok(wanted != negated)
}

/// A version that can be read.
#[derive(Debug)]
pub(super) struct Version<'a>(&'a str);

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Why> {
        Tokens::new(text, Grammar::Historic).check().map(|()| Version(text))
    }

    /// # Errors
    /// None that [`Version::parse`] would not have had.
    pub(super) fn compare(&self, other: &Version<'_>) -> Result<Ordering, Incomparable> {
        walk(self.0, other.0, Reach::Whole)
    }
}

/// How much of the first version has to match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    /// As many parts as the second one has.
    Prefix,
}

/// Goes through both versions as long as their parts are equal.
fn walk(a: &str, b: &str, reach: Reach) -> Result<Ordering, Incomparable> {
    let (mut left, mut right) = (Tokens::new(a, Grammar::Historic), Tokens::new(b, Grammar::Historic));
    loop {
        let y = right.next().map_err(|why| Scheme::Apk.incomparable(b, why))?;
        let x = match left.next() {
            Err(_) if reach == Reach::Prefix && y == Token::End => return Ok(Ordering::Equal),
            found => found.map_err(|why| Scheme::Apk.incomparable(a, why))?,
        };
        if y == Token::End && (x == Token::End || reach == Reach::Prefix) {
            return Ok(Ordering::Equal);
        }
        let found = x.compare(y);
        if found.is_ne() {
            return Ok(found);
        }
    }
}

/// Which tool's grammar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// apk-tools 3.
    Strict,
    /// Also digits after the letter, as apk-tools 2 allowed.
    Historic,
}

/// The kinds of parts, in the order in which they may follow each other; a kind that comes earlier makes a version that
/// goes on with it newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Start,
    First,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    First(Number<'a>),
    Number(&'a str),
    Letter(u8),
    Suffix(Suffix),
    SuffixNumber(Number<'a>),
    Hash(&'a str),
    Revision(Number<'a>),
    End,
}

/// The known suffixes; those before [`Suffix::Cvs`] mark a version that comes before the one without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    Alpha,
    Beta,
    Pre,
    Rc,
    Cvs,
    Svn,
    Git,
    Hg,
    P,
}

impl Suffix {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "alpha" => Self::Alpha,
            "beta" => Self::Beta,
            "pre" => Self::Pre,
            "rc" => Self::Rc,
            "cvs" => Self::Cvs,
            "svn" => Self::Svn,
            "git" => Self::Git,
            "hg" => Self::Hg,
            "p" => Self::P,
            _ => return None,
        })
    }
}

impl Token<'_> {
    const fn kind(self) -> Kind {
        match self {
            Self::First(_) => Kind::First,
            Self::Number(_) => Kind::Number,
            Self::Letter(_) => Kind::Letter,
            Self::Suffix(_) => Kind::Suffix,
            Self::SuffixNumber(_) => Kind::SuffixNumber,
            Self::Hash(_) => Kind::Hash,
            Self::Revision(_) => Kind::Revision,
            Self::End => Kind::End,
        }
    }

    fn is_pre_release(self) -> bool {
        matches!(self, Self::Suffix(suffix) if suffix < Suffix::Cvs)
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::First(x), Self::First(y))
            | (Self::SuffixNumber(x), Self::SuffixNumber(y))
            | (Self::Revision(x), Self::Revision(y)) => x.cmp(&y),
            (Self::Number(x), Self::Number(y)) if x.starts_with('0') || y.starts_with('0') => x.cmp(y),
            (Self::Number(x), Self::Number(y)) => Number::new(x).cmp(&Number::new(y)),
            (Self::Letter(x), Self::Letter(y)) => x.cmp(&y),
            (Self::Suffix(x), Self::Suffix(y)) => x.cmp(&y),
            (Self::Hash(x), Self::Hash(y)) => x.cmp(y),
            (x, y) if x.is_pre_release() != y.is_pre_release() => y.is_pre_release().cmp(&x.is_pre_release()),
            (x, y) => y.kind().cmp(&x.kind()),
        }
    }
}

/// Cuts a version into its parts.
struct Tokens<'a> {
    rest: &'a str,
    last: Kind,
    grammar: Grammar,
}

impl<'a> Tokens<'a> {
    const fn new(version: &'a str, grammar: Grammar) -> Self {
        Tokens { rest: version, last: Kind::Start, grammar }
    }

    fn check(&mut self) -> Result<(), Why> {
        while self.next()? != Token::End {}
        Ok(())
    }

    fn next(&mut self) -> Result<Token<'a>, Why> {
        let token = self.token()?;
        self.last = token.kind();
        Ok(token)
    }

    fn token(&mut self) -> Result<Token<'a>, Why> {
        if self.last == Kind::Start {
            return Ok(Token::First(Number::new(self.digits("it does not start with a digit")?)));
        }
        let Some(first) = self.rest.bytes().next() else { return Ok(Token::End) };
        match first {
            b'a'..=b'z' if self.last <= Kind::Number => {
                self.rest = &self.rest[1..];
                Ok(Token::Letter(first))
            }
            b'.' if self.last <= Kind::Number => {
                self.rest = &self.rest[1..];
                Ok(Token::Number(self.digits("a dot is not followed by a digit")?))
            }
            b'0'..=b'9' => self.digits_without_dot(),
            b'_' if self.last <= Kind::SuffixNumber => self.suffix(),
            b'~' if self.last < Kind::Hash => {
                let (hash, rest) = split_while(&self.rest[1..], |b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                self.rest = rest;
                if hash.is_empty() { Err("the commit hash is empty") } else { Ok(Token::Hash(hash)) }
            }
            b'-' if self.last < Kind::Revision => {
                self.rest = self.rest.strip_prefix("-r").ok_or("a hyphen is not followed by r")?;
                Ok(Token::Revision(Number::new(self.digits("the revision has no number")?)))
            }
            _ => Err("a part is unknown or not allowed where it stands"),
        }
    }

    fn digits_without_dot(&mut self) -> Result<Token<'a>, Why> {
        match self.last {
            Kind::Suffix => Ok(Token::SuffixNumber(Number::new(self.digits("the suffix has no number")?))),
            Kind::Letter if self.grammar == Grammar::Historic => {
                Ok(Token::Number(self.digits("the letter has no number")?))
            }
            Kind::Start
            | Kind::First
            | Kind::Number
            | Kind::Letter
            | Kind::SuffixNumber
            | Kind::Hash
            | Kind::Revision
            | Kind::End => Err("a digit stands where none is allowed"),
        }
    }

    fn suffix(&mut self) -> Result<Token<'a>, Why> {
        let (name, rest) = split_while(&self.rest[1..], u8::is_ascii_lowercase);
        self.rest = rest;
        Suffix::named(name).map(Token::Suffix).ok_or("a suffix is unknown")
    }

    fn digits(&mut self, why: Why) -> Result<&'a str, Why> {
        let (digits, rest) = split_while(self.rest, u8::is_ascii_digit);
        self.rest = rest;
        if digits.is_empty() { Err(why) } else { Ok(digits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_s_tool_and_older_ones_differ_about_letters() {
        assert!(!is_valid("6.0.2p1-r3"));
        assert_eq!(Scheme::Apk.compare("6.0.2p1-r3", "6.0.2p1-r4"), Ok(Ordering::Less));
        assert_eq!(Scheme::Apk.compare("6.0.2p1-r3", "6.0.2_p1-r4"), Ok(Ordering::Greater));
    }

    #[test]
    fn the_tilde_compares_as_many_parts_as_the_bound_has() {
        let check = |version, operator, bound, expect| {
            assert_eq!(satisfies(version, operator, bound), Ok(expect), "{version} {operator} {bound}");
        };
        check("3.6.9-r1", "~", "3.6", true);
        check("3.6.9-r1", "=", "3.6", false);
        check("3.60", "~", "3.6", false);
        check("3.5", "<~", "3.6", true);
        check("3.6.1", "!~", "3.6", false);
        assert!(satisfies("3.6", "%", "3.6").is_err());
        assert!(satisfies("3.6", "", "3.6").is_err());
    }
}
