//! Base images: which layers are theirs, and what a newer tag would fix.

use crate::house::{ADMIN, House, json};
use crate::registries::alpine_like;
use reqwest::StatusCode;
use serde_json::json;
use testkit::packages::{ApkPackage, apk_installed, os_release};
use testkit::{FaultRegistry, ImageBuilder, LayerBuilder};

/// The same distribution with the fault of openssl mended.
fn newer_alpine() -> LayerBuilder {
    let packages = [
        ApkPackage { name: "musl", version: "1.1.22-r3", origin: "musl", files: &[] },
        ApkPackage { name: "libssl1.1", version: "1.1.1d-r0", origin: "openssl", files: &[] },
    ];
    LayerBuilder::new()
        .file("etc/os-release", os_release("alpine", "3.10.3", "Alpine Linux v3.10"))
        .file("lib/apk/db/installed", apk_installed(&packages))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_image_is_told_apart_and_its_newer_tag_says_what_it_fixes() {
    let registry = FaultRegistry::start();
    let bottom = alpine_like().build();
    let base = ImageBuilder::new().layer(bottom.clone()).created("2019-08-20T00:00:00Z").build();
    let newer = ImageBuilder::new().layer(newer_alpine().build()).created("2019-10-20T00:00:00Z").build();
    let top = LayerBuilder::new().file("app/run", "x").build();
    let app = ImageBuilder::new().layer(bottom).layer(top).created("2019-09-01T00:00:00Z").build();
    registry.put("base/alpine", "3.10.2", &base);
    registry.put("base/alpine", "3.10.3", &newer);
    registry.put("team/app", "1", &app);
    let house = House::open().await;
    let secdb = json!({
        "distroversion": "v3.10", "reponame": "main", "archs": ["x86_64"], "urlprefix": "https://example.org",
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "packages": [
            { "pkg": { "name": "openssl", "secfixes": { "1.1.1d-r0": ["CVE-2019-1547"] } } },
            { "pkg": { "name": "musl", "secfixes": { "1.1.22-r4": ["CVE-2019-14697"] } } }]
    });
    let import = house.api("POST", "/intelligence/import?name=main.json").body(secdb.to_string()).send();
    json(import.await.unwrap(), StatusCode::OK).await;
    house.add_registry("production", &registry.url()).await;

    let found = house.get(&format!("/images/{}", app.digest)).await["base"].clone();
    assert_eq!(found["name"], "base/alpine:3.10.2");
    assert_eq!(found["digest"], base.digest.to_string());
    assert_eq!((&found["layers"], &found["source"]), (&json!(1), &json!("layers")));
    let expect = json!({ "name": "base/alpine:3.10.3", "digest": newer.digest.to_string(), "fixes": 1, "of": 2 });
    assert_eq!(found["newer"], expect);
    let own = house.get(&format!("/images/{}", base.digest)).await;
    assert_eq!(own["base"], json!(null), "the base has none itself");

    let issues = house.get("/issues?repository=team/app").await;
    let mut advised = 0;
    for issue in issues["items"].as_array().unwrap() {
        let told = house.get(&format!("/issues/{}", issue["id"])).await["remediation"].to_string();
        let expect = match issue["finding"]["id"].as_str().unwrap() {
            "CVE-2019-1547" => "Its newest tag base/alpine:3.10.3 does not have it: build on that one.",
            "CVE-2019-14697" => "Its newest tag base/alpine:3.10.3 has it too.",
            _ => continue,
        };
        assert!(told.contains("It comes from the base image base/alpine:3.10.2 (layer 0)."), "{told}");
        assert!(told.contains(expect), "{told}");
        advised += 1;
    }
    let cookie = house.login(ADMIN).await;
    let (_, page) = house.page(&cookie, &format!("/images/{}?tab=layers", app.digest)).await;
    assert!(page.contains("would fix 1 of 2"), "the page names the gain");
    assert_eq!(page.matches("a layer of the base image").count(), 1);
    let document = house.api("GET", &format!("/images/{}/sbom?format=json", app.digest)).send().await.unwrap();
    let report = json(document, StatusCode::OK).await;
    assert_eq!(report["image"]["base"]["name"], "base/alpine:3.10.2");
    println!("bases: {advised} issues were advised");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_images_of_named_repositories_are_bases_where_rules_name_some() {
    let registry = FaultRegistry::start();
    let bottom = alpine_like().build();
    let middle = LayerBuilder::new().file("usr/lib/runtime", "x").build();
    let top = LayerBuilder::new().file("app/run", "x").build();
    let base = ImageBuilder::new().layer(bottom.clone()).build();
    // Another team's image happens to be a longer beginning of the application.
    let other = ImageBuilder::new().layer(bottom.clone()).layer(middle.clone()).build();
    let app = ImageBuilder::new()
        .layer(bottom)
        .layer(middle)
        .layer(top)
        .annotation("org.opencontainers.image.base.name", "registry.example/golden/alpine:3")
        .build();
    registry.put("base/alpine", "3", &base);
    registry.put("team/other", "1", &other);
    registry.put("team/app", "1", &app);
    let house = House::open().await;
    house.add_registry("production", &registry.url()).await;
    let base_of = async || {
        let found = house.get(&format!("/images/{}", app.digest)).await["base"].clone();
        (found["name"].clone(), found["layers"].clone(), found["source"].clone())
    };
    assert_eq!(base_of().await, (json!("team/other:1"), json!(2), json!("layers")), "without rules");

    let set = async |globs: &[&str], expect: StatusCode| {
        let mut tuning = house.get("/rules/tuning").await;
        tuning["base_images"] = json!(globs);
        let answer = house.api("PUT", "/rules/tuning").json(&tuning).send().await.unwrap();
        json(answer, expect).await
    };
    set(&["production/base/*"], StatusCode::OK).await;
    assert_eq!(base_of().await, (json!("base/alpine:3"), json!(1), json!("layers")), "by the instance's name");
    set(&[&format!("{}/base/*", registry.host())], StatusCode::OK).await;
    assert_eq!(base_of().await, (json!("base/alpine:3"), json!(1), json!("layers")), "by the host");
    set(&["registry.example/golden/*"], StatusCode::OK).await;
    let named = (json!("registry.example/golden/alpine:3"), json!(0), json!("labels"));
    assert_eq!(base_of().await, named, "no known image counts, but the one that the manifest's annotation names");
    set(&["registry.example/silver/*"], StatusCode::OK).await;
    assert_eq!(base_of().await.0, json!(null), "nothing counts");
    let document = house.api("GET", &format!("/images/{}/sbom?format=json", app.digest)).send().await.unwrap();
    assert_eq!(json(document, StatusCode::OK).await["image"]["base"], json!(null));

    let refused = set(&["team/[a"], StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(refused.to_string().contains("base_images"), "{refused}");
    let cookie = house.login(ADMIN).await;
    let (_, page) = house.page(&cookie, "/rules").await;
    assert!(page.contains("registry.example/silver/*"), "the page shows the rule");
    house.close().await;
}
