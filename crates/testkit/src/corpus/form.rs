//! What a form is, and how a value is drawn from one.
//!
//! A template is text in which `«class count»` stands for drawn characters: `«h32»` for 32 hexadecimal digits,
//! `«n20-30»` for 20 to 30 letters and digits, `«[ADQg]1»` for one of the four, `«uuid»`, `«word»`.

use super::random::Random;
use super::shaped;

/// One way in which an issuer's secret is written down.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The rule that should find it.
    pub rule: &'static str,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A name and its value; the file decides how the one is assigned to the other.
    Named(&'static str, &'static str),
    /// Text that stands in a file as it is.
    Line(&'static str),
    /// A file of its own.
    File(&'static str, &'static str),
}

pub(super) const fn named(rule: &'static str, name: &'static str, value: &'static str) -> Form {
    Form { rule, kind: Kind::Named(name, value) }
}

pub(super) const fn line(rule: &'static str, text: &'static str) -> Form {
    Form { rule, kind: Kind::Line(text) }
}

pub(super) const fn file(rule: &'static str, path: &'static str, text: &'static str) -> Form {
    Form { rule, kind: Kind::File(path, text) }
}

/// The template with everything drawn.
pub(super) fn expand(template: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('«') {
        let (placeholder, tail) = after.split_once('»').expect("a placeholder of a template ends");
        out.push_str(before);
        out.push_str(&draw(placeholder, random));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn draw(placeholder: &str, random: &mut Random) -> String {
    if let Some(made) = shaped::draw(placeholder, random) {
        return made;
    }
    let (alphabet, count) = match placeholder.strip_prefix('[') {
        Some(rest) => rest.split_once(']').expect("a set of characters ends"),
        None => {
            let (class, count) = placeholder.split_at(1);
            (alphabet(class), count)
        }
    };
    let number = |text: &str| text.parse::<usize>().unwrap_or_else(|_| panic!("«{placeholder}» is no placeholder"));
    let count = match count.split_once('-') {
        Some((least, most)) => random.between(number(least), number(most)),
        None => number(count),
    };
    random.text(alphabet.as_bytes(), count)
}

fn alphabet(class: &str) -> &'static str {
    match class {
        "d" => "0123456789",
        "h" => "0123456789abcdef",
        "H" => "0123456789ABCDEF",
        "a" => "abcdefghijklmnopqrstuvwxyz",
        "A" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "l" => "0123456789abcdefghijklmnopqrstuvwxyz",
        "L" => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "n" => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "w" => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_",
        "b" => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/",
        "z" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "y" => "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
        "s" => "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "p" => "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz0123456789.-_!*",
        other => panic!("no alphabet is called {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_drawn() {
        let mut random = Random::new(1);
        let drawn = expand("a-«h4»-«[xy]2»-«d1-3»!", &mut random);
        let parts: Vec<&str> = drawn.trim_end_matches('!').split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("a", 4, 2), "{drawn}");
        assert!(parts[1].bytes().all(|b| b.is_ascii_hexdigit()) && (1..=3).contains(&parts[3].len()), "{drawn}");
        assert_eq!(expand("«uuid»", &mut random).len(), 36);
    }
}
