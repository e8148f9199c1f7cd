//! What time alone does, with a clock that stands still until it is set.

use crate::office::{Office, breathe, settled, until};
use std::time::Duration;
use testkit::fault::FaultRegistry;
use testkit::image::{ImageBuilder, LayerBuilder};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

const ANY_VULNERABILITY: &str = r#"
[[policies]]
id = "any"
name = "Any vulnerability"
kind = "vulnerabilities"
action = "issue"
conditions = { vulnerabilities = ["CVE-*"] }
"#;

const WITH_GRACE: &str = r#"
[[policies]]
id = "after-grace"
name = "Vulnerabilities two weeks after publication"
kind = "vulnerabilities"
action = "issue"
grace_days = 14
conditions = { vulnerabilities = ["CVE-*"] }
"#;

/// An image with one npm package, in a registry that counts requests.
fn registry() -> FaultRegistry {
    let registry = FaultRegistry::start();
    let package = testkit::packages::node_package("left-pad", "1.0.0");
    let layer = LayerBuilder::files(&[("app/node_modules/left-pad/package.json", &package)]).build();
    registry.put("team/app", "1", &ImageBuilder::new().layer(layer).build());
    registry
}

fn advisory(id: &str, published: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"{published}","published":"{published}","summary":"test","affected":[{{"package":{{"ecosystem":"npm","name":"left-pad"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"1.1.0"}}]}}]}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_input_runs_exactly_one_reevaluation() {
    let registry = registry();
    let office = Office::open("2026-11-01T00:00:00Z").await;
    office.policies(ANY_VULNERABILITY).await;
    office.import(&[("osv/CVE-2026-0001.json", advisory("CVE-2026-0001", "2026-10-01T00:00:00Z"))]);
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    assert_eq!(office.open_issues().await.len(), 1);
    let before = office.evaluations().await.len();
    registry.clear_requests();

    office.clock.advance(DAY - HOUR);
    breathe().await;
    assert_eq!(office.evaluations().await.len(), before, "23 hours are not yet a day");
    office.clock.advance(HOUR);
    until("the daily re-evaluation", || async { office.evaluations().await.len() > before }).await;
    breathe().await;
    let runs = office.evaluations().await;
    assert_eq!(runs.len(), before + 1, "exactly one");
    assert_eq!(runs[0].reason, "24 hours have passed");
    assert!(runs[0].finished_at.is_some() && runs[0].summary.images == 1, "{:?}", runs[0]);
    assert!(registry.requests().is_empty(), "a re-evaluation never asks a registry: {:?}", registry.requests());
    assert_eq!(office.open_issues().await.len(), 1);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_down_for_three_days_reevaluates_once_at_its_start() {
    let registry = registry();
    let office = Office::open("2026-11-01T00:00:00Z").await;
    office.policies(ANY_VULNERABILITY).await;
    office.import(&[("osv/CVE-2026-0001.json", advisory("CVE-2026-0001", "2026-10-01T00:00:00Z"))]);
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    engine.stop().await;
    let before = office.evaluations().await.len();

    office.clock.advance(3 * DAY);
    let engine = office.start().await;
    until("the re-evaluation at the start", || async { office.evaluations().await.len() > before }).await;
    breathe().await;
    assert_eq!(office.evaluations().await.len(), before + 1, "one run makes up for three days");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_grace_period_opens_exactly_that_issue() {
    let registry = registry();
    let office = Office::open("2026-11-01T00:00:00Z").await;
    office.policies(WITH_GRACE).await;
    office.import(&[
        ("osv/CVE-2026-0001.json", advisory("CVE-2026-0001", "2026-10-25T12:00:00Z")),
        ("osv/CVE-2026-0002.json", advisory("CVE-2026-0002", "2026-10-31T12:00:00Z")),
    ]);
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    assert!(office.open_issues().await.is_empty(), "both are within their grace period");

    // 2026-11-08T13:00: the first one's 14 days ended an hour ago.
    office.clock.advance(7 * DAY + 13 * HOUR);
    until("the first issue", || async { !office.open_issues().await.is_empty() }).await;
    breathe().await;
    let open: Vec<String> = office.open_issues().await.into_iter().map(|issue| issue.desired.key.rule).collect();
    assert_eq!(open, ["CVE-2026-0001"]);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_policy_is_applied_without_the_registry() {
    let registry = registry();
    let office = Office::open("2026-11-01T00:00:00Z").await;
    office.policies(WITH_GRACE).await;
    office.import(&[("osv/CVE-2026-0001.json", advisory("CVE-2026-0001", "2026-10-31T12:00:00Z"))]);
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    assert!(office.open_issues().await.is_empty());
    registry.clear_requests();
    office.policies(ANY_VULNERABILITY).await;
    engine.evaluate_because(engine::task::evaluate::Cause::Intent("policies edited".into()));
    until("the new policy's issue", || async { office.open_issues().await.len() == 1 }).await;
    office.policies("policies = []").await;
    engine.evaluate_because(engine::task::evaluate::Cause::Intent("policies edited".into()));
    until("its end", || async { office.open_issues().await.is_empty() }).await;
    assert!(registry.requests().is_empty());
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_tells_when_support_ends_is_applied_without_the_registry() {
    let registry = FaultRegistry::start();
    let os = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
    let layer = LayerBuilder::files(&[("etc/os-release", os)]).build();
    registry.put("team/app", "1", &ImageBuilder::new().layer(layer).build());
    let office = Office::open("2026-06-01T00:00:00Z").await;
    office
        .policies(
            "[[policies]]\nid = \"support\"\nname = \"Support\"\nkind = \"vulnerabilities\"\naction = \"issue\"\n\
             conditions = { rules = [\"end-of-life-*\"] }\n",
        )
        .await;
    office.import(&[("osv/CVE-2026-0001.json", advisory("CVE-2026-0001", "2026-10-01T00:00:00Z"))]);
    let engine = office.start().await;
    office.add_registry(&engine, &registry.host(), |_| {}).await;
    settled(&engine).await;
    assert!(office.open_issues().await.is_empty(), "the table has a later day");
    registry.clear_requests();
    let told = r#"{"schema_version":"1.2.0","generated_at":"2026-05-30T00:00:00Z","result":{"name":"debian",
        "label":"Debian","releases":[{"name":"12","eolFrom":"2026-05-01"}]}}"#;
    office.import(&[("debian.json", told.to_owned())]);
    until("the issue of the feed's day", || async { office.open_issues().await.len() == 1 }).await;
    let open = office.open_issues().await;
    assert_eq!(open[0].desired.key.rule, "end-of-life-debian-12");
    let because = &open[0].desired.finding.because;
    assert!(because.ends_with("ended on 2026-05-01, as feed end-of-life-debian of 2026-05-30 says"), "{because}");
    assert!(registry.requests().is_empty(), "{:?}", registry.requests());
    engine.stop().await;
}
