//! Is an image one that the organisation trusts?

use super::{JudgedImage, RepositoryFacts};
use crate::glob::Globs;
use model::policy::Policy;
use model::{Evidence, Finding, FindingKind, FindingStatus, Severity};
use std::collections::BTreeSet;

/// The rule of every untrusted-image finding: what exceptions and issue keys name.
pub const UNTRUSTED_RULE: &str = "untrusted-image";

/// Does anything that the policy trusts fit the image? By digest, by `registry/repository` with the instance's name or
/// its host, or because it starts with all layers of a trusted base.
pub(super) fn trusts(policy: &Policy, facts: &RepositoryFacts<'_>, image: &JudgedImage) -> bool {
    let Some(trusted) = &policy.trusted else { return false };
    let places = [format!("{}/{}", facts.registry, facts.repository), format!("{}/{}", host(facts), facts.repository)];
    let globs = Globs::new(&trusted.repositories);
    trusted.digests.contains(&image.digest)
        || places.iter().any(|place| globs.matches(place))
        || trusted.base_layers.iter().any(|base| !base.is_empty() && image.diff_ids.starts_with(base))
}

/// The registry's host, without a scheme or a slash at its end.
fn host<'a>(facts: &RepositoryFacts<'a>) -> &'a str {
    let text = facts.host;
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text).trim_end_matches('/')
}

/// The finding about an image that is not trusted.
pub(super) fn untrusted(
    policy: &Policy,
    facts: &RepositoryFacts<'_>,
    image: &JudgedImage,
    tags: &BTreeSet<String>,
) -> Finding {
    let place = format!("{}/{}", facts.registry, facts.repository);
    let shown = match tags.first() {
        Some(tag) => format!("{place}:{tag}"),
        None => format!("{place}@{}", image.digest),
    };
    let bases = policy.trusted.as_ref().map_or(0, |t| t.base_layers.len());
    let evidence =
        Evidence { layer: None, path: None, line: None, removed_in: None, history: Some(format!("FOUND {shown}")) };
    Finding {
        kind: FindingKind::UntrustedImage,
        id: UNTRUSTED_RULE.to_owned(),
        aliases: Vec::new(),
        title: format!("{place} is not a trusted image"),
        severity: Severity::High,
        severity_source: "pratique".to_owned(),
        status: FindingStatus::Affected,
        package: None,
        fixed_versions: Vec::new(),
        evidence: vec![evidence],
        because: format!(
            "policy {} trusts neither the digest {} nor the place {place} (or {}/{}), and the image starts with none of \
             its {bases} trusted bases",
            policy.id,
            image.digest,
            host(facts),
            facts.repository
        ),
        remediation: format!(
            "Use an image that policy {} trusts, build on a trusted base, or add this image to the policy after a review.",
            policy.id
        ),
        vulnerability: None,
    }
}
