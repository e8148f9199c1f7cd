//! The bodies of the API document themselves: every reference of their schemas leads somewhere.

use report::api::*;
use std::collections::BTreeSet;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(components(schemas(
    RegistryRequest, RegistryPatch, RegistryBody, TestResult, PreviewResult, ScanRequest, ScanStarted,
    Page<RegistryBody>, Page<RepositoryBody>, Page<TagBody>, Page<ImageBody>, Page<PackageBody>, Page<FindingBody>,
    Page<ImageGapBody>, GapBody, IndexBody, ComplianceBody, ComplianceScoreBody, Page<IssueBody>, IssuePatch,
    PolicySetBody, ExceptionRequest, ExceptionBody, IntelligenceBody, ImportRequest, ImportBody, AgentTokenRequest,
    AgentTokenBody, AgentBody, JobBody, AuditBody, EvaluationBody, EventBody, Problem,
)))]
struct Documentation;

fn references(value: &serde_json::Value, out: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::String(target)) = map.get("$ref") {
                out.insert(target.clone());
            }
            map.values().for_each(|inner| references(inner, out));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|inner| references(inner, out)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_schemas_leads_somewhere() {
    let document = serde_json::to_value(Documentation::openapi()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 15, "{found:?}");
    for target in &found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[test]
fn nothing_that_goes_out_has_a_password() {
    let document = serde_json::to_value(Documentation::openapi()).unwrap();
    let schemas = document.pointer("/components/schemas").unwrap().as_object().unwrap();
    let with_password: Vec<&str> = schemas
        .iter()
        .filter(|(_, schema)| schema.pointer("/properties/password").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(with_password, ["RegistryPatch", "RegistryRequest"]);
}
