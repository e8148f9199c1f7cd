//! The life of a registry over the API.

use crate::house::{House, Wishes, json, problem};
use reqwest::StatusCode;
use serde_json::json;
use testkit::packages::{ApkPackage, apk_installed, os_release};
use testkit::{FaultRegistry, ImageBuilder, LayerBuilder, Login};

pub(crate) fn alpine_like() -> LayerBuilder {
    let packages = [
        ApkPackage { name: "musl", version: "1.1.22-r3", origin: "musl", files: &[] },
        ApkPackage { name: "libssl1.1", version: "1.1.1c-r0", origin: "openssl", files: &[] },
    ];
    LayerBuilder::new()
        .instruction("ADD rootfs.tar.gz / # buildkit")
        .file("etc/os-release", os_release("alpine", "3.10.2", "Alpine Linux v3.10"))
        .file("lib/apk/db/installed", apk_installed(&packages))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_lives_and_goes() {
    let registry = FaultRegistry::start();
    registry.faults(|faults| faults.login = Login::Basic { username: "reader".into(), password: "hidden-word".into() });
    let first = ImageBuilder::new().layer(alpine_like().build()).build();
    let second = ImageBuilder::new().layer(alpine_like().file("etc/motd", "two").build()).build();
    registry.put("team/app", "1.0", &first);
    registry.put("team/app", "latest", &first);
    let house = House::open().await;
    let body = json!({
        "name": "production", "kind": "docker-v2", "url": registry.url(),
        "username": "reader", "password": "hidden-word", "schedule": "P1D",
    });
    let added = house.post("/registries", body.clone(), StatusCode::CREATED).await;
    let id = added["id"].as_i64().unwrap();
    assert_eq!((added["plain_http"].clone(), added["url"].clone()), (json!(true), json!(registry.host())));
    let again = house.api("POST", "/registries").json(&body).send().await.unwrap();
    problem(again, StatusCode::CONFLICT).await;
    house.settled().await;

    let shown = house.get(&format!("/registries/{id}")).await;
    assert_eq!(shown["status"], "Connected", "{shown}");
    assert_eq!(shown["counts"]["images"], 1);
    assert_eq!(shown["progress"], 1.0);
    assert!(!house.get("/registries").await.to_string().contains("hidden-word"), "the password never comes back");

    registry.put("team/app", "latest", &second);
    let started = house.post(&format!("/registries/{id}/discover"), json!({}), StatusCode::ACCEPTED).await;
    assert_eq!(started["jobs"], 1);
    house.settled().await;
    let tags = house.get(&format!("/registries/{id}/tags?repository=team/app&tag=latest")).await;
    let history = tags["items"][0]["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "{tags}");
    assert_eq!(history[0]["digest"], first.digest.to_string());
    assert_eq!(history[1]["digest"], second.digest.to_string());
    assert!(history[0]["to"].is_string() && history[1]["to"].is_null());
    let repositories = house.get(&format!("/registries/{id}/repositories")).await;
    assert_eq!(repositories["items"][0]["tags"], 2);

    let tested = house.post(&format!("/registries/{id}/test"), json!({}), StatusCode::OK).await;
    assert_eq!(tested["ok"], true, "{tested}");
    let preview = house.post(&format!("/registries/{id}/preview"), json!({}), StatusCode::OK).await;
    assert_eq!((preview["tags"].clone(), preview["bytes"].clone()), (json!(2), json!(0)), "known layers do not count");
    let scan = json!({ "repository": "team/app", "tag": "1.0" });
    assert_eq!(house.post(&format!("/registries/{id}/scan"), scan, StatusCode::ACCEPTED).await["jobs"], 1);
    let nothing =
        house.api("POST", &format!("/registries/{id}/scan")).json(&json!({ "repository": "team/app", "tag": "no" }));
    problem(nothing.send().await.unwrap(), StatusCode::NOT_FOUND).await;

    edit(&house, &registry, id).await;
    let gone = house.api("DELETE", &format!("/registries/{id}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    problem(house.api("GET", &format!("/registries/{id}")).send().await.unwrap(), StatusCode::NOT_FOUND).await;
    house.close().await;
}

async fn edit(house: &House, registry: &FaultRegistry, id: i64) {
    let path = format!("/registries/{id}");
    let patch = async |body: serde_json::Value| house.api("PATCH", &path).json(&body).send().await.unwrap();
    let edited = json(patch(json!({ "scope": { "include": ["team/*"], "exclude": [] } })).await, StatusCode::OK).await;
    assert_eq!(edited["has_credentials"], true, "credentials are kept");
    assert_eq!(edited["schedule"], "P1D".parse::<String>().map(|_| edited["schedule"].as_str().unwrap()).unwrap());
    let bad = problem(patch(json!({ "scope": { "include": ["["] } })).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(bad["detail"].as_str().unwrap().contains('['), "{bad}");
    let other = FaultRegistry::start();
    let moved = problem(patch(json!({ "url": other.url() })).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(moved["detail"].as_str().unwrap().contains("sent elsewhere"), "{moved}");
    assert!(other.requests().is_empty(), "stored credentials never reach another address");
    let off = json(patch(json!({ "enabled": false })).await, StatusCode::OK).await;
    assert_eq!(off["status"], "Disabled");
    let refused = house.api("POST", &format!("/registries/{id}/scan")).send().await.unwrap();
    problem(refused, StatusCode::CONFLICT).await;
    let on =
        json(patch(json!({ "enabled": true, "url": registry.url(), "username": null })).await, StatusCode::OK).await;
    assert_eq!(on["has_credentials"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_never_connected_to_are_refused_at_once() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    for url in [
        "http://169.254.169.254",
        "https://metadata.google.internal",
        "ftp://r",
        "https://r/path",
        "",
        "http://[fe80::1]",
    ] {
        let body = json!({ "name": "bad", "kind": "docker-v2", "url": url });
        problem(house.api("POST", "/registries").json(&body).send().await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    }
    assert_eq!(house.get("/registries").await["items"], json!([]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_test_says_what_to_do() {
    let registry = FaultRegistry::start();
    registry.faults(|faults| faults.login = Login::Basic { username: "reader".into(), password: "right".into() });
    let house = House::open().await;
    let body =
        json!({ "name": "r", "kind": "docker-v2", "url": registry.url(), "username": "reader", "password": "wrong" });
    let id = house.post("/registries", body, StatusCode::CREATED).await["id"].as_i64().unwrap();
    let tested = house.post(&format!("/registries/{id}/test"), json!({}), StatusCode::OK).await;
    assert_eq!(tested["ok"], false);
    assert_eq!(tested["steps"][0]["name"], "login", "{tested}");
    let shown = house.get(&format!("/registries/{id}")).await;
    assert_eq!(shown["status"], "Error", "{shown}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_show_what_is_in_them_and_what_could_not_be_seen() {
    let registry = FaultRegistry::start();
    let image = ImageBuilder::new().layer(alpine_like().build()).platform("linux/amd64").user("root").build();
    let arm = ImageBuilder::new().layer(alpine_like().file("arm", "").build()).platform("linux/arm64").build();
    let index = testkit::BuiltIndex::over(vec![image.clone(), arm]);
    registry.put_index("base", "1", &index);
    let house = House::open().await;
    house.add_registry("r", &registry.url()).await;
    let choice = house.api("GET", &format!("/images/{}", index.digest)).send().await.unwrap();
    let choice = json(choice, StatusCode::MULTIPLE_CHOICES).await;
    assert_eq!(choice["images"].as_array().unwrap().len(), 2);
    let path = format!("/images/{}", image.digest);
    let shown = house.get(&path).await;
    assert_eq!(shown["state"], "scanned", "{shown}");
    assert_eq!(shown["references"][0]["repository"], "base");
    assert!(shown["scanners"].as_array().unwrap().iter().all(|s| s["state"] == "done"), "{shown}");
    let packages = house.get(&format!("{path}/packages")).await;
    assert_eq!(packages["items"].as_array().unwrap().len(), 2);
    let gaps = house.get(&format!("{path}/gaps")).await;
    assert_eq!(gaps["items"][0]["reason"], "no-advisories", "{gaps}");
    let all = house.get("/gaps?registry=r").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "one for each image: {all}");
    let findings = house.get(&format!("{path}/findings?kind=misconfiguration")).await;
    assert!(findings["items"].to_string().contains("root"), "{findings}");
    let compliance = house.get(&format!("{path}/compliance")).await;
    assert!(compliance["items"].as_array().unwrap().iter().any(|c| c["state"] == "failed"), "{compliance}");
    let scores = house.get("/compliance?repository=base").await;
    assert_eq!(scores["items"][0]["images"], 2);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_are_worked_on() {
    let registry = FaultRegistry::start();
    let key = format!("AKIA{}", "IOSFODNN7EXAMPL2");
    let image = ImageBuilder::new()
        .layer(alpine_like().file("root/.aws/credentials", format!("[default]\naws_access_key_id = {key}\n")).build())
        .user("root")
        .build();
    registry.put("team/app", "1.0", &image);
    let house = House::open().await;
    let id = house.add_registry("r", &registry.url()).await;
    let open = house.get(&format!("/issues?state=open&registry={id}")).await;
    let issue = open["items"].as_array().unwrap().first().unwrap_or_else(|| panic!("no issue: {open}")).clone();
    let path = format!("/issues/{}", issue["id"]);
    let patch = async |body: serde_json::Value| house.api("PATCH", &path).json(&body).send().await.unwrap();
    problem(patch(json!({ "resolution": "image-gone" })).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    problem(patch(json!({})).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    let edited = json(patch(json!({ "assignee": "ann", "comment": "looking" })).await, StatusCode::OK).await;
    assert_eq!(edited["assignee"], "ann");
    let resolved =
        json(patch(json!({ "resolution": "false-positive", "comment": "a sample" })).await, StatusCode::OK).await;
    assert_eq!(
        (resolved["state"].clone(), resolved["resolution"].clone()),
        (json!("resolved"), json!("false-positive"))
    );
    let history = house.get(&path).await["history"].to_string();
    assert!(history.contains("bootstrap") && history.contains("a sample"), "{history}");
    let reopened = json(patch(json!({ "resolution": null })).await, StatusCode::OK).await;
    assert_eq!(reopened["state"], "open");
    let body = json!({ "reason": "known", "repository": "r/*", "rule": issue["finding"]["id"] });
    house.post("/exceptions", body, StatusCode::CREATED).await;
    let started = std::time::Instant::now();
    while house.get(&path).await["resolution"] != "excepted" {
        assert!(started.elapsed() < crate::house::PATIENCE, "the exception never took effect");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    house.close().await;
}
