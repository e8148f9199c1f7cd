//! The pages: they answer, they escape, they work without scripts.

use crate::house::{ADMIN, FormFields as _, House, Wishes, csrf};
use crate::registries::alpine_like;
use model::Digest;
use reqwest::StatusCode;
use testkit::{FaultRegistry, ImageBuilder};

/// No markup of a page is made of this.
const HOSTILE: &str = "\"><script>alert(1)</script>";

fn assert_escaped(path: &str, html: &str) {
    assert!(!html.contains("<script>alert"), "{path} shows foreign markup");
    assert!(!html.contains("onclick=") && !html.contains("style=\"") && !html.contains("javascript:"), "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_and_escapes_what_images_say() {
    let registry = FaultRegistry::start();
    let layer = alpine_like()
        .file("usr/lib/node_modules/x/package.json", format!("{{\"name\":{0:?},\"version\":{0:?}}}", HOSTILE))
        .file(&format!("usr/{HOSTILE}/file"), "x")
        .executable(&format!("usr/bin/{HOSTILE}"), "#!/bin/sh\necho\n")
        .instruction(&format!("RUN echo '{HOSTILE}'"))
        .build();
    let image = ImageBuilder::new()
        .layer(layer)
        .env(&format!("PASSWORD={HOSTILE}"))
        .label("title", HOSTILE)
        .user("root")
        .empty_step(&format!("ENV X={HOSTILE}"))
        .build();
    registry.put("team/app", "1.0", &image);
    let house = House::open().await;
    let id = house.add_registry("production", &registry.url()).await;
    let cookie = house.login(ADMIN).await;
    let issue = house.get("/issues").await["items"][0]["id"].clone();
    let digest = image.digest;
    let mut paths: Vec<String> = [
        "/",
        "/registries",
        "/registries/new",
        "/images",
        "/images?state=scanned",
        "/issues",
        "/issues?state=any",
        "/gaps",
        "/compliance",
        "/policies",
        "/exceptions",
        "/intelligence",
        "/agents",
        "/activity",
        "/audit",
        "/tokens",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend([
        format!("/registries/{id}"),
        format!("/registries/{id}?open=team%2Fapp"),
        format!("/registries/{id}/progress"),
        format!("/registries/{id}/list"),
        format!("/registries/{id}/branch?repository=team%2Fapp"),
        format!("/registries/{id}/edit"),
        format!("/issues/{issue}"),
        format!("/exceptions?rule={}", percent_encode(HOSTILE)),
        format!("/images?repository={}", percent_encode(HOSTILE)),
    ]);
    for tab in ["vulnerabilities", "secrets", "malware", "configuration", "compliance", "packages", "layers", "gaps"] {
        paths.push(format!("/images/{digest}?tab={tab}"));
    }
    for path in &paths {
        let (status, html) = house.page(&cookie, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {html}");
        assert_escaped(path, &html);
    }
    let (_, layers) = house.page(&cookie, &format!("/images/{digest}?tab=layers")).await;
    assert!(layers.contains("&#60;script&#62;alert(1)"), "the text itself is shown");
    let (status, html) = house.page(&cookie, &format!("/{}", percent_encode(HOSTILE))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_escaped("404", &html);
    house.close().await;
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_logged_in_is_sent_to_the_login() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let answer = house.request("GET", "/images?state=failed").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/login?next=%2Fimages%3Fstate%3Dfailed");
    let viewer = house.token("viewer").await;
    let cookie = house.login(&viewer).await;
    for path in ["/audit", "/tokens", "/registries/new"] {
        assert_eq!(house.page(&cookie, path).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let (_, html) = house.page(&cookie, "/registries").await;
    assert!(!html.contains("/registries/new"), "what one may not do is not offered");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_form_adds_edits_and_tests() {
    let registry = FaultRegistry::start();
    registry.put("a", "1", &ImageBuilder::new().layer(alpine_like().build()).build());
    let house = House::open().await;
    let cookie = house.login(ADMIN).await;
    let token = csrf(&house.page(&cookie, "/registries/new").await.1);
    let url = registry.url();
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let mut all =
            vec![("csrf", token.as_str()), ("scan_mode", "cloud"), ("initial_mode", "all"), ("schedule", "PT1H")];
        all.extend_from_slice(fields);
        let answer = house.request("POST", path).header("cookie", &cookie).fields(&all).send().await.unwrap();
        let location = answer.headers().get("location").map(|v| v.to_str().unwrap().to_owned());
        (answer.status(), location, answer.text().await.unwrap())
    };
    let (status, _, html) = send("/registries", &[("name", ""), ("url", &url), ("action", "save")]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(html.contains("a name has 1 to 100"), "{html}");
    let secret = [("name", "r"), ("url", &url), ("username", "u"), ("password", "hidden-word"), ("action", "test")];
    let (status, _, html) = send("/registries", &secret).await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("The connection works") && !html.contains("hidden-word"), "{html}");
    let (status, location, _) = send("/registries", &[("name", "r"), ("url", &url), ("action", "save")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let location = location.unwrap();
    let (_, html) = house.page(&cookie, &location).await;
    assert!(html.contains("r was added"), "{html}");
    let fields = [("name", "renamed"), ("url", url.as_str()), ("include", "a\nb/*"), ("action", "save")];
    let (status, _, html) = send(&format!("{location}/edit"), &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{html}");
    let shown = house.get("/registries").await;
    assert_eq!(shown["items"][0]["name"], "renamed");
    assert_eq!(shown["items"][0]["scope"]["include"], serde_json::json!(["a", "b/*"]));
    let (status, ..) = send(&format!("{location}/delete"), &[]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(house.get("/registries").await["items"], serde_json::json!([]));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_not_shown_as_clean() {
    let registry = FaultRegistry::start();
    let image = ImageBuilder::new().layer(alpine_like().build()).build();
    registry.put("a", "1", &image);
    registry.delete_blob(image.layers[0].digest);
    let house = House::open().await;
    house.add_registry("r", &registry.url()).await;
    let cookie = house.login(ADMIN).await;
    for tab in ["vulnerabilities", "secrets", "malware", "packages"] {
        let (_, html) = house.page(&cookie, &format!("/images/{}?tab={tab}", image.digest)).await;
        assert!(!html.contains("No known vulnerabilities") && !html.contains("No secrets found"), "{tab}");
        assert!(!html.contains("No malware found") && !html.contains("<h3>No packages</h3>"), "{tab}");
        assert!(html.contains("class=\"empty gap\""), "{tab}: {html}");
    }
    let (_, html) = house.page(&cookie, "/gaps").await;
    assert!(html.contains("unreadable"), "{html}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_edited_as_text() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let cookie = house.login(ADMIN).await;
    let token = csrf(&house.page(&cookie, "/policies").await.1);
    let send = async |revision: &str, text: &str| {
        let fields = [("csrf", token.as_str()), ("revision", revision), ("text", text)];
        let answer = house.request("POST", "/policies").header("cookie", &cookie).fields(&fields).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, html) =
        send("0", "[[policies]]\nid = \"a\"\nname = \"<b>\"\nkind = \"nonsense\"\naction = \"issue\"\n").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(html.contains("line 4") && html.contains("&#60;b&#62;"), "{html}");
    let good = "[[policies]]\nid = \"a\"\nname = \"A\"\nkind = \"secrets\"\naction = \"issue\"\n";
    assert_eq!(send("0", good).await.0, StatusCode::SEE_OTHER);
    assert_eq!(send("0", good).await.0, StatusCode::CONFLICT, "somebody saved meanwhile");
    assert_eq!(house.get("/policies").await["policies"][0]["id"], "a");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_need_the_token_before_the_file() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let cookie = house.login(ADMIN).await;
    let token = csrf(&house.page(&cookie, "/intelligence").await.1);
    let hashes = format!("{}\n", Digest::from_bytes([9; 32]).hex());
    let send = async |first: (&str, &str), second: (&str, &str)| {
        let part = |(name, content): (&str, &str)| {
            let file = if name == "document" { "; filename=\"bad-hashes.txt\"" } else { "" };
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n")
        };
        let body = format!("{}{}--x--\r\n", part(first), part(second));
        let request = house.request("POST", "/intelligence/import").header("cookie", &cookie);
        let request = request.header("content-type", "multipart/form-data; boundary=x");
        request.body(body).send().await.unwrap().status()
    };
    assert_eq!(send(("document", &hashes), ("csrf", &token)).await, StatusCode::FORBIDDEN);
    assert_eq!(send(("csrf", "wrong"), ("document", &hashes)).await, StatusCode::FORBIDDEN);
    assert_eq!(send(("csrf", &token), ("document", &hashes)).await, StatusCode::SEE_OTHER);
    let (_, html) = house.page(&cookie, "/intelligence").await;
    assert!(html.contains("hashes-bad-hashes"), "{html}");
    house.close().await;
}
