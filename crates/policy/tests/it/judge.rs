//! Policies decide about findings.

use crate::build::{digest, exploited, finding, image, policies, secret, time, vulnerability};
use model::exception::Exception;
use model::policy::PolicySet;
use model::{FindingKind, FindingStatus, Severity};
use policy::{Judged, JudgedImage, RepositoryFacts, judge};
use proptest::prelude::*;

const NOW: &str = "2026-01-05T00:00:00Z";

fn run(images: &[JudgedImage], policies: &PolicySet, exceptions: &[Exception]) -> Judged {
    judge(&RepositoryFacts {
        registry: "prod",
        host: "https://registry.example.org:5000/",
        repository: "team/app",
        images,
        policies,
        exceptions,
        now: time(NOW),
    })
}

/// `policy subject rule severity tags fails`, one line per issue.
fn shape(judged: &Judged) -> Vec<String> {
    let line = |d: &model::issue::DesiredIssue| {
        let fails = if d.fails { " fails" } else { "" };
        format!("{} {} {} {} [{}]{fails}", d.key.policy, d.key.subject, d.key.rule, d.severity, d.tags.join(","))
    };
    judged.desired.iter().map(line).collect()
}

fn check(toml: &str, images: &[JudgedImage], expect: &[&str]) -> Judged {
    let judged = run(images, &policies(toml), &[]);
    assert_eq!(shape(&judged), expect, "{toml}");
    judged
}

const ALL: &str = "[[policies]]\nid='all'\nname='All'\nkind='vulnerabilities'\naction='issue'\n";

#[test]
fn without_a_policy_nothing_is_raised() {
    let images = [image(1, &["a"], vec![vulnerability("CVE-1", "x", Severity::Critical)])];
    let judged = check("", &images, &[]);
    assert!(judged.shown.contains(&("npm/x".to_owned(), "CVE-1".to_owned())));
    assert!(judged.images.contains(&digest(1)));
}

#[test]
fn the_first_policy_of_a_kind_that_fits_decides() {
    let images = [image(
        1,
        &["a"],
        vec![
            vulnerability("CVE-1", "lodash", Severity::High),
            vulnerability("CVE-2", "x", Severity::High),
            vulnerability("CVE-3", "x", Severity::Low),
            exploited(vulnerability("CVE-4", "x", Severity::Low)),
        ],
    )];
    let toml = "
[[policies]]
id='exploited'
name='E'
kind='vulnerabilities'
action='block'
severity='critical'
conditions={kev=true}
[[policies]]
id='lodash'
name='L'
kind='vulnerabilities'
action='ignore'
conditions={packages=['lod*']}
[[policies]]
id='off'
name='O'
kind='vulnerabilities'
enabled=false
action='ignore'
[[policies]]
id='high'
name='H'
kind='vulnerabilities'
action='issue'
conditions={severity_at_least='high'}
";
    check(toml, &images, &["exploited npm/x CVE-4 critical [a] fails", "high npm/x CVE-2 high [a]"]);
}

#[test]
fn every_condition_restricts() {
    let mut rated = vulnerability("CVE-1", "@babel/core", Severity::Unknown);
    rated.aliases = vec!["GHSA-1".to_owned()];
    let detail = rated.vulnerability.as_mut().unwrap();
    detail.epss = Some(0.5);
    detail.cvss.push(model::advisory::CvssScore { vector: "CVSS:3.1/…".to_owned(), score: 7.5 });
    let mut bare = vulnerability("CVE-2", "other", Severity::Medium);
    bare.fixed_versions.clear();
    let images = [image(1, &["a"], vec![rated, bare])];
    let check = |conditions: &str, expect: &[&str]| {
        let judged = run(&images, &policies(&format!("{ALL}conditions={{{conditions}}}")), &[]);
        let ids: Vec<&str> = judged.desired.iter().map(|d| d.key.rule.as_str()).collect();
        assert_eq!(ids, expect, "{conditions}");
    };
    check("", &["CVE-1", "CVE-2"]);
    check("severity_at_least='critical'", &["CVE-1"]);
    check("severity_at_least='medium'", &["CVE-1", "CVE-2"]);
    check("cvss_at_least=7.5", &["CVE-1"]);
    check("cvss_at_least=7.6", &[]);
    check("epss_at_least=0.5", &["CVE-1"]);
    check("kev=false", &["CVE-1", "CVE-2"]);
    check("kev=true", &[]);
    check("fix_available=true", &["CVE-1"]);
    check("fix_available=false", &["CVE-2"]);
    check("packages=['@babel/*']", &["CVE-1"]);
    check("vulnerabilities=['GHSA-*']", &["CVE-1"]);
    check("paths=['app/*']", &["CVE-1", "CVE-2"]);
    check("paths=['usr/*']", &[]);
    check("rules=['CVE-2']", &["CVE-2"]);
    check("packages=['@babel/*'],kev=true", &[]);
}

#[test]
fn scopes_are_registries_repositories_and_tags() {
    let images = [
        image(1, &["prod-1", "dev-1"], vec![vulnerability("CVE-1", "x", Severity::High)]),
        image(2, &["dev-2"], vec![vulnerability("CVE-1", "x", Severity::High)]),
    ];
    let check = |scope: &str, expect: &[&str]| {
        check(&format!("{ALL}scope={{{scope}}}"), &images, expect);
    };
    check("registries=['prod']", &["all npm/x CVE-1 high [dev-1,dev-2,prod-1]"]);
    check("registries=['test']", &[]);
    check("repositories=['team/*']", &["all npm/x CVE-1 high [dev-1,dev-2,prod-1]"]);
    check("repositories=['team']", &[]);
    check("tags=['prod-*']", &["all npm/x CVE-1 high [prod-1]"]);
    check("tags=['v*']", &[]);
}

#[test]
fn a_policy_for_some_tags_leaves_the_others_to_the_next() {
    let images = [image(1, &["prod-1", "dev-1"], vec![vulnerability("CVE-1", "x", Severity::High)])];
    let toml = format!(
        "[[policies]]\nid='prod'\nname='P'\nkind='vulnerabilities'\naction='block'\nscope={{tags=['prod-*']}}\n{ALL}"
    );
    check(&toml, &images, &["all npm/x CVE-1 high [dev-1]", "prod npm/x CVE-1 high [prod-1] fails"]);
}

#[test]
fn issues_of_many_images_are_one() {
    let images = [
        image(2, &["b"], vec![vulnerability("CVE-1", "x", Severity::Critical)]),
        image(1, &["a"], vec![vulnerability("CVE-1", "x", Severity::High)]),
    ];
    let judged = check(ALL, &images, &["all npm/x CVE-1 critical [a,b]"]);
    assert_eq!(judged.desired[0].digests, [digest(1), digest(2)]);
    assert_eq!(judged.desired[0].finding.severity, Severity::High, "the finding is that of the first image by digest");
}

#[test]
fn undecided_is_raised_and_not_affected_is_not() {
    let mut undecided = vulnerability("CVE-1", "x", Severity::High);
    undecided.status = FindingStatus::Undecided;
    let mut fixed = vulnerability("CVE-2", "x", Severity::High);
    fixed.status = FindingStatus::Fixed;
    check(ALL, &[image(1, &["a"], vec![undecided, fixed])], &["all npm/x CVE-1 high [a]"]);
}

#[test]
fn each_kind_of_finding_has_its_kind_of_policy() {
    let mut malware = finding(FindingKind::Malware, "eicar", Severity::High);
    malware.evidence = vec![crate::build::evidence("tmp/x")];
    let mut setting = secret("token", "", Severity::High);
    setting.evidence[0].path = None;
    setting.evidence[0].history = Some("ENV TOKEN".to_owned());
    let images = [image(
        1,
        &["a"],
        vec![
            vulnerability("CVE-1", "x", Severity::High),
            finding(FindingKind::EndOfLife, "end-of-life-alpine-3.10", Severity::High),
            secret("aws-key", "etc/key", Severity::High),
            setting,
            malware,
            finding(FindingKind::Misconfiguration, "root-user", Severity::Medium),
            finding(FindingKind::Compliance, "cis-docker-4.1", Severity::Medium),
        ],
    )];
    let of = |kind: &str| format!("[[policies]]\nid='p'\nname='P'\nkind='{kind}'\naction='issue'\n");
    check(&of("vulnerabilities"), &images, &["p  end-of-life-alpine-3.10 high [a]", "p npm/x CVE-1 high [a]"]);
    check(&of("secrets"), &images, &["p ENV TOKEN token high [a]", "p etc/key aws-key high [a]"]);
    check(&of("malware"), &images, &["p tmp/x eicar high [a]"]);
    check(&of("misconfigurations"), &images, &["p  cis-docker-4.1 medium [a]", "p  root-user medium [a]"]);
}

#[test]
fn grace_counts_from_the_fix_then_from_publication() {
    let fixed = vulnerability("CVE-1", "x", Severity::High);
    let mut published = vulnerability("CVE-2", "x", Severity::High);
    published.vulnerability.as_mut().unwrap().fixed_at = None;
    let mut undated = vulnerability("CVE-3", "x", Severity::High);
    let detail = undated.vulnerability.as_mut().unwrap();
    (detail.fixed_at, detail.published) = (None, None);
    let images = [image(1, &["a"], vec![fixed, published, undated])];
    let check = |days: u32, expect: &[&str], boundary: Option<&str>| {
        let judged = run(&images, &policies(&format!("{ALL}grace_days={days}")), &[]);
        let ids: Vec<&str> = judged.desired.iter().map(|d| d.key.rule.as_str()).collect();
        assert_eq!(ids, expect, "{days}");
        assert_eq!(judged.next_boundary, boundary.map(time), "{days}");
    };
    check(0, &["CVE-1", "CVE-2", "CVE-3"], None);
    check(4, &["CVE-1", "CVE-2", "CVE-3"], None);
    check(5, &["CVE-2", "CVE-3"], Some("2026-01-06T00:00:00Z"));
    check(60, &["CVE-3"], Some("2026-01-30T00:00:00Z"));
}

#[test]
fn a_policy_in_its_grace_period_has_decided() {
    let images = [image(1, &["a"], vec![vulnerability("CVE-1", "x", Severity::High)])];
    let toml = format!("{ALL}grace_days=30\n{}", ALL.replace("'all'", "'later'"));
    check(&toml, &images, &[]);
}

fn exception(rule: &str, package: Option<&str>, expires: Option<&str>) -> Exception {
    Exception {
        id: 1,
        reason: "r".to_owned(),
        author: "a".to_owned(),
        repository: "prod/team/*".to_owned(),
        rule: rule.to_owned(),
        package: package.map(str::to_owned),
        expires_at: expires.map(time),
        created_at: time("2025-01-01T00:00:00Z"),
    }
}

#[test]
fn exceptions_hide_the_issue_until_they_end() {
    let mut aliased = vulnerability("CVE-1", "x", Severity::High);
    aliased.aliases = vec!["GHSA-1".to_owned()];
    let images = [image(1, &["a"], vec![aliased])];
    let check = |exceptions: &[Exception], open: usize, excepted: usize, boundary: Option<&str>| {
        let judged = run(&images, &policies(ALL), exceptions);
        assert_eq!((judged.desired.len(), judged.excepted.len()), (open, excepted), "{exceptions:?}");
        assert_eq!(judged.next_boundary, boundary.map(time));
    };
    check(&[exception("CVE-1", None, None)], 0, 1, None);
    check(&[exception("GHSA-1", None, None)], 0, 1, None);
    check(&[exception("CVE-1", Some("x*"), None)], 0, 1, None);
    check(&[exception("CVE-1", Some("y"), None)], 1, 0, None);
    check(&[exception("CVE-2", None, None)], 1, 0, None);
    check(&[exception("CVE-1", None, Some("2026-01-05T00:00:00Z"))], 1, 0, None);
    check(&[exception("CVE-1", None, Some("2026-02-01T00:00:00Z"))], 0, 1, Some("2026-02-01T00:00:00Z"));
    let two = [
        exception("CVE-1", None, Some("2026-02-01T00:00:00Z")),
        exception("CVE-1", None, Some("2026-03-01T00:00:00Z")),
    ];
    check(&two, 0, 1, Some("2026-03-01T00:00:00Z"));
    let mut elsewhere = exception("CVE-1", None, None);
    elsewhere.repository = "test/*".to_owned();
    check(&[elsewhere], 1, 0, None);
}

#[test]
fn images_are_trusted_by_digest_place_or_base() {
    let images = [image(1, &["a"], vec![]), image(2, &["b"], vec![])];
    let check = |trusted: &str, expect: &[&str]| {
        let toml =
            format!("[[policies]]\nid='t'\nname='T'\nkind='trusted-images'\naction='block'\ntrusted={{{trusted}}}");
        check(&toml, &images, expect)
    };
    let (one, two, base) = (digest(1), digest(2), digest(100));
    let judged = check("", &["t  untrusted-image high [a,b] fails"]);
    assert_eq!(judged.untrusted.len(), 2);
    check(&format!("digests=['{one}']"), &["t  untrusted-image high [b] fails"]);
    check(&format!("digests=['{one}','{two}']"), &[]);
    check("repositories=['prod/team/*']", &[]);
    check("repositories=['registry.example.org:5000/team/app']", &[]);
    check("repositories=['other/*']", &["t  untrusted-image high [a,b] fails"]);
    check(&format!("base_layers=[['{base}']]"), &[]);
    check(&format!("base_layers=[['{base}','{two}']]"), &["t  untrusted-image high [a] fails"]);
    check(&format!("base_layers=[['{two}']]"), &["t  untrusted-image high [a,b] fails"]);
}

#[test]
fn the_first_trust_policy_in_scope_decides() {
    let images = [image(1, &["dev"], vec![]), image(2, &["prod"], vec![])];
    let toml = "
[[policies]]
id='dev-is-free'
name='D'
kind='trusted-images'
action='ignore'
scope={tags=['dev*']}
[[policies]]
id='strict'
name='S'
kind='trusted-images'
action='issue'
trusted={}
";
    check(toml, &images, &["strict  untrusted-image high [prod]"]);
}

#[test]
fn a_boundary_of_an_image_is_one_of_the_repository() {
    let mut one = image(1, &["a"], vec![]);
    one.next_boundary = Some(time("2026-05-01T00:00:00Z"));
    let mut past = image(2, &["b"], vec![]);
    past.next_boundary = Some(time("2025-05-01T00:00:00Z"));
    assert_eq!(run(&[one, past], &policies(ALL), &[]).next_boundary, Some(time("2026-05-01T00:00:00Z")));
}

fn any_images() -> impl Strategy<Value = Vec<JudgedImage>> {
    let finding = (0..4u8, 0..3u8, 0..6usize, any::<bool>()).prop_map(|(id, package, severity, secret_one)| {
        let severity = Severity::ALL[severity];
        if secret_one {
            secret(&format!("rule-{id}"), &format!("etc/{package}"), severity)
        } else {
            vulnerability(&format!("CVE-{id}"), &format!("p{package}"), severity)
        }
    });
    let tags = proptest::collection::btree_set(0..4u8, 0..3);
    let one = (tags, proptest::collection::vec(finding, 0..6));
    proptest::collection::btree_map(1..6u8, one, 0..5).prop_map(|images| {
        images
            .into_iter()
            .map(|(n, (tags, findings))| {
                let tags: Vec<String> = tags.iter().map(|t| format!("t{t}")).collect();
                image(n, &tags.iter().map(String::as_str).collect::<Vec<_>>(), findings)
            })
            .collect()
    })
}

fn several_policies() -> PolicySet {
    let toml = format!(
        "[[policies]]\nid='t1'\nname='T'\nkind='vulnerabilities'\naction='ignore'\nscope={{tags=['t1']}}\n\
         conditions={{severity_at_least='critical'}}\n\
         {ALL}grace_days=10\nconditions={{packages=['p0']}}\n{}\
         [[policies]]\nid='s'\nname='S'\nkind='secrets'\naction='fail'\n\
         [[policies]]\nid='tr'\nname='T'\nkind='trusted-images'\naction='issue'\nscope={{tags=['t2']}}\ntrusted={{}}\n",
        ALL.replace("'all'", "'rest'")
    );
    policies(&toml)
}

proptest! {
    #[test]
    fn the_order_of_input_means_nothing(images in any_images(), seed in any::<u64>()) {
        let policies = several_policies();
        let exceptions = [exception("CVE-1", None, Some("2026-02-01T00:00:00Z")), exception("CVE-1", Some("p1"), None)];
        let expect = run(&images, &policies, &exceptions);
        let mut shuffled = images;
        if seed.is_multiple_of(2) {
            shuffled.reverse();
        }
        let turn = usize::try_from(seed % 7).unwrap();
        for image in &mut shuffled {
            let mut findings = image.findings.to_vec();
            findings.reverse();
            if !findings.is_empty() {
                let by = turn % findings.len();
                findings.rotate_left(by);
            }
            image.findings = findings.into();
            image.tags.reverse();
        }
        let exceptions = [exceptions[1].clone(), exceptions[0].clone()];
        let found = run(&shuffled, &policies, &exceptions);
        prop_assert!(found.desired.is_sorted_by(|a, b| a.key < b.key), "one issue per key, sorted");
        prop_assert_eq!(found, expect);
    }
}
