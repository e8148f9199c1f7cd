//! Policy documents: what ships, and what people get told about their mistakes.

use model::policy::{PolicyKind, PolicySet};
use policy::{TRUSTED_IMAGES_POLICY, check_policies, default_policies, parse_policies};

#[test]
fn rules_are_sound_policies() {
    let set = default_policies();
    assert_eq!(check_policies(&set), []);
    for kind in PolicyKind::ALL {
        assert!(set.policies.iter().any(|p| p.kind == kind), "no default policy of kind {kind}");
    }
    for policy in &set.policies {
        assert!(!policy.description.is_empty(), "{}", policy.id);
        assert_eq!(policy.enabled, policy.id != TRUSTED_IMAGES_POLICY, "{}", policy.id);
    }
    let checks: Vec<&str> = policy::checks().iter().map(|c| c.id.as_str()).collect();
    let named = set.policies.iter().filter(|p| p.kind == PolicyKind::Misconfigurations);
    for rule in named.flat_map(|p| &p.conditions.rules) {
        assert!(checks.contains(&rule.as_str()), "no check {rule}");
    }
}

#[test]
fn policies_survive_json() {
    let set = default_policies();
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<PolicySet>(&json).unwrap(), set);
}

fn check(toml: &str, expect: &[&str]) {
    let error = parse_policies(toml).unwrap_err().to_string();
    for part in expect {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn mistakes_are_named_by_line_and_key() {
    let start = "[[policies]]\nid = 'a'\nname = 'A'\nkind = 'vulnerabilities'\naction = 'issue'\n";
    check("[[policy]]\n", &["line 1", "policy"]);
    check("[[policies]]\nid = 'a'\n", &["line 1", "name"]);
    check(&format!("{start}sevrity = 'high'\n"), &["line 6", "sevrity"]);
    check(&format!("{start}severity = 'hihg'\n"), &["line 6", "severity", "hihg"]);
    check(&format!("{start}[policies.conditions]\nseverity_at_lest = 'high'\n"), &["line 7", "severity_at_lest"]);
    check(&format!("{start}{start}"), &["line 7", "another policy"]);
    check(&format!("{start}[policies.scope]\ntags = ['[']\n"), &["line 7", "scope.tags", "glob"]);
    check(&format!("{start}[policies.conditions]\ncvss_at_least = 11.0\n"), &["line 7", "cvss_at_least", "10"]);
    check(&format!("{start}grace_days = 99999\n"), &["line 6", "grace_days"]);
    check(&start.replace("'a'", "'A b'"), &["line 2", "id", "lower-case"]);
    check("policies = 3", &["line 1"]);
    check("[[policies]\n", &["line 1"]);
    let trust = "[[policies]]\nid = 't'\nname = 'T'\nkind = 'trusted-images'\naction = 'issue'\n";
    check(trust, &["trusted", "says nothing"]);
    check(&format!("{trust}trusted = {{ base_layers = [[]] }}\n"), &["base_layers", "every image"]);
    check(&format!("{trust}trusted = {{ digests = ['sha256:12'] }}\n"), &["line 6", "digest"]);
    check(&format!("{trust}trusted = {{}}\nconditions = {{ kev = true }}\n"), &["conditions"]);
    check(&format!("{start}trusted = {{}}\n"), &["line 6", "trusted-images"]);
    let secrets = "[[policies]]\nid = 's'\nname = 'S'\nkind = 'secrets'\naction = 'fail'\n";
    check(&format!("{secrets}conditions = {{ kev = true }}\n"), &["kev", "secrets"]);
    check(&format!("{secrets}grace_days = 3\n"), &["line 6", "grace_days"]);
}
