//! Bills of materials in and out of the server.

use crate::house::{House, Wishes, json, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};

const DOCUMENT: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6",
    "metadata":{"timestamp":"2024-03-01T12:00:00Z","component":{"type":"container","name":"shop"}},
    "components":[
        {"type":"operating-system","name":"alpine","version":"3.10.2"},
        {"type":"library","name":"libssl1.1","version":"1.1.1c-r0",
         "purl":"pkg:apk/alpine/libssl1.1@1.1.1c-r0?arch=x86_64&distro=alpine-3.10.2&upstream=openssl"},
        {"type":"library","name":"django","version":"2.2.0","purl":"pkg:pypi/django@2.2.0"},
        {"type":"library","name":"private","version":"1"}]}"#;

async fn import(house: &House, query: &str, body: &str, expect: StatusCode) -> Value {
    let answer = house.api("POST", &format!("/sboms?{query}")).body(body.to_owned()).send().await.unwrap();
    if expect.is_success() { json(answer, expect).await } else { problem(answer, expect).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_bill_of_materials_is_an_image_with_gaps() {
    let house = House::open().await;
    let added = import(&house, "repository=team/shop&tag=1.0", DOCUMENT, StatusCode::CREATED).await;
    assert_eq!((&added["packages"], &added["registry"]), (&json!(2), &json!("bills-of-materials")));
    assert!(added["gaps"].to_string().contains("private"), "{added}");
    house.settled().await;
    let digest = added["digest"].as_str().unwrap();
    let image = house.get(&format!("/images/{digest}")).await;
    assert_eq!(image["state"], "scanned");
    assert_eq!(image["references"][0]["repository"], "team/shop");
    let state = |name: &str| {
        let scanners = image["scanners"].as_array().unwrap();
        scanners.iter().find(|scanner| scanner["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!(state("packages"), "partial");
    for scanner in ["secrets", "malware", "configuration"] {
        assert_eq!(state(scanner), "not-run");
    }
    let gaps = house.get(&format!("/images/{digest}/gaps")).await.to_string();
    assert!(gaps.contains("secrets") && gaps.contains("malware") && gaps.contains("configuration"), "{gaps}");
    let findings = house.get(&format!("/images/{digest}/findings?kind=misconfiguration")).await;
    assert_eq!(findings["items"], json!([]));
    let packages = house.get(&format!("/images/{digest}/packages")).await;
    assert_eq!(packages["items"].as_array().unwrap().len(), 2);
    assert_eq!(packages["items"][0]["ecosystem"], "Alpine:v3.10");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_an_import_moves_and_others_stay() {
    let house = House::open().await;
    let first = import(&house, "repository=shop&tag=1", DOCUMENT, StatusCode::CREATED).await;
    let again = import(&house, "repository=shop&tag=1", DOCUMENT, StatusCode::CREATED).await;
    assert_eq!(first["digest"], again["digest"]);
    import(&house, "repository=shop", DOCUMENT, StatusCode::CREATED).await;
    let newer = DOCUMENT.replace("2.2.0", "4.2.0");
    let second = import(&house, "repository=shop&tag=1", &newer, StatusCode::CREATED).await;
    assert_ne!(first["digest"], second["digest"]);
    house.settled().await;
    let registries = house.get("/registries").await;
    let registry = &registries["items"][0];
    assert_eq!((&registry["name"], &registry["status"]), (&json!("bills-of-materials"), &json!("Disabled")));
    let tags = house.get(&format!("/registries/{}/tags?repository=shop", registry["id"])).await;
    let digest_of =
        |tag: &str| tags["items"].as_array().unwrap().iter().find(|row| row["tag"] == tag).unwrap()["digest"].clone();
    assert_eq!(digest_of("1"), second["digest"]);
    assert_eq!(digest_of("latest"), first["digest"]);
    let audit = house.get("/audit").await.to_string();
    assert!(audit.contains("sbom.import"), "{audit}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_cannot_be_read_are_refused_with_the_reason() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    for (query, body, part) in [
        ("repository=shop", "<bom/>", "XML"),
        ("repository=shop", "{}", "bomFormat"),
        ("repository=Shop", DOCUMENT, "repository"),
        ("repository=shop&tag=a%20b", DOCUMENT, "tag"),
    ] {
        let found = import(&house, query, body, refused).await;
        assert!(found["detail"].as_str().unwrap().contains(part), "{found}");
    }
    import(&house, "tag=1", DOCUMENT, StatusCode::BAD_REQUEST).await;
    let viewer = house.token("viewer").await;
    let request = house.request("POST", "/api/v1/sboms?repository=shop").bearer_auth(viewer).body(DOCUMENT);
    problem(request.send().await.unwrap(), StatusCode::FORBIDDEN).await;
    assert_eq!(house.get("/registries").await["items"], json!([]), "nothing is left of a refused import");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_written_in_every_format() {
    let house = House::open().await;
    let added = import(&house, "repository=team/shop&tag=1.0", DOCUMENT, StatusCode::CREATED).await;
    house.settled().await;
    let digest = added["digest"].as_str().unwrap().to_owned();
    let fetch = async |query: &str| {
        let answer = house.api("GET", &format!("/images/{digest}/sbom{query}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (kind, file) = (header("content-type"), header("content-disposition"));
        (answer.text().await.unwrap(), kind, file)
    };
    let (text, kind, file) = fetch("").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
    assert_eq!(kind, "application/vnd.cyclonedx+json; version=1.6");
    assert_eq!(file, "attachment; filename=\"shop-1.0.cdx.json\"");
    assert!(text.contains("searched for secrets"), "gaps stand in the document: {text}");
    let (text, kind, _) = fetch("?format=spdx").await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["spdxVersion"], "SPDX-2.3");
    assert_eq!(kind, "application/spdx+json");
    for format in report::Format::ALL {
        let (text, _, file) = fetch(&format!("?format={}", format.as_str())).await;
        assert!(!text.is_empty() && file.contains("shop-1.0."), "{}", format.as_str());
    }
    let answer = house.api("GET", &format!("/images/{digest}/sbom?format=docx")).send().await.unwrap();
    problem(answer, StatusCode::BAD_REQUEST).await;
    let cookie = house.login(crate::house::ADMIN).await;
    let (status, page) = house.page(&cookie, &format!("/images/{digest}")).await;
    assert_eq!(status, StatusCode::OK);
    let link = format!("/images/{digest}/sbom?format=spdx");
    assert!(page.contains(&link));
    assert_eq!(house.page(&cookie, &link).await.0, StatusCode::OK);
    house.close().await;
}
