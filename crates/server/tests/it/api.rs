//! The API as a whole: problem documents, paging, its description.

use crate::house::{House, Wishes, json, problem};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn problems_say_what_is_wrong() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let send = async |method: &str, path: &str, body: &str, kind: &str| {
        let request = house.api(method, path).header("content-type", kind).body(body.to_owned());
        request.send().await.unwrap()
    };
    let check = async |method: &str, path: &str, body: &str, status: StatusCode, part: &str| {
        let found = problem(send(method, path, body, "application/json").await, status).await;
        let detail = found["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{method} {path}: {detail:?} does not say {part:?}");
    };
    check("GET", "/registries/7", "", StatusCode::NOT_FOUND, "7").await;
    check("GET", "/registries/seven", "", StatusCode::NOT_FOUND, "seven").await;
    check("GET", "/images/abc", "", StatusCode::BAD_REQUEST, "abc").await;
    check("GET", &format!("/images/sha256:{}", "0".repeat(64)), "", StatusCode::NOT_FOUND, "sha256:000").await;
    check("GET", "/issues?severity=bad", "", StatusCode::BAD_REQUEST, "critical").await;
    check("GET", "/issues?colour=red", "", StatusCode::BAD_REQUEST, "colour").await;
    check("GET", "/issues?limit=501", "", StatusCode::BAD_REQUEST, "500").await;
    check("GET", "/nothing", "", StatusCode::NOT_FOUND, "/api/v1/nothing").await;
    check("DELETE", "/issues", "", StatusCode::METHOD_NOT_ALLOWED, "method").await;
    check("POST", "/registries", "{", StatusCode::BAD_REQUEST, "JSON").await;
    let unknown = r#"{"name":"a","kind":"docker-v2","url":"r","pasword":"x"}"#;
    check("POST", "/registries", unknown, StatusCode::UNPROCESSABLE_ENTITY, "pasword").await;
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    check("POST", "/registries", &large, StatusCode::PAYLOAD_TOO_LARGE, "larger").await;
    let answer = send("POST", "/registries", "{}", "text/plain").await;
    problem(answer, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    let fields = send("POST", "/registries", r#"{"name":"","kind":"harbor","url":"r"}"#, "application/json").await;
    let fields = problem(fields, StatusCode::UNPROCESSABLE_ENTITY).await;
    let names: Vec<&str> = fields["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(names, ["name", "kind"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_not_stored_and_not_framed() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    for path in ["/api/v1/issues", "/login", "/assets/style.css"] {
        let answer = house.request("GET", path).bearer_auth(crate::house::ADMIN).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let caching = if path.starts_with("/assets") { "immutable" } else { "no-store" };
        assert!(header("cache-control").contains(caching), "{path}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    for name in ["c", "a", "d", "b", "e"] {
        let body = json!({ "name": name, "kind": "docker-v2", "url": "127.0.0.1:1", "enabled": false });
        house.post("/registries", body, StatusCode::CREATED).await;
        let body = json!({ "reason": "because", "repository": "*", "rule": name });
        house.post("/exceptions", body, StatusCode::CREATED).await;
    }
    for (path, field, expect) in
        [("/registries", "name", "a b c d e"), ("/exceptions", "rule", "c a d b e"), ("/audit", "id", "")]
    {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = house.get(&format!("{path}?limit=2{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            seen.extend(items.iter().map(|item| text(&item[field])));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(pages >= 3, "{path}");
        let distinct: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{path}: every row once");
        if !expect.is_empty() {
            assert_eq!(seen.join(" "), expect, "{path}");
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let document = house.get("/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string() || operation["description"].is_string(), "{method} {path}");
        }
    }
    let routes: BTreeSet<(String, String)> =
        server::documented_routes().into_iter().map(|(m, p)| (m.to_owned(), p.to_owned())).collect();
    assert_eq!(described, routes);
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is described");
    }
    assert!(document["components"]["securitySchemes"]["token"].is_object());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_edited_as_a_whole_and_by_revision() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let mut set = house.get("/policies").await;
    assert_eq!(set["revision"], 0);
    set["policies"][0]["grace_days"] = json!(3);
    let put = async |set: &serde_json::Value| house.api("PUT", "/policies").json(set).send().await.unwrap();
    let stored = json(put(&set).await, StatusCode::OK).await;
    assert_eq!(stored["revision"], 1);
    problem(put(&set).await, StatusCode::CONFLICT).await;
    set = stored;
    set["policies"][1]["id"] = set["policies"][0]["id"].clone();
    let wrong = problem(put(&set).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(wrong["errors"][0]["field"], "policies[1].id");
    assert_eq!(house.get("/policies").await["revision"], 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intelligence_is_imported_and_in_force() {
    let house = House::open().await;
    assert_eq!(house.get("/intelligence").await["feeds"], json!([]));
    let send = async |name: &str, body: String| {
        house.api("POST", &format!("/intelligence/import?name={name}")).body(body).send().await.unwrap()
    };
    problem(send("x.txt", "nothing".into()).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    let secdb = json!({
        "distroversion": "v3.10", "reponame": "main", "archs": ["x86_64"], "urlprefix": "https://example.org",
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "packages": [{ "pkg": { "name": "openssl", "secfixes": { "1.1.1d-r0": ["CVE-2019-1547"] } } }]
    });
    let done = json(send("main.json", secdb.to_string()).await, StatusCode::OK).await;
    assert_eq!(done["replaced"], json!(["alpine-secdb-v3.10-main"]));
    let hashes = json(send("../../bad-hashes.csv", format!("{}\n", "ab".repeat(32))).await, StatusCode::OK).await;
    assert_eq!(hashes["replaced"], json!(["hashes-bad-hashes"]));
    let generation = hashes["generation"].as_u64().unwrap();
    let started = std::time::Instant::now();
    while house.get("/intelligence").await["generation"].as_u64() != Some(generation) {
        assert!(started.elapsed() < crate::house::PATIENCE, "never in force");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let feeds = house.get("/intelligence").await;
    assert_eq!(feeds["feeds"].as_array().unwrap().len(), 2);
    let left = std::fs::read_dir(house.folder.path().join("uploads")).unwrap().count();
    assert_eq!(left, 0, "uploads do not stay");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_in_prometheus_form() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let body = json!({ "name": "we-\"quote\"", "kind": "docker-v2", "url": "127.0.0.1:1" });
    problem(house.api("POST", "/registries").json(&body).send().await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY).await;
    let body = json!({ "name": "mine", "kind": "docker-v2", "url": "127.0.0.1:1" });
    house.post("/registries", body, StatusCode::CREATED).await;
    let answer = house.request("GET", "/metrics").bearer_auth(crate::house::ADMIN).send().await.unwrap();
    let text = answer.text().await.unwrap();
    for line in [
        "pratique_stale_writes_total 0",
        "pratique_images{registry=\"mine\",state=\"scanned\"} 0",
        "pratique_jobs{state=\"leased\",kind=\"scan\"} 0",
        "pratique_intelligence_generation 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    house.close().await;
}
