//! What several advisories say about one vulnerability of one package becomes one match.
//!
//! Rules, in order:
//! * Two CVEs are never merged, even if one advisory is about both: each gets a match of its own.
//! * Advisories without a CVE join the CVE of an alias; else they are grouped by their aliases.
//! * Withdrawn advisories count only where nothing else speaks of the vulnerability.
//! * For distribution packages the distribution's own feed decides; copies in OSV are kept as sources.
//! * Of a source's errata those decide that have a fix for the installed build's own minor release ([`minor`]).
//! * Among equals: affected before undecided before not affected.
//! * Severity: the distribution's word and then its vector, then NVD's vector, then those of these advisories, then the
//!   CVE's numbering authority as NVD passes it on, then vectors that other feeds have for the same CVE, then the
//!   source's word. Of several vectors of one source the newest CVSS version counts.

use super::applies::Standing;
use super::evaluate::Outcome;
use super::{Witness, minor};
use crate::cvss;
use crate::record::{Rated, is_cve};
use crate::version::Scheme;
use model::advisory::{AdvisoryRef, CvssScore, KevEntry, NotAffected, Outlook};
use model::{Ecosystem, Match, Severity, Timestamp, Verdict};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How many sentences the reasons have at most.
const SENTENCES_MAX: usize = 8;

/// What the rest of the intelligence knows about a CVE.
#[derive(Debug)]
pub(crate) struct Enrichment {
    /// Vectors of OSV feeds, each with the feed that has it.
    pub(crate) cvss: Vec<(String, CvssScore)>,
    /// NVD's own record, with the feed that has it.
    pub(crate) nvd: Option<(String, Rated)>,
    /// Its entry in a catalogue of known exploited vulnerabilities.
    pub(crate) kev: Option<KevEntry>,
    /// Probability of exploitation within 30 days.
    pub(crate) epss: Option<f64>,
}

impl Enrichment {
    /// Nothing is known.
    pub(crate) const fn is_empty(&self) -> bool {
        self.cvss.is_empty() && self.nvd.is_none() && self.kev.is_none() && self.epss.is_none()
    }
}

/// How an ecosystem's witnesses are merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How versions are ordered.
    pub(crate) scheme: Scheme,
    /// The packages are a distribution's.
    pub(crate) is_os: bool,
    /// Vulnerabilities that the package does not have are left out.
    pub(crate) only_open: bool,
}

impl Rules {
    /// Those of an ecosystem's packages whose versions are of a scheme.
    pub(crate) const fn new(scheme: Scheme, ecosystem: Ecosystem, only_open: bool) -> Self {
        Self { scheme, is_os: ecosystem.format().is_os(), only_open }
    }
}

/// A score and who gave it.
type Sourced<'a> = (&'a str, &'a CvssScore);

/// Everything that rates one vulnerability, by who says it.
#[derive(Default)]
struct Scores<'a> {
    /// The distribution's feeds.
    distribution: Vec<Sourced<'a>>,
    /// NVD itself.
    nvd: Vec<Sourced<'a>>,
    /// The other advisories of the match.
    own: Vec<Sourced<'a>>,
    /// Numbering authorities, through NVD, and the feed of NVD.
    authorities: (Vec<Sourced<'a>>, &'a str),
    /// Other feeds.
    borrowed: Vec<Sourced<'a>>,
}

impl<'a> Scores<'a> {
    fn of(group: &[&'a Witness<'_>]) -> Self {
        let mut found = Self::default();
        for witness in group {
            let to = if witness.feed.kind.is_distribution() { &mut found.distribution } else { &mut found.own };
            let all = witness.statement.cvss.iter().chain(&witness.advisory.cvss);
            to.extend(all.map(|score| (witness.feed.id.as_str(), score)));
        }
        found
    }

    /// In the order in which they count.
    const fn by_rank(&self) -> [&Vec<Sourced<'a>>; 5] {
        [&self.distribution, &self.nvd, &self.own, &self.authorities.0, &self.borrowed]
    }

    fn all(&self) -> Vec<CvssScore> {
        let mut all = self.by_rank().into_iter().flatten().map(|(_, score)| (*score).clone()).collect();
        cvss::sort(&mut all);
        all
    }

    /// The newest version and, in it, the highest score of the first source that has one.
    fn best(&self) -> Option<(Severity, String)> {
        let (rank, first) = self.by_rank().into_iter().enumerate().find(|(_, scores)| !scores.is_empty())?;
        let mut sorted = first.iter().map(|(_, score)| (*score).clone()).collect();
        cvss::sort(&mut sorted);
        let best = sorted.first()?;
        let source = first.iter().find(|(_, score)| *score == best).map(|(source, _)| *source)?;
        let is_passed_on = rank == 3;
        let source = if is_passed_on { format!("{source} in {}", self.authorities.1) } else { source.to_owned() };
        Some((Severity::from_cvss(best.score), source))
    }

    const fn is_empty(&self) -> bool {
        self.distribution.is_empty() && self.own.is_empty()
    }

    fn add(&mut self, known: &'a Enrichment) {
        // Vectors of other feeds count only where no advisory has one.
        if self.is_empty() {
            self.borrowed = known.cvss.iter().map(|(feed, score)| (feed.as_str(), score)).collect();
        }
        if let Some((feed, rated)) = &known.nvd {
            self.nvd = rated.cvss.iter().map(|score| (feed.as_str(), score)).collect();
            self.authorities = (rated.others.iter().map(|(who, score)| (who.as_str(), score)).collect(), feed);
        }
    }
}

/// Merges witnesses into matches, sorted by vulnerability. `enrich` is asked about CVEs that the package may have, with
/// true where vectors are wanted, because no witness has one; `None` is that nothing is known.
///
/// # Errors
/// Those of `enrich`.
pub(crate) fn merge<E>(
    witnesses: &[Witness<'_>],
    rules: Rules,
    mut enrich: impl FnMut(&str, bool) -> Result<Option<Arc<Enrichment>>, E>,
) -> Result<Vec<Match>, E> {
    let mut matches = Vec::new();
    let mut group: Vec<&Witness<'_>> = Vec::new();
    for of_one in by_vulnerability(witnesses).chunk_by(|(a, _), (b, _)| a == b) {
        let Some((vulnerability, _)) = of_one.first().copied() else { continue };
        group.clear();
        group.extend(of_one.iter().map(|(_, witness)| *witness));
        group.sort_by(|a, b| in_order(a, b));
        let decision = Decision::new(&group, rules);
        let is_open = !matches!(decision.verdict, Verdict::NotAffected { .. });
        if rules.only_open && !is_open {
            continue;
        }
        // What is known beside the advisories matters only where the vulnerability may be there.
        let is_unscored = group.iter().all(|w| w.statement.cvss.is_empty() && w.advisory.cvss.is_empty());
        let known = match is_open && is_cve(vulnerability) {
            true => enrich(vulnerability, is_unscored)?,
            false => None,
        };
        matches.push(build(vulnerability, &group, decision, known.as_deref()));
    }
    Ok(matches)
}

/// Those that decide first; then by where they are from.
fn in_order(a: &Witness<'_>, b: &Witness<'_>) -> Ordering {
    let comparison = |witness: &Witness<'_>| {
        let mut out = String::new();
        witness.write_comparison(&mut out);
        out
    };
    a.precedence()
        .cmp(&b.precedence())
        .then_with(|| a.feed.id.cmp(&b.feed.id))
        .then_with(|| a.advisory.id.cmp(b.advisory.id))
        .then_with(|| comparison(a).cmp(&comparison(b)))
}

/// Says what NVD says against the CVE itself. The verdict stays that of the advisories.
fn doubt(found: &mut Match, feed: &str, rated: &Rated) {
    if rated.rejected {
        found.because.push_str(&format!("; {feed} says that {} was rejected", found.vulnerability));
    } else if rated.disputed {
        found.because.push_str(&format!("; {feed} says that {} is disputed", found.vulnerability));
    }
}

/// Witnesses with the vulnerabilities that they speak of, sorted by those.
fn by_vulnerability<'b, 'a>(witnesses: &'b [Witness<'a>]) -> Vec<(&'a str, &'b Witness<'a>)> {
    let mut found: Vec<(&'a str, &'b Witness<'a>)> = Vec::with_capacity(witnesses.len() * 2);
    if witnesses.iter().all(|witness| !witness.advisory.cves.is_empty()) {
        for witness in witnesses {
            push_distinct(&mut found, &witness.advisory.cves, witness);
        }
    } else {
        by_alias(witnesses, &mut found);
    }
    found.sort_by_key(|(name, _)| *name);
    found
}

/// CVEs of an advisory are sorted.
fn push_distinct<'b, 'a>(found: &mut Vec<(&'a str, &'b Witness<'a>)>, cves: &[&'a str], witness: &'b Witness<'a>) {
    for (at, cve) in cves.iter().enumerate() {
        if at == 0 || cves[at - 1] != *cve {
            found.push((cve, witness));
        }
    }
}

/// The same where some advisories name no CVE.
fn by_alias<'b, 'a>(witnesses: &'b [Witness<'a>], found: &mut Vec<(&'a str, &'b Witness<'a>)>) {
    let mut cves_of: HashMap<&str, BTreeSet<&'a str>> = HashMap::new();
    for witness in witnesses.iter().filter(|w| !w.advisory.cves.is_empty()) {
        for id in names(witness) {
            cves_of.entry(id).or_default().extend(&witness.advisory.cves);
        }
    }
    let mut nameless: Vec<&'b Witness<'a>> = Vec::new();
    for witness in witnesses {
        if !witness.advisory.cves.is_empty() {
            push_distinct(found, &witness.advisory.cves, witness);
            continue;
        }
        let cves: BTreeSet<&'a str> = names(witness).filter_map(|id| cves_of.get(id)).flatten().copied().collect();
        if cves.is_empty() {
            nameless.push(witness);
        }
        found.extend(cves.into_iter().map(|cve| (cve, witness)));
    }
    for group in group_by_alias(&nameless) {
        let name = representative(&group);
        found.extend(group.into_iter().map(|witness| (name, witness)));
    }
}

/// The advisory's ids that are no CVEs.
fn names<'a>(witness: &Witness<'a>) -> impl Iterator<Item = &'a str> {
    [witness.advisory.id].into_iter().chain(witness.advisory.others.iter().copied())
}

fn group_by_alias<'b, 'a>(witnesses: &[&'b Witness<'a>]) -> Vec<Vec<&'b Witness<'a>>> {
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(Vec<&str>, Vec<&'b Witness<'a>>)> = Vec::new();
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
fn representative<'a>(group: &[&Witness<'a>]) -> &'a str {
    let ids = group.iter().map(|w| w.advisory.id);
    ids.min_by_key(|id| (!id.starts_with("GHSA-"), *id)).unwrap_or_default()
}

/// A match of sorted witnesses.
fn build(
    vulnerability: &str,
    group: &[&Witness<'_>],
    decision: Decision<'_, '_, '_>,
    known: Option<&Enrichment>,
) -> Match {
    let is_os = decision.rules.is_os;
    let mut scores = Scores::of(group);
    if let Some(known) = known {
        scores.add(known);
    }
    let (severity, severity_source) = severity(group, is_os, &scores);
    let time = |seconds: Option<i64>| seconds.and_then(|s| Timestamp::from_second(s).ok());
    let live = || group.iter().filter(|w| !w.advisory.withdrawn);
    let because = decision.because();
    let verdict = decision.verdict;
    let fixed_at = match &verdict {
        Verdict::Affected { fixed, .. } if !fixed.is_empty() => {
            live().filter(|w| w.advisory.is_erratum).filter_map(|w| w.advisory.published).min()
        }
        Verdict::Affected { .. } | Verdict::NotAffected { .. } | Verdict::Undecided { .. } => None,
    };
    let mut found = Match {
        vulnerability: vulnerability.to_owned(),
        aliases: aliases(vulnerability, group),
        advisories: references(group),
        verdict,
        severity,
        severity_source,
        summary: group.iter().find_map(|w| w.advisory.summary).map(str::to_owned),
        cvss: scores.all(),
        kev: known.and_then(|known| known.kev.clone()),
        epss: known.and_then(|known| known.epss),
        published: time(group.iter().filter_map(|w| w.advisory.published).min()),
        fixed_at: time(fixed_at),
        malicious: live().any(|w| w.advisory.malicious),
        because,
    };
    if let Some((feed, rated)) = known.and_then(|known| known.nvd.as_ref()) {
        doubt(&mut found, feed, rated);
    }
    found
}

/// Everything else that it is called, sorted.
fn aliases(vulnerability: &str, group: &[&Witness<'_>]) -> Vec<String> {
    let is_alias = |id: &&str| *id != vulnerability && !is_cve(id);
    let mut found: Vec<&str> = group.iter().flat_map(|w| names(w)).filter(is_alias).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(str::to_owned).collect()
}

fn references(group: &[&Witness<'_>]) -> Vec<AdvisoryRef> {
    let reference = |w: &&Witness<'_>| AdvisoryRef {
        feed: w.feed.id.clone(),
        id: w.advisory.id.to_owned(),
        url: w.advisory.url.map(str::to_owned),
    };
    let mut found: Vec<AdvisoryRef> = group.iter().map(reference).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn severity(group: &[&Witness<'_>], is_os: bool, scores: &Scores<'_>) -> (Severity, String) {
    let word = || {
        let rating = |w: &&Witness<'_>| w.statement.rating.or(w.advisory.rating).map(|s| (s, w.feed.id.clone()));
        // An erratum rates all that it fixes at once; a statement about the CVE alone says more.
        let of = |is_erratum: bool| group.iter().filter(move |w| w.advisory.is_erratum == is_erratum);
        of(false).chain(of(true)).find_map(rating)
    };
    let found = if is_os { word().or_else(|| scores.best()) } else { scores.best().or_else(word) };
    found.unwrap_or_else(|| (Severity::Unknown, "none".to_owned()))
}

/// What sorted witnesses of one vulnerability say together.
struct Decision<'g, 'b, 'a> {
    rules: Rules,
    verdict: Verdict,
    /// All are withdrawn.
    is_withdrawn: bool,
    /// Those that count, first those that decide.
    counting: Cow<'g, [&'b Witness<'a>]>,
    deciding: usize,
    /// Errata whose fixes are for other minor releases than the installed build's.
    elsewhere: Vec<&'b Witness<'a>>,
}

impl<'g, 'b, 'a> Decision<'g, 'b, 'a> {
    fn new(group: &'g [&'b Witness<'a>], rules: Rules) -> Self {
        let is_live = |w: &&Witness<'_>| !w.advisory.withdrawn;
        let live = match group.iter().all(|w| !w.advisory.withdrawn) {
            true => Cow::Borrowed(group),
            false => group.iter().copied().filter(is_live).collect(),
        };
        let parted = if rules.scheme == Scheme::Rpm && live.len() > 1 { minor::part(&live) } else { None };
        let (counting, elsewhere) =
            parted.map_or((live, Vec::new()), |(counting, passed)| (Cow::Owned(counting), passed));
        let Some(first) = counting.first() else {
            let verdict = Verdict::NotAffected { why: NotAffected::Withdrawn };
            let (counting, deciding) = (Cow::Borrowed(group), group.len());
            return Self { rules, verdict, is_withdrawn: true, counting, deciding, elsewhere };
        };
        let top = first.precedence();
        let decides = |w: &&&Witness<'_>| !rules.is_os || w.precedence() == top;
        let deciding = counting.iter().take_while(decides).count();
        let verdict = verdict(&counting[..deciding], rules.scheme);
        Self { rules, verdict, is_withdrawn: false, counting, deciding, elsewhere }
    }

    /// The sentences of those that decide, first of those that agree with the verdict, then of those that would say
    /// otherwise.
    fn because(&self) -> String {
        if let ([only], []) = (&*self.counting, self.elsewhere.as_slice()) {
            return only.sentence();
        }
        let (deciding, silent) = self.counting.split_at(self.deciding);
        let agrees = |w: &&Witness<'_>| {
            self.is_withdrawn
                || matches!(
                    (&w.judgement.outcome, &self.verdict),
                    (Outcome::Affected { .. }, Verdict::Affected { .. })
                        | (Outcome::Undecided(_), Verdict::Undecided { .. })
                        | (Outcome::NotAffected(_), Verdict::NotAffected { .. })
                )
        };
        let agreeing = deciding.iter().copied().filter(|w| agrees(w));
        let others = deciding.iter().copied().filter(|w| !agrees(w));
        let mut texts: Vec<String> = agreeing.chain(others).map(Witness::sentence).collect();
        texts.extend(silent.iter().filter(|w| !agrees(w)).map(|w| silence(w, self.why_silent(w))));
        texts.extend(self.elsewhere.iter().filter(|w| !agrees(w)).map(|w| {
            let tag = minor::tag(w.installed.version).unwrap_or_default();
            silence(w, &format!("the installed build is of {tag}, which has a fix of its own"))
        }));
        sentences(texts)
    }

    fn why_silent(&self, witness: &Witness<'_>) -> &'static str {
        match (witness.standing, self.counting.first().map(|w| w.standing)) {
            (Standing::Unsubscribed, _) => "its fix is for subscribers",
            (_, Some(Standing::Subscribed)) => "the installed build is one for subscribers",
            _ => "the distribution's own feed does",
        }
    }
}

/// Why a witness that would say otherwise does not count.
fn silence(witness: &Witness<'_>, why: &str) -> String {
    let mut out = String::new();
    witness.write_label(&mut out);
    out.push_str(&format!(" does not decide, because {why} ("));
    witness.write_sentence(&mut out);
    out.push(')');
    out
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
    if let [only] = deciding {
        match &only.judgement.outcome {
            Outcome::Affected { fix: Some(fix), others, .. } if others.is_empty() => {
                return Verdict::Affected { fixed: vec![(*fix).to_owned()], outlook: Outlook::Open };
            }
            Outcome::NotAffected(why) => return Verdict::NotAffected { why: *why },
            Outcome::Affected { .. } | Outcome::Undecided(_) => {}
        }
    }
    let mut first_fixes: Vec<&str> = Vec::new();
    let mut other_fixes: BTreeSet<&str> = BTreeSet::new();
    let mut outlooks: Vec<Outlook> = Vec::new();
    let mut doubts: BTreeSet<&str> = BTreeSet::new();
    let mut reasons: Vec<NotAffected> = Vec::new();
    for witness in deciding {
        match &witness.judgement.outcome {
            Outcome::Affected { fix, others, outlook } => {
                first_fixes.extend(fix);
                other_fixes.extend(others);
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
