//! The package URL specification's own test suite.

use crate::support::{files, test_data};
use model::purl_parts::PurlParts;
use serde_json::{Value, json};

/// Cases that contradict another case of the same file, which asks the same input to be refused.
const CONTRADICTED: [&str; 2] =
    ["pkg:gem/jruby-launcher@1.1.2?Platform=java", "pkg:Rpm/fedora/curl@7.50.3-1.fc25?Arch=i386&Distro=fedora-25"];

fn parse(input: &Value) -> Result<PurlParts, String> {
    input.as_str().ok_or("the input is no text")?.parse().map_err(|e: model::purl_parts::NotAPurl| e.to_string())
}

fn build(input: &Value) -> Result<PurlParts, String> {
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    let qualifiers = input["qualifiers"].as_object().into_iter().flatten();
    let parts = PurlParts {
        kind: text("type").unwrap_or_default(),
        namespace: text("namespace"),
        name: text("name").unwrap_or_default(),
        version: text("version"),
        qualifiers: qualifiers.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect(),
        subpath: text("subpath"),
    };
    parts.normalised().map_err(|e| e.to_string())
}

fn as_json(parts: &PurlParts) -> Value {
    let qualifiers = if parts.qualifiers.is_empty() { Value::Null } else { json!(parts.qualifiers) };
    json!({ "type": parts.kind, "namespace": parts.namespace, "name": parts.name, "version": parts.version,
        "qualifiers": qualifiers, "subpath": parts.subpath })
}

#[test]
fn the_purl_suite_holds() {
    let Some(data) = test_data() else { return };
    let (mut ran, mut contradicted, mut wrong) = (0, 0, Vec::new());
    for (name, bytes) in files(&data.join("purl")) {
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else { continue };
        for test in document["tests"].as_array().into_iter().flatten() {
            ran += 1;
            let (input, expected) = (&test["input"], &test["expected_output"]);
            let found = match test["test_type"].as_str() {
                Some("parse") => parse(input).map(|parts| as_json(&parts)),
                Some("build") => build(input).map(|parts| parts.to_string().into()),
                Some("validate") => parse(input).map(|parts| parts.to_string().into()),
                other => panic!("unknown test type {other:?} in {name}"),
            };
            let is_right =
                if test["expected_failure"] == true { found.is_err() } else { found.as_ref() == Ok(expected) };
            let is_contradicted = CONTRADICTED.iter().any(|purl| input == purl);
            match (is_right, is_contradicted) {
                (false, true) => contradicted += 1,
                (false, false) => wrong.push(format!("{name} {input}: {found:?}, expected {expected}")),
                (true, _) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(contradicted, CONTRADICTED.len(), "they hold after all");
    assert!(ran >= 580, "{ran} tests");
    println!("purl: {ran} tests, {contradicted} that contradict others of the suite");
}
