//! How values look on a page: times, sizes, counts, words and their colours. Text only; templates make the HTML.

use jiff::Unit;
use model::job::ImageState;
use model::registry::RegistryStatus;
use model::{FindingKind, Severity, Timestamp};

/// What templates show values with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Show {
    now: Timestamp,
}

impl Show {
    /// As seen from `now`.
    pub(crate) const fn at(now: Timestamp) -> Self {
        Self { now }
    }

    /// A moment.
    pub(crate) const fn moment(&self, at: &Timestamp) -> Moment {
        Moment::new(*at, self.now)
    }

    /// A size in bytes.
    pub(crate) fn size(&self, bytes: &u64) -> String {
        size(*bytes)
    }

    /// A number with its thousands apart.
    pub(crate) fn number(&self, number: &u64) -> String {
        grouped(*number)
    }

    /// A number and what it counts.
    pub(crate) fn counted(&self, number: &u64, noun: &str) -> String {
        counted(*number, noun)
    }

    /// An instruction of a layer.
    pub(crate) fn instruction(&self, text: &str) -> String {
        instruction(text)
    }

    /// Counts with their severities, worst first.
    pub(crate) fn by_severity(&self, counts: &[u64; 6]) -> [(Severity, u64); 6] {
        std::array::from_fn(|at| (Severity::ALL[at], counts[at]))
    }

    /// The address of an issue list, an image, … with a query value in it.
    pub(crate) fn quoted(&self, text: &str) -> String {
        quoted(text)
    }

    /// A text with its digests shortened; templates put the whole text into `title`.
    pub(crate) fn brief(&self, text: &str) -> String {
        brief(text)
    }

    /// Only addresses of web pages become links: what a feed says may be anything.
    pub(crate) fn is_link(&self, url: &str) -> bool {
        url.starts_with("https://") || url.starts_with("http://")
    }

    /// The page of an advisory, when it has one.
    pub(crate) fn link<'a>(&self, advisory: &'a model::advisory::AdvisoryRef) -> Option<&'a str> {
        advisory.url.as_deref().filter(|url| self.is_link(url))
    }
}

/// A stretch of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Its colour.
    pub(crate) class: &'static str,
    /// Where it starts, 0 to 1000.
    pub(crate) start: u64,
    /// How long it is.
    pub(crate) length: u64,
}

/// The stretches of a bar, in thousandths; what is there at all is at least a hair wide.
pub(crate) fn bar(parts: &[(&'static str, u64)]) -> Vec<Stretch> {
    let total: u64 = parts.iter().map(|(_, count)| count).sum();
    let mut out = Vec::new();
    let mut start = 0;
    for (class, count) in parts.iter().filter(|(_, count)| *count > 0) {
        let length = (count.saturating_mul(1000) / total.max(1)).max(4);
        out.push(Stretch { class, start, length });
        start += length;
    }
    out
}

/// How the images of a registry stand, as a bar.
pub(crate) fn image_bar(counts: &store::types::RegistryCounts) -> Vec<Stretch> {
    bar(&[
        ("good", counts.scanned),
        ("gap", counts.partial),
        ("bad", counts.failed),
        ("busy", counts.scanning),
        ("waiting", counts.pending),
    ])
}

/// A moment, as seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// `at`, as seen from `now`.
    pub(crate) const fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// For `datetime` attributes: RFC 3339.
    pub(crate) fn iso(&self) -> String {
        whole_seconds(self.at).to_string()
    }

    /// `2026-11-21 22:05:13 UTC`.
    pub(crate) fn full(&self) -> String {
        whole_seconds(self.at).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    /// `2026-11-21 22:05`.
    pub(crate) fn minute(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `2026-11-21`.
    pub(crate) fn day(&self) -> String {
        self.at.strftime("%Y-%m-%d").to_string()
    }

    /// `3 hours ago`, `in 2 days`.
    pub(crate) fn relative(&self) -> String {
        let seconds = self.now.duration_since(self.at).as_secs();
        let text = span(seconds.unsigned_abs());
        match (seconds, text.as_str()) {
            (-30..=30, _) => "just now".to_owned(),
            (31.., text) => format!("{text} ago"),
            (_, text) => format!("in {text}"),
        }
    }

    /// Has it passed?
    pub(crate) fn is_past(&self) -> bool {
        self.at <= self.now
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

/// `1 minute`, `3 hours`, `2 days`.
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        172_800..5_184_000 => (seconds / 86_400, "day"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    counted(count, unit)
}

/// `1 image`, `3 images`, `2 repositories`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let number = grouped(count);
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) if !noun.ends_with("ay") => format!("{number} {stem}ies"),
        (_, _) => format!("{number} {noun}s"),
    }
}

/// `1 234 567`, with narrow no-break spaces.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `28.5 MB`, in powers of ten, as registries count.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut whole = bytes;
    let mut rest = 0;
    let mut unit = 0;
    while whole >= 1000 && unit < UNITS.len() {
        rest = whole % 1000;
        whole /= 1000;
        unit += 1;
    }
    let unit = UNITS[unit - 1];
    if whole < 100 { format!("{whole}.{} {unit}", rest / 100) } else { format!("{whole} {unit}") }
}

/// At most `chars_max` characters, the last being `…` when something was cut.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Shortens every `sha256:` and its 64 digits to twelve digits.
fn brief(text: &str) -> String {
    const MARK: &str = "sha256:";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, found) = rest.split_at(at);
        let digits = &found[MARK.len()..];
        let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str(before);
        if length == 64 {
            out.push_str(&digits[..12]);
            out.push('…');
        } else {
            out.push_str(&found[..MARK.len() + length]);
        }
        rest = &digits[length..];
    }
    out.push_str(rest);
    out
}

/// The instruction of a layer as its author wrote it: without the shell that a builder puts in front.
pub(crate) fn instruction(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("/bin/sh -c ").unwrap_or(text);
    match text.strip_prefix("#(nop) ") {
        Some(rest) => rest.trim().to_owned(),
        None => text.strip_suffix("# buildkit").unwrap_or(text).trim().to_owned(),
    }
}

/// Colour of a state of an image.
pub(crate) const fn image_state_class(state: ImageState) -> &'static str {
    match state {
        ImageState::Pending => "waiting",
        ImageState::Scanning => "busy",
        ImageState::Scanned => "good",
        ImageState::Partial => "gap",
        ImageState::Failed => "bad",
    }
}

/// What a state means, for people.
pub(crate) const fn image_state_meaning(state: ImageState) -> &'static str {
    match state {
        ImageState::Pending => "known, not read yet",
        ImageState::Scanning => "being read now",
        ImageState::Scanned => "read by every scanner",
        ImageState::Partial => "read, but a part could not be seen",
        ImageState::Failed => "could not be read",
    }
}

/// Colour of a registry's status.
pub(crate) const fn registry_status_class(status: RegistryStatus) -> &'static str {
    match status {
        RegistryStatus::Pending => "waiting",
        RegistryStatus::Connected => "good",
        RegistryStatus::Warning => "warn",
        RegistryStatus::Error => "bad",
        RegistryStatus::Disabled => "off",
    }
}

/// The word for people.
pub(crate) const fn kind_label(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Vulnerability => "Vulnerability",
        FindingKind::Secret => "Secret",
        FindingKind::Malware => "Malware",
        FindingKind::Misconfiguration => "Misconfiguration",
        FindingKind::EndOfLife => "End of life",
        FindingKind::UntrustedImage => "Untrusted image",
        FindingKind::Compliance => "Compliance",
    }
}

/// Position in [`Severity::ALL`].
pub(crate) fn severity_rank(severity: Severity) -> usize {
    Severity::ALL.iter().position(|s| *s == severity).expect("ALL lists every severity")
}

/// For counts in templates.
pub(crate) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A probability, 0 to 1, as `3.4 %`.
pub(crate) fn percent(share: &f64) -> String {
    format!("{:.1}\u{202f}%", share * 100.0)
}

/// Text for an address: everything but letters and digits is percent-encoded.
pub(crate) fn quoted(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// One line per entry, for text areas.
pub(crate) fn lines(list: &[String]) -> String {
    list.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_now() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let check = |at: &str, expect: &str| assert_eq!(Moment::new(at.parse().unwrap(), now).relative(), expect);
        check("2026-11-21T12:00:00Z", "just now");
        check("2026-11-21T11:59:00Z", "1 minute ago");
        check("2026-11-21T09:00:00Z", "3 hours ago");
        check("2026-11-20T09:00:00Z", "27 hours ago");
        check("2026-11-19T09:00:00Z", "2 days ago");
        check("2026-11-24T12:00:00Z", "in 3 days");
        check("2024-01-01T00:00:00Z", "2 years ago");
        assert_eq!(Moment::new(now, now).full(), "2026-11-21 12:00:00 UTC");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(counted(1, "repository"), "1 repository");
        assert_eq!(counted(2, "repository"), "2 repositories");
        assert_eq!(counted(0, "day"), "0 days");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(2_789_669), "2.7 MB");
        assert_eq!(size(128_000_000), "128 MB");
    }

    #[test]
    fn digests_in_texts_are_shortened() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(brief(&format!("blob {digest} of {digest}: gone")), "blob 0123456789ab… of 0123456789ab…: gone");
        assert_eq!(brief("sha256:12 and sha256:"), "sha256:12 and sha256:");
        assert_eq!(brief("nothing"), "nothing");
    }

    #[test]
    fn instructions_lose_the_builders_words() {
        assert_eq!(instruction("/bin/sh -c #(nop) ADD file:fe in / "), "ADD file:fe in /");
        assert_eq!(instruction("/bin/sh -c apk add x"), "apk add x");
        assert_eq!(instruction("RUN apk add x # buildkit"), "RUN apk add x");
    }
}
