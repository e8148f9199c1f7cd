//! What several advisories say about one vulnerability of one package becomes one match.
//!
//! Rules, in order:
//! * Two CVEs are never merged, even if one advisory is about both: each gets a match of its own.
//! * Advisories without a CVE join the CVE of an alias; else they are grouped by their aliases.
//! * Withdrawn advisories count only where nothing else speaks of the vulnerability.
//! * For distribution packages the distribution's own feed decides; copies in OSV are kept as sources.
//! * Among equals: affected before undecided before not affected.
//! * Severity: the distribution's word and then its vector, then NVD's vector, then those of these advisories, then the
//!   CVE's numbering authority as NVD passes it on, then vectors that other feeds have for the same CVE, then the
//!   source's word. Of several vectors of one source the newest CVSS version counts.

use super::Witness;
use super::applies::Standing;
use super::evaluate::Outcome;
use crate::cvss;
use crate::record::Rated;
use crate::version::Scheme;
use model::advisory::{AdvisoryRef, CvssScore, KevEntry, NotAffected, Outlook};
use model::{Match, Severity, Timestamp, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many sentences the reasons have at most.
const SENTENCES_MAX: usize = 8;

/// What the rest of the intelligence knows about a CVE.
pub(crate) struct Enrichment {
    /// Vectors from other feeds, each with the feed that has it.
    pub(crate) cvss: Vec<(String, CvssScore)>,
    /// NVD's own record, with the feed that has it.
    pub(crate) nvd: Option<(String, Rated)>,
    /// Its entry in a catalogue of known exploited vulnerabilities.
    pub(crate) kev: Option<KevEntry>,
    /// Probability of exploitation within 30 days.
    pub(crate) epss: Option<f64>,
}

/// A score and who gave it.
type Sourced = (String, CvssScore);

/// Everything that rates one vulnerability, by who says it.
#[derive(Default)]
struct Scores {
    /// The distribution's feeds.
    distribution: Vec<Sourced>,
    /// NVD itself.
    nvd: Vec<Sourced>,
    /// The other advisories of the match.
    own: Vec<Sourced>,
    /// Numbering authorities, through NVD.
    authorities: Vec<Sourced>,
    /// Other feeds.
    borrowed: Vec<Sourced>,
}

impl Scores {
    fn of(group: &[&Witness<'_>]) -> Self {
        let mut found = Self::default();
        for witness in group {
            let to = if witness.feed.kind.is_distribution() { &mut found.distribution } else { &mut found.own };
            to.extend(scores(witness));
        }
        found
    }

    /// In the order in which they count.
    fn by_rank(&self) -> [&Vec<Sourced>; 5] {
        [&self.distribution, &self.nvd, &self.own, &self.authorities, &self.borrowed]
    }

    fn all(&self) -> Vec<CvssScore> {
        let mut all = self.by_rank().into_iter().flatten().map(|(_, score)| score.clone()).collect();
        cvss::sort(&mut all);
        all
    }

    /// The newest version and, in it, the highest score of the first source that has one.
    fn best(&self) -> Option<(Severity, String)> {
        let first = self.by_rank().into_iter().find(|scores| !scores.is_empty())?;
        let mut sorted = first.iter().map(|(_, score)| score.clone()).collect();
        cvss::sort(&mut sorted);
        let best = sorted.first()?;
        let source = first.iter().find(|(_, score)| score == best).map(|(source, _)| source.clone())?;
        Some((Severity::from_cvss(best.score), source))
    }

    fn add_nvd(&mut self, feed: &str, rated: &Rated) {
        self.nvd = rated.cvss.iter().map(|score| (feed.to_owned(), score.clone())).collect();
        self.authorities =
            rated.others.iter().map(|(who, score)| (format!("{who} in {feed}"), score.clone())).collect();
    }
}

/// Merges witnesses into matches, sorted by vulnerability. `enrich` is asked about CVEs that the package may have, and
/// whether vectors are wanted, because no witness has one.
///
/// # Errors
/// Those of `enrich`.
pub(crate) fn merge<E>(
    witnesses: &[Witness<'_>],
    scheme: Scheme,
    is_os: bool,
    mut enrich: impl FnMut(&str, bool) -> Result<Enrichment, E>,
) -> Result<Vec<Match>, E> {
    let mut matches = Vec::new();
    for (vulnerability, mut group) in group(witnesses) {
        group.sort_by(|a, b| {
            a.precedence()
                .cmp(&b.precedence())
                .then_with(|| a.feed.id.cmp(&b.feed.id))
                .then_with(|| a.advisory.id.cmp(&b.advisory.id))
                .then_with(|| a.judgement.comparison.cmp(&b.judgement.comparison))
        });
        let mut scores = Scores::of(&group);
        let mut found = build(vulnerability, &group, scheme, is_os);
        // What is known beside the advisories matters only where the vulnerability may be there.
        if !matches!(found.verdict, Verdict::NotAffected { .. }) && crate::record::is_cve(&found.vulnerability) {
            let is_unscored = scores.distribution.is_empty() && scores.own.is_empty();
            let Enrichment { cvss: borrowed, nvd, kev, epss } = enrich(&found.vulnerability, is_unscored)?;
            (found.kev, found.epss, scores.borrowed) = (kev, epss, borrowed);
            if let Some((feed, rated)) = nvd {
                scores.add_nvd(&feed, &rated);
                doubt(&mut found, &feed, &rated);
            }
        }
        found.cvss = scores.all();
        (found.severity, found.severity_source) = severity(&group, is_os, &scores);
        matches.push(found);
    }
    Ok(matches)
}

/// Says what NVD says against the CVE itself. The verdict stays that of the advisories.
fn doubt(found: &mut Match, feed: &str, rated: &Rated) {
    if rated.rejected {
        found.because.push_str(&format!("; {feed} says that {} was rejected", found.vulnerability));
    } else if rated.disputed {
        found.because.push_str(&format!("; {feed} says that {} is disputed", found.vulnerability));
    }
}

/// Witnesses by vulnerability.
fn group<'a, 'b>(witnesses: &'a [Witness<'b>]) -> BTreeMap<String, Vec<&'a Witness<'b>>> {
    let mut cves_of: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for witness in witnesses.iter().filter(|w| !w.advisory.cves.is_empty()) {
        for id in names(witness) {
            cves_of.entry(id).or_default().extend(witness.advisory.cves.iter().map(String::as_str));
        }
    }
    let mut groups: BTreeMap<String, Vec<&'a Witness<'b>>> = BTreeMap::new();
    let mut nameless: Vec<&Witness<'b>> = Vec::new();
    for witness in witnesses {
        let own = witness.advisory.cves.iter().map(String::as_str);
        let by_alias = names(witness).filter_map(|id| cves_of.get(id)).flatten().copied();
        let cves: BTreeSet<&str> = if witness.advisory.cves.is_empty() { by_alias.collect() } else { own.collect() };
        if cves.is_empty() {
            nameless.push(witness);
        }
        for cve in cves {
            groups.entry(cve.to_owned()).or_default().push(witness);
        }
    }
    for group in group_by_alias(&nameless) {
        groups.entry(representative(&group)).or_default().extend(group);
    }
    groups
}

/// The advisory's ids that are no CVEs.
fn names<'a>(witness: &'a Witness<'_>) -> impl Iterator<Item = &'a str> {
    [witness.advisory.id.as_str()].into_iter().chain(witness.advisory.others.iter().map(String::as_str))
}

fn group_by_alias<'a, 'b>(witnesses: &[&'a Witness<'b>]) -> Vec<Vec<&'a Witness<'b>>> {
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(Vec<&str>, Vec<&'a Witness<'b>>)> = Vec::new();
    for witness in witnesses {
        let mut joined = (names(witness).collect::<Vec<_>>(), vec![*witness]);
        let touched: BTreeSet<usize> = joined.0.iter().filter_map(|id| group_of.get(id)).copied().collect();
        for index in touched {
            let (ids, members) = std::mem::take(&mut groups[index]);
            joined.0.extend(ids);
            joined.1.extend(members);
        }
        for id in &joined.0 {
            group_of.insert(id, groups.len());
        }
        groups.push(joined);
    }
    groups.into_iter().map(|(_, members)| members).filter(|members| !members.is_empty()).collect()
}

/// The id that the group is known by: GitHub's where there is one, else the first of the advisories' own.
fn representative(group: &[&Witness<'_>]) -> String {
    let ids = group.iter().map(|w| w.advisory.id.as_str());
    ids.min_by_key(|id| (!id.starts_with("GHSA-"), *id)).unwrap_or_default().to_owned()
}

fn scores(witness: &Witness<'_>) -> Vec<(String, CvssScore)> {
    let of = |s: &CvssScore| (witness.feed.id.clone(), s.clone());
    witness.statement.cvss.iter().chain(&witness.advisory.cvss).map(of).collect()
}

fn build(vulnerability: String, group: &[&Witness<'_>], scheme: Scheme, is_os: bool) -> Match {
    let (verdict, because) = decide(group, scheme, is_os);
    let is_alias = |id: &&str| *id != vulnerability && !crate::record::is_cve(id);
    let aliases: BTreeSet<&str> = group.iter().flat_map(|w| names(w)).filter(is_alias).collect();
    let reference = |w: &&Witness<'_>| AdvisoryRef {
        feed: w.feed.id.clone(),
        id: w.advisory.id.clone(),
        url: w.advisory.url.clone(),
    };
    let advisories: BTreeSet<AdvisoryRef> = group.iter().map(reference).collect();
    let time = |seconds: Option<i64>| seconds.and_then(|s| Timestamp::from_second(s).ok());
    let live = || group.iter().filter(|w| !w.advisory.withdrawn);
    let fixed_at = match &verdict {
        Verdict::Affected { fixed, .. } if !fixed.is_empty() => {
            live().filter(|w| w.advisory.is_erratum).filter_map(|w| w.advisory.published).min()
        }
        Verdict::Affected { .. } | Verdict::NotAffected { .. } | Verdict::Undecided { .. } => None,
    };
    Match {
        aliases: aliases.into_iter().map(str::to_owned).collect(),
        advisories: advisories.into_iter().collect(),
        verdict,
        severity: Severity::Unknown,
        severity_source: String::new(),
        summary: group.iter().find_map(|w| w.advisory.summary.clone()),
        cvss: Vec::new(),
        kev: None,
        epss: None,
        published: time(group.iter().filter_map(|w| w.advisory.published).min()),
        fixed_at: time(fixed_at),
        malicious: live().any(|w| w.advisory.malicious),
        because,
        vulnerability,
    }
}

fn severity(group: &[&Witness<'_>], is_os: bool, scores: &Scores) -> (Severity, String) {
    let word = || {
        let rating = |w: &&Witness<'_>| w.statement.rating.or(w.advisory.rating).map(|s| (s, w.feed.id.clone()));
        // An erratum rates all that it fixes at once; a statement about the CVE alone says more.
        let (errata, alone): (Vec<_>, Vec<_>) = group.iter().partition(|w| w.advisory.is_erratum);
        alone.into_iter().chain(errata).find_map(rating)
    };
    let found = if is_os { word().or_else(|| scores.best()) } else { scores.best().or_else(word) };
    found.unwrap_or_else(|| (Severity::Unknown, "none".to_owned()))
}

fn decide(group: &[&Witness<'_>], scheme: Scheme, is_os: bool) -> (Verdict, String) {
    let live: Vec<&Witness<'_>> = group.iter().filter(|w| !w.advisory.withdrawn).copied().collect();
    if live.is_empty() {
        let texts = group.iter().map(|w| w.sentence()).collect();
        return (Verdict::NotAffected { why: NotAffected::Withdrawn }, sentences(texts));
    }
    let top = live.iter().map(|w| w.precedence()).min().filter(|_| is_os);
    let (deciding, silent): (Vec<&Witness<'_>>, Vec<&Witness<'_>>) =
        live.into_iter().partition(|w| top.is_none_or(|top| w.precedence() == top));
    let verdict = verdict(&deciding, scheme);
    let rank = |w: &Witness<'_>| match (&w.judgement.outcome, &verdict) {
        (Outcome::Affected { .. }, Verdict::Affected { .. })
        | (Outcome::Undecided(_), Verdict::Undecided { .. })
        | (Outcome::NotAffected(_), Verdict::NotAffected { .. }) => 0,
        _ => 1,
    };
    let mut ordered = deciding.clone();
    ordered.sort_by_key(|w| rank(w));
    let mut texts: Vec<String> = ordered.iter().map(|w| w.sentence()).collect();
    let disagreeing = |w: &&Witness<'_>| rank(w) == 1;
    texts.extend(silent.iter().filter(|w| disagreeing(w)).map(|w| {
        let why = match (w.standing, deciding.first().map(|w| w.standing)) {
            (Standing::Unsubscribed, _) => "its fix is for subscribers",
            (_, Some(Standing::Subscribed)) => "the installed build is one for subscribers",
            _ => "the distribution's own feed does",
        };
        format!("{} does not decide, because {why} ({})", w.label(), w.sentence())
    }));
    (verdict, sentences(texts))
}

fn sentences(mut texts: Vec<String>) -> String {
    let mut seen = BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    if texts.len() > SENTENCES_MAX {
        let more = texts.len() - SENTENCES_MAX;
        texts.truncate(SENTENCES_MAX);
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

fn verdict(deciding: &[&Witness<'_>], scheme: Scheme) -> Verdict {
    let mut first_fixes: Vec<&str> = Vec::new();
    let mut other_fixes: BTreeSet<&str> = BTreeSet::new();
    let mut outlooks: Vec<Outlook> = Vec::new();
    let mut doubts: BTreeSet<&str> = BTreeSet::new();
    let mut reasons: Vec<NotAffected> = Vec::new();
    for witness in deciding {
        match &witness.judgement.outcome {
            Outcome::Affected { fix, others, outlook } => {
                first_fixes.extend(fix.as_deref());
                other_fixes.extend(others.iter().map(String::as_str));
                outlooks.push(*outlook);
            }
            Outcome::Undecided(why) => drop(doubts.insert(why)),
            Outcome::NotAffected(why) => reasons.push(*why),
        }
    }
    if let Some(outlook) = outlooks.into_iter().min() {
        return affected(&first_fixes, other_fixes, outlook, scheme);
    }
    if !doubts.is_empty() {
        return Verdict::Undecided { why: doubts.into_iter().collect::<Vec<_>>().join("; ") };
    }
    let preferred = [NotAffected::Fixed, NotAffected::Declared, NotAffected::OutOfRange, NotAffected::Withdrawn];
    let why = preferred.into_iter().find(|why| reasons.contains(why)).unwrap_or(NotAffected::OutOfRange);
    Verdict::NotAffected { why }
}

/// The version to install is the newest of those that the advisories name for the installed one: only that satisfies
/// all of them. Then the other fixed versions, ascending.
fn affected<'a>(first_fixes: &[&'a str], mut others: BTreeSet<&'a str>, outlook: Outlook, scheme: Scheme) -> Verdict {
    others.extend(first_fixes);
    let install = first_fixes.iter().copied().max_by(|a, b| scheme.order(a, b));
    let mut rest: Vec<&str> = others.into_iter().filter(|version| Some(*version) != install).collect();
    rest.sort_by(|a, b| scheme.order(a, b));
    let fixed: Vec<String> = install.into_iter().chain(rest).map(str::to_owned).collect();
    let outlook = if fixed.is_empty() { outlook } else { Outlook::Open };
    Verdict::Affected { fixed, outlook }
}
