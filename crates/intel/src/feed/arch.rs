//! Arch Linux's security tracker, all issues as JSON: `arch`.
//!
//! An array of vulnerability groups (`AVG-1`) with their packages, their CVEs, a status and the versions (arch-security-
//! tracker, `/issues/all.json`). A package is affected while it is older than `fixed`; `affected` is only the version in
//! which it was noticed.

use super::{Document, Draft, Feed, Lenient, Parsed, Scope, nullable, plain, shown, summary};
use crate::meta::{FeedId, FeedKind};
use crate::record::{Advisory, Key, Says, Statement, cve_prefix};
use model::advisory::Outlook;
use model::{Ecosystem, EcosystemRelease, Severity};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Reads the tracker's document.
pub(super) struct Arch;

const ID: &str = "arch";
/// How far the fields of the first group are looked for.
const HEAD_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
struct Group {
    name: String,
    packages: Vec<String>,
    status: String,
    #[serde(default, deserialize_with = "nullable")]
    severity: String,
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    kind: String,
    #[serde(default)]
    fixed: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    issues: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    advisories: Vec<String>,
}

impl Feed for Arch {
    fn kind(&self) -> FeedKind {
        FeedKind::Arch
    }

    fn recognise(&self, document: &Document<'_>) -> Option<FeedId> {
        let head = document.bytes.trim_ascii_start();
        let head = &head[..head.len().min(HEAD_BYTES_MAX)];
        let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
        (head.first() == Some(&b'[') && has("\"AVG-") && has("\"packages\"")).then(|| ID.to_owned())
    }

    fn parse(&self, document: &Document<'_>) -> Result<Vec<Parsed>, String> {
        let groups: Vec<Lenient<Group>> = serde_json::from_slice(document.bytes)
            .map_err(|e| format!("it is not a whole document of Arch Linux's security tracker: {e}"))?;
        let mut parsed = Parsed::new(ID.to_owned(), FeedKind::Arch, Scope::Whole);
        for group in groups {
            match group {
                Lenient::Good(group) => match draft(&group) {
                    Ok(draft) => parsed.drafts.push(draft),
                    Err(why) => parsed.broken.push(format!("{}: {why}", shown(&group.name))),
                },
                Lenient::Bad(IgnoredAny) => parsed.broken.push("a group is not in the form it should have".to_owned()),
            }
        }
        match (parsed.drafts.is_empty(), parsed.broken.first()) {
            (true, Some(why)) => Err(format!("not one group of it can be read; {why}")),
            (true, None) => Err("it has no groups".to_owned()),
            (false, _) => Ok(vec![parsed]),
        }
    }
}

fn draft(group: &Group) -> Result<Draft, String> {
    let id = plain("the group's name", &group.name)?;
    let says = says(group)?;
    let release = EcosystemRelease::of(Ecosystem::Arch);
    let mut names: Vec<&str> =
        group.packages.iter().map(|name| plain("a package's name", name)).collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    let (mut cves, mut others) = (Vec::new(), group.advisories.clone());
    for issue in &group.issues {
        match cve_prefix(issue) {
            Some(cve) => cves.push(cve.to_owned()),
            None => others.push(plain("an issue", issue)?.to_owned()),
        }
    }
    cves.sort();
    cves.dedup();
    others.sort();
    others.dedup();
    let advisory = Advisory {
        cves,
        others,
        url: Some(format!("https://security.archlinux.org/{id}")),
        summary: summary(&group.kind),
        // The tracker's word for what nobody has rated is "Unknown".
        rating: group.severity.parse().ok().filter(|rating| *rating != Severity::Unknown),
        ..Advisory::new(id)
    };
    let statement = |name: &str| (Key::Package(release.clone(), name.to_owned()), Statement::new(says.clone()));
    let statements = names.into_iter().map(statement).collect();
    Ok(Draft { modified: None, advisory, statements, rated: None })
}

/// The tracker's words for the state of a group.
fn says(group: &Group) -> Result<Says, String> {
    let fixed = group.fixed.as_deref().filter(|fixed| !fixed.is_empty());
    Ok(match (group.status.as_str(), fixed) {
        ("Fixed" | "Vulnerable", Some(fixed)) => Says::FixedIn(vec![plain("the fixed version", fixed)?.to_owned()]),
        ("Fixed", None) => return Err("fixed, without saying in which version".to_owned()),
        ("Vulnerable", None) => Says::Open { outlook: Outlook::Open, note: None },
        // The fix is in a repository that nobody installs from by default.
        ("Testing", _) => Says::Open { outlook: Outlook::Open, note: Some("the fix is being tested".to_owned()) },
        ("Not affected", _) => Says::NotAffected,
        ("Unknown", _) => Says::Undetermined("unknown".to_owned()),
        (other, _) => return Err(format!("unknown status {:?}", shown(other))),
    })
}
