//! Which tags and images of a registry are taken: scope globs, the initial scan configuration, platforms.
//! Pure: the decisions of discovery, without its requests.

use crate::{Error, ErrorKind, Result};
use globset::{Glob, GlobSet, GlobSetBuilder};
use model::discovery::KnownTag;
use model::registry::{InitialScan, RegistryConfig};
use model::{Digest, Platform, Timestamp};

/// The compiled scope of one registry.
#[derive(Debug, Clone)]
pub struct Selection {
    include: GlobSet,
    include_all: bool,
    exclude: GlobSet,
    initial: InitialScan,
    platforms: Vec<Platform>,
}

/// The longest look back that `days_modified` accepts.
pub const DAYS_MAX: u32 = 90;

/// Every reason of the initial scan names it.
const INITIAL_SCAN: &str = "the initial scan";

const OUTSIDE_SCOPE: &str = "outside the include and exclude patterns";

impl Selection {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// `Usage`, naming the pattern or number that is wrong.
    pub fn new(config: &RegistryConfig) -> Result<Self> {
        if let InitialScan::DaysModified { days } = config.initial_scan
            && !(1..=DAYS_MAX).contains(&days)
        {
            return Err(Error::new(ErrorKind::Usage, format!("days must be 1 to {DAYS_MAX}, not {days}")));
        }
        Ok(Self {
            include: globs(&config.scope.include)?,
            include_all: config.scope.include.is_empty(),
            exclude: globs(&config.scope.exclude)?,
            initial: config.initial_scan,
            platforms: config.platforms.clone(),
        })
    }

    /// May any tag of this repository be wanted? Saves listing the tags of the others.
    pub fn may_want_repository(&self, repository: &str) -> bool {
        !self.exclude.is_match(repository)
    }

    fn in_scope(&self, repository: &str, tag: &str) -> bool {
        let full = format!("{repository}:{tag}");
        let hit = |set: &GlobSet| set.is_match(repository) || set.is_match(&full);
        (self.include_all || hit(&self.include)) && !hit(&self.exclude)
    }

    /// Must the creation time be known to decide about tags seen in a first discovery?
    pub const fn needs_creation_time(&self) -> bool {
        matches!(self.initial, InitialScan::DaysModified { .. })
    }

    /// Is a tag wanted, and if not, why not? A tag that did not move keeps what was decided when it was first
    /// seen; a tag that is new or moved after the first discovery is wanted whatever its age.
    pub fn decide(&self, tag: &TagSighting<'_>, now: Timestamp) -> std::result::Result<(), String> {
        if !self.in_scope(tag.repository, tag.tag) {
            return Err(OUTSIDE_SCOPE.to_owned());
        }
        if let Some(known) = tag.known.filter(|known| known.digest == tag.digest) {
            match &known.why_not {
                // What the initial scan left out stays out; patterns and counts may have been edited since.
                Some(why) if !known.wanted && why.contains(INITIAL_SCAN) => return Err(why.clone()),
                Some(_) | None if known.wanted => return Ok(()),
                Some(_) | None => {}
            }
        }
        if !tag.first_discovery {
            return Ok(());
        }
        match self.initial {
            InitialScan::All => Ok(()),
            InitialScan::LatestTag if tag.tag == "latest" => Ok(()),
            InitialScan::LatestTag => Err("the initial scan takes the tag latest only".to_owned()),
            InitialScan::DaysModified { days } => recent(tag.created, days, now),
        }
    }

    /// Is a platform of an index wanted?
    pub fn wants_platform(&self, platform: &Platform) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|wanted| platform.serves(wanted))
    }
}

/// A tag as discovery sees it.
#[derive(Debug, Clone, Copy)]
pub struct TagSighting<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The tag.
    pub tag: &'a str,
    /// What it points at.
    pub digest: Digest,
    /// What it pointed at before, if it was known.
    pub known: Option<&'a KnownTag>,
    /// Is this the registry's first discovery?
    pub first_discovery: bool,
    /// When the image was created, where that was asked for and could be told.
    pub created: Option<Timestamp>,
}

fn recent(created: Option<Timestamp>, days: u32, now: Timestamp) -> std::result::Result<(), String> {
    let Some(created) = created else {
        // An age that nobody knows is no reason to leave an image out.
        return Ok(());
    };
    let age_days = now.duration_since(created).as_secs() / 86_400;
    if age_days < i64::from(days) {
        return Ok(());
    }
    Err(format!("created {age_days} days ago; the initial scan takes the last {days} days"))
}

fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern).map_err(|e| {
            Error::new(ErrorKind::Usage, format!("the pattern {pattern:?} cannot be used: {}", e.kind()))
        })?;
        builder.add(glob);
    }
    builder.build().map_err(|e| Error::new(ErrorKind::Usage, format!("the patterns cannot be used: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::registry::{RegistryKind, ScanMode, ScopeGlobs};

    fn config(initial: InitialScan, include: &[&str], exclude: &[&str]) -> RegistryConfig {
        let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        RegistryConfig {
            name: "r".into(),
            kind: RegistryKind::DockerV2,
            url: "localhost:5000".into(),
            ca_certificate: None,
            plain_http: true,
            skip_tls_verify: false,
            repositories: vec![],
            scan_mode: ScanMode::Cloud,
            agent_group: None,
            initial_scan: initial,
            scope: ScopeGlobs { include: texts(include), exclude: texts(exclude) },
            platforms: vec![],
            newest_per_repository: None,
            schedule_seconds: 3600,
            enabled: true,
        }
    }

    fn sighting<'a>(repository: &'a str, tag: &'a str, first: bool, created: Option<&str>) -> TagSighting<'a> {
        TagSighting {
            repository,
            tag,
            digest: Digest::from_bytes([1; 32]),
            known: None,
            first_discovery: first,
            created: created.map(|t| t.parse().unwrap()),
        }
    }

    #[test]
    fn initial_scan_takes_what_it_names() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let wants = |initial, tag: &str, first, created| {
            let selection = Selection::new(&config(initial, &[], &[])).unwrap();
            selection.decide(&sighting("team/app", tag, first, created), now).is_ok()
        };
        assert!(wants(InitialScan::All, "1.0", true, None));
        assert!(wants(InitialScan::LatestTag, "latest", true, None));
        assert!(!wants(InitialScan::LatestTag, "1.0", true, None));
        assert!(wants(InitialScan::LatestTag, "1.0", false, None), "new tags after the first discovery are taken");
        let week = InitialScan::DaysModified { days: 7 };
        assert!(wants(week, "1.0", true, Some("2026-11-15T00:00:00Z")));
        assert!(!wants(week, "1.0", true, Some("2026-11-01T00:00:00Z")));
        assert!(wants(week, "1.0", true, None), "an unknown age is no reason to leave an image out");
    }

    #[test]
    fn scope_globs_include_and_exclude() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let selection = Selection::new(&config(InitialScan::All, &["team/*"], &["*:*-rc*", "team/secret"])).unwrap();
        let wants = |repository, tag| selection.decide(&sighting(repository, tag, false, None), now).is_ok();
        assert!(wants("team/app", "1.0"));
        assert!(!wants("team/app", "1.0-rc1"));
        assert!(!wants("team/secret", "1.0"));
        assert!(!wants("other/app", "1.0"));
        assert!(Selection::new(&config(InitialScan::All, &["["], &[])).is_err());
        assert!(Selection::new(&config(InitialScan::DaysModified { days: 91 }, &[], &[])).is_err());
    }

    #[test]
    fn a_tag_that_stays_keeps_its_decision() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let selection = Selection::new(&config(InitialScan::LatestTag, &[], &[])).unwrap();
        let known = KnownTag {
            tag: "1.0".into(),
            digest: Digest::from_bytes([1; 32]),
            wanted: false,
            why_not: Some("the initial scan takes the tag latest only".into()),
        };
        let mut seen = sighting("a", "1.0", false, None);
        seen.known = Some(&known);
        assert!(selection.decide(&seen, now).is_err());
        seen.digest = Digest::from_bytes([2; 32]);
        assert!(selection.decide(&seen, now).is_ok(), "moved: taken");
    }
}
