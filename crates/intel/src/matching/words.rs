//! The sentences of a judgement: what was compared, and what the source says.
//!
//! Written into one growing text, because there are as many as there are findings.

use super::Witness;
use super::evaluate::{Claim, Compared, Outcome};
use crate::record::{Configured, End, Interval, Says};
use model::advisory::Outlook;

/// How many intervals a text lists.
const INTERVALS_SHOWN: usize = 6;

/// What the support for subscribers adds to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Nothing.
    None,
    /// Its builds are meant.
    In,
    /// Its fix is for subscribers.
    SubscribersOnly,
}

impl Witness<'_> {
    /// `secdb v3.10 main`, or `osv-pypi PYSEC-2022-1` where one feed may hold several advisories about one thing.
    pub(crate) fn write_label(&self, out: &mut String) {
        out.push_str(&self.feed.label());
        if self.feed.kind.names_advisories() {
            out.push(' ');
            out.push_str(self.advisory.id);
        }
    }

    /// The comparison and what it rests on, as a sentence.
    pub(crate) fn write_sentence(&self, out: &mut String) {
        self.write_comparison(out);
        out.push_str(": ");
        self.write_label(out);
        if let Says::Configured(configured) = &self.statement.says {
            push_all(out, &[" of cpe:2.3:a:", configured.product]);
        }
        out.push_str(" says ");
        self.write_claim(out);
        if self.advisory.withdrawn {
            out.push_str(", and was withdrawn");
        }
        if self.advisory.disputed {
            out.push_str(", which is disputed");
        }
    }

    /// [`Witness::write_sentence`], alone.
    pub(crate) fn sentence(&self) -> String {
        let mut out = String::with_capacity(160);
        self.write_sentence(&mut out);
        out
    }

    /// The comparison that decided.
    pub(crate) fn write_comparison(&self, out: &mut String) {
        let installed = &self.installed;
        push_all(out, &[installed.name, " ", installed.version]);
        let order = |out: &mut String| push_all(out, &[" (", installed.scheme.as_str(), " order)"]);
        match self.judgement.compared {
            Compared::Nothing => {}
            Compared::Below(fix) => {
                push_all(out, &[" < ", fix]);
                order(out);
            }
            Compared::Reaches(fix) => {
                push_all(out, &[" >= ", fix]);
                order(out);
            }
            Compared::Every => out.push_str(", as every version"),
            Compared::Outside => {
                out.push_str(" is in no affected range");
                order(out);
            }
            Compared::Listed => out.push_str(" is listed"),
            Compared::Inside(interval) => {
                out.push(' ');
                write_bounds(&interval, begins_after(&self.statement.says, &interval), out);
                order(out);
            }
        }
    }

    /// What the source says, as the rest of a sentence after "says".
    fn write_claim(&self, out: &mut String) {
        match self.judgement.claim {
            Claim::Whole => write_says(&self.statement.says, out),
            Claim::Every => out.push_str("every version is affected, without a fix"),
            Claim::FixedIn(fix) => push_all(out, &["fixed in ", fix]),
            Claim::Version => push_all(out, &["affected: ", self.installed.version]),
            Claim::Within(interval) => {
                out.push_str("affected: ");
                write_interval(&interval, begins_after(&self.statement.says, &interval), out);
            }
        }
        if let (Says::Configured(_), Outcome::Undecided(why)) = (&self.statement.says, &self.judgement.outcome) {
            push_all(out, &[" (", why, ")"]);
        }
        let stream = self.statement.stream.as_ref().map_or("", |stream| stream.name);
        match self.aside {
            Aside::None => {}
            Aside::In => push_all(out, &[" in ", stream]),
            Aside::SubscribersOnly => push_all(out, &[", for subscribers of ", stream, " only"]),
        }
    }
}

fn push_all(out: &mut String, texts: &[&str]) {
    texts.iter().for_each(|text| out.push_str(text));
}

/// Is the beginning of an interval not affected itself?
fn begins_after(says: &Says<&str>, interval: &Interval<&str>) -> bool {
    matches!(says, Says::Configured(says) if interval.from.is_some_and(|from| says.after.contains(&from)))
}

fn write_bounds(interval: &Interval<&str>, is_after: bool, out: &mut String) {
    if let Some(from) = interval.from {
        push_all(out, &[if is_after { "> " } else { ">= " }, from]);
    }
    let (sign, end) = match interval.end {
        End::Never => return,
        End::Fixed(end) | End::Limit(end) => ("< ", end),
        End::Last(end, _) => ("<= ", end),
    };
    push_all(out, &[if interval.from.is_some() { " and " } else { "" }, sign, end]);
}

fn write_says(says: &Says<&str>, out: &mut String) {
    match says {
        Says::Ranges { intervals, versions, unclear: _ } => write_ranges(says, intervals, versions, out),
        Says::FixedIn(versions) => {
            out.push_str("fixed in ");
            for (at, version) in versions.iter().enumerate() {
                push_all(out, &[if at > 0 { " and " } else { "" }, version]);
            }
        }
        Says::Open { outlook, note } => {
            out.push_str(match outlook {
                Outlook::Open => "affected, without a fix",
                Outlook::WillNotFix => "affected, and it will not be fixed",
                Outlook::Deferred => "affected, and the fix is put off",
            });
            if let Some(note) = note {
                push_all(out, &[" (", note, ")"]);
            }
        }
        Says::NotAffected => out.push_str("never affected"),
        Says::Undetermined(claim) => out.push_str(claim),
        Says::Configured(Configured { intervals, versions, .. }) => write_ranges(says, intervals, versions, out),
    }
}

fn write_ranges(says: &Says<&str>, intervals: &[Interval<&str>], versions: &[&str], out: &mut String) {
    if intervals.is_empty() {
        match versions.len() {
            0 => out.push_str("affected versions that cannot be read"),
            count => out.push_str(&format!("affected: {count} listed versions")),
        }
        return;
    }
    out.push_str("affected: ");
    for (at, interval) in intervals.iter().take(INTERVALS_SHOWN).enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write_interval(interval, begins_after(says, interval), out);
    }
    if intervals.len() > INTERVALS_SHOWN {
        out.push_str(&format!(", {} more", intervals.len() - INTERVALS_SHOWN));
    }
}

/// An interval in mathematical notation: `[2.2, 2.2.28)`; `is_after` is whether it begins after its beginning.
pub(crate) fn write_interval(interval: &Interval<&str>, is_after: bool, out: &mut String) {
    match interval.from {
        Some(from) => push_all(out, &[if is_after { "(" } else { "[" }, from]),
        None => out.push('('),
    }
    match interval.end {
        End::Never => out.push_str(", )"),
        End::Fixed(end) | End::Limit(end) => push_all(out, &[", ", end, ")"]),
        End::Last(end, _) => push_all(out, &[", ", end, "]"]),
    }
}
