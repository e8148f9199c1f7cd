//! A corpus for measuring secret rules: files of many kinds, some with real-looking secrets at known places.
//!
//! Not here: any rule. Invariant: every value is made from its issuer's documented form, never from a rule's pattern; equal
//! seeds give equal corpora.

mod form;
mod held_out;
mod hosts;
mod known;
mod known_places;
mod known_services;
mod noise;
mod random;
mod shaped;

pub use form::Form;

use form::{Kind, expand};
use hosts::Host;
use random::Random;

/// How often each form is drawn.
const DRAWS: usize = 2;

/// One file in so many is UTF-16.
const WIDE_EVERY: usize = 50;

/// One file.
#[derive(Debug, Clone)]
pub struct CorpusFile {
    /// Where it lies in an image.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The secrets in it.
    pub planted: Vec<Planted>,
}

/// One secret, and where it stands.
#[derive(Debug, Clone)]
pub struct Planted {
    /// The rule that should find it.
    pub rule: &'static str,
    /// Was its form written before there was a rule for it, and no rule tuned on it?
    pub held_out: bool,
    /// First line, counted from 1.
    pub first_line: u32,
    /// Last line.
    pub last_line: u32,
    /// What was written, for people who look at what was missed.
    pub text: String,
}

/// Every form, and whether it is held out.
pub fn forms() -> Vec<(Form, bool)> {
    let known = [known::KNOWN, known_places::KNOWN_PLACES, known_services::KNOWN_SERVICES];
    let known = known.into_iter().flatten().map(|form| (*form, false));
    known.chain(held_out::HELD_OUT.iter().map(|form| (*form, true))).collect()
}

/// Makes `files` files: as many as the forms need have secrets, the others have none.
///
/// # Panics
/// When `files` are too few for the forms.
pub fn generate(seed: u64, files: usize) -> Vec<CorpusFile> {
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    let mut inline: Vec<(Form, bool)> = Vec::new();
    for (form, held_out) in (0..DRAWS).flat_map(|_| forms()) {
        match form.kind {
            Kind::File(path, text) => all.push(own_file((form, held_out), path, text, all.len(), &mut random)),
            Kind::Named(..) | Kind::Line(_) => inline.push((form, held_out)),
        }
    }
    shuffle(&mut inline, &mut random);
    while !inline.is_empty() {
        let here = inline.split_off(inline.len().saturating_sub(random.between(1, 3)));
        all.push(with_secrets(&here, all.len(), &mut random));
    }
    assert!(all.len() < files, "{files} files are too few: {} have secrets", all.len());
    while all.len() < files {
        all.push(noise::file(all.len(), &mut random));
    }
    for file in all.iter_mut().skip(WIDE_EVERY).step_by(WIDE_EVERY) {
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        file.bytes = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    }
    all
}

fn shuffle<T>(all: &mut [T], random: &mut Random) {
    for at in (1..all.len()).rev() {
        all.swap(at, random.below(at + 1));
    }
}

fn own_file((form, held_out): (Form, bool), path: &str, text: &str, number: usize, random: &mut Random) -> CorpusFile {
    let text = expand(text, random);
    let last_line = u32::try_from(text.trim_end().lines().count()).expect("a short file");
    let planted = vec![Planted { rule: form.rule, held_out, first_line: 1, last_line, text: text.clone() }];
    CorpusFile { path: format!("data/{number}/{path}"), bytes: text.into_bytes(), planted }
}

fn with_secrets(forms: &[(Form, bool)], number: usize, random: &mut Random) -> CorpusFile {
    let host = *random.pick(Host::ALL);
    let mut lines = host.head();
    let mut planted = Vec::new();
    for (form, held_out) in forms {
        for _ in 0..random.between(2, 14) {
            lines.push(noise::line(host, random));
        }
        let text = match form.kind {
            Kind::Named(name, value) => host.assign(name, &expand(value, random), random),
            Kind::Line(text) => expand(text, random),
            Kind::File(..) => unreachable!("files of their own are made elsewhere"),
        };
        let first_line = u32::try_from(lines.len() + 1).expect("a short file");
        lines.extend(text.lines().map(str::to_owned));
        let last_line = u32::try_from(lines.len()).expect("a short file");
        planted.push(Planted { rule: form.rule, held_out: *held_out, first_line, last_line, text });
    }
    for _ in 0..random.between(1, 20) {
        lines.push(noise::line(host, random));
    }
    lines.extend(host.tail());
    let end = if random.below(10) == 0 { "\r\n" } else { "\n" };
    let bytes = (lines.join(end) + end).into_bytes();
    CorpusFile { path: format!("srv/shop{number}/{}", host.file_name()), bytes, planted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_corpora() {
        let (one, two) = (generate(7, 1000), generate(7, 1000));
        assert_eq!(one.len(), 1000);
        assert!(one.iter().zip(&two).all(|(a, b)| a.path == b.path && a.bytes == b.bytes));
        assert!(generate(8, 1000).iter().zip(&one).any(|(a, b)| a.bytes != b.bytes));
    }

    #[test]
    fn a_fifth_of_the_forms_is_held_out() {
        let all = forms();
        let held_out = all.iter().filter(|(_, held_out)| *held_out).count();
        assert!(5 * held_out >= all.len(), "{held_out} of {}", all.len());
    }
}
