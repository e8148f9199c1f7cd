//! Debian's security tracker as JSON: `debian-tracker`.
//!
//! By source package, then by vulnerability, then by release. `resolved` with a version: older ones are affected;
//! with version `0`: this release never was. `open`: affected, and `nodsa_reason` says what will become of it.
//! `undetermined`: Debian has not decided. Field names and words: the tracker's `/tracker/data/json` and the security
//! team's documentation of `<no-dsa>`, `<ignored>` and `<postponed>`.

use super::{Document, Draft, Feed, Lenient, Parsed, Scope, nullable, plain, summary};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Says, Statement, cve_prefix};
use model::advisory::Outlook;
use model::{Ecosystem, EcosystemRelease, Severity};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Reads the tracker's document.
pub(super) struct DebianTracker;

const ID: &str = "debian-tracker";

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default, deserialize_with = "nullable")]
    description: String,
    releases: BTreeMap<String, Lenient<State>>,
}

#[derive(Deserialize)]
struct State {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    urgency: String,
    #[serde(default)]
    nodsa: Option<String>,
    #[serde(default)]
    nodsa_reason: Option<String>,
}

#[derive(Default)]
struct Collected {
    description: String,
    statements: Vec<(Key, Statement)>,
}

impl Feed for DebianTracker {
    fn kind(&self) -> FeedKind {
        FeedKind::DebianTracker
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let is_tracker = document.outline.inner_keys().any(|key| key.starts_with(b"CVE-") || key.starts_with(b"TEMP-"));
        is_tracker.then(|| ID.to_owned())
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let packages: BTreeMap<String, BTreeMap<String, Lenient<Vulnerability>>> =
            serde_json::from_slice(document.bytes)
                .map_err(|e| format!("it is not a whole document of Debian's tracker: {e}"))?;
        let mut collector = Collector::default();
        for (package, vulnerabilities) in packages {
            for (id, vulnerability) in vulnerabilities {
                collector.read(&package, &id, vulnerability);
            }
        }
        if collector.vulnerabilities.is_empty() {
            return Err("it has the form of Debian's tracker and not one record that can be read".to_owned());
        }
        let mut parsed = Parsed::new(ID.to_owned(), FeedKind::DebianTracker, Scope::Whole);
        parsed.broken = collector.broken;
        parsed.skipped = collector.skipped;
        parsed.drafts = collector.vulnerabilities.into_iter().map(|(id, collected)| draft(id, collected)).collect();
        Ok(vec![parsed])
    }
}

/// Turns the tracker's order (package, vulnerability, release) into one advisory per vulnerability.
#[derive(Default)]
struct Collector {
    vulnerabilities: BTreeMap<String, Collected>,
    broken: Vec<String>,
    skipped: BTreeMap<String, u64>,
}

impl Collector {
    fn read(&mut self, package: &str, id: &str, vulnerability: Lenient<Vulnerability>) {
        let named = plain("a package's name", package).and_then(|_| plain("an id", id));
        let (Ok(_), Lenient::Good(vulnerability)) = (named, vulnerability) else {
            let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
            return self.broken.push(format!("{} {}: not in the form it should have", cut(package), cut(id)));
        };
        let known = self.vulnerabilities.entry(id.to_owned()).or_default();
        if known.description.is_empty() {
            known.description = vulnerability.description;
        }
        for (codename, state) in vulnerability.releases {
            let Some(release) = release_of(&codename) else {
                let codename: String = codename.chars().take(100).collect();
                *self.skipped.entry(format!("unknown release {codename}")).or_default() += 1;
                continue;
            };
            let said = match state {
                Lenient::Good(state) => statement(&state),
                Lenient::Bad(IgnoredAny) => Err("not in the form it should have".to_owned()),
            };
            match said {
                Ok(said) => known.statements.push((Key::Package(release, package.to_owned()), said)),
                Err(why) => self.broken.push(format!("{package} {id} {codename}: {why}")),
            }
        }
    }
}

/// Debian's releases by codename (Debian wiki, "DebianReleases"). `sid` has no number: images of testing and unstable
/// do not say one either.
fn release_of(codename: &str) -> Option<EcosystemRelease> {
    let number = match codename {
        "sid" => return Some(EcosystemRelease::of(Ecosystem::Debian)),
        "wheezy" => "7",
        "jessie" => "8",
        "stretch" => "9",
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        _ => return None,
    };
    Some(EcosystemRelease { ecosystem: Ecosystem::Debian, release: Some(number.to_owned()) })
}

fn statement(state: &State) -> Result<Statement, String> {
    // An asterisk marks an urgency that was set automatically.
    let urgency = state.urgency.trim_end_matches('*').trim();
    let says = match state.status.as_str() {
        "resolved" => match state.fixed_version.as_deref() {
            Some("0") => Says::NotAffected,
            Some(version) => Says::FixedIn(vec![plain("fixed_version", version)?.to_owned()]),
            None => return Err("resolved without fixed_version".to_owned()),
        },
        "open" => Says::Open { outlook: outlook(state, urgency), note: note(state) },
        "undetermined" => Says::Undetermined("undetermined".to_owned()),
        other => return Err(format!("unknown status {:?}", other.chars().take(40).collect::<String>())),
    };
    let rating = match urgency {
        "unimportant" => Some(Severity::Negligible),
        "low" => Some(Severity::Low),
        "medium" => Some(Severity::Medium),
        "high" => Some(Severity::High),
        // "not yet assigned" and "end-of-life" rate nothing.
        _ => None,
    };
    Ok(Statement { rating, ..Statement::new(says) })
}

/// `ignored`: it will not be fixed. `postponed`, or marked as not worth an advisory of its own (`no-dsa`): later, if
/// ever.
fn outlook(state: &State, urgency: &str) -> Outlook {
    match state.nodsa_reason.as_deref() {
        Some("ignored") => Outlook::WillNotFix,
        _ if urgency == "end-of-life" => Outlook::WillNotFix,
        Some(_) => Outlook::Deferred,
        None if state.nodsa.is_some() => Outlook::Deferred,
        None => Outlook::Open,
    }
}

fn note(state: &State) -> Option<String> {
    let text = summary(state.nodsa.as_deref()?)?;
    let reason = state.nodsa_reason.as_deref().filter(|r| ["ignored", "postponed"].contains(r)).unwrap_or("no-dsa");
    Some(format!("{reason}: {text}"))
}

fn draft(id: String, collected: Collected) -> Draft {
    let advisory = Advisory {
        cves: cve_prefix(&id).map(str::to_owned).into_iter().collect(),
        others: Vec::new(),
        url: Some(format!("https://security-tracker.debian.org/tracker/{id}")),
        summary: summary(&collected.description),
        published: None,
        withdrawn: false,
        disputed: false,
        is_erratum: false,
        malicious: false,
        cvss: Vec::new(),
        rating: None,
        id,
    };
    Draft { modified: None, advisory, statements: collected.statements, rated: None }
}
