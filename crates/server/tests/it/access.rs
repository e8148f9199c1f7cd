//! Who may do what.

use crate::house::{ADMIN, FormFields as _, House, Wishes, client, cookies, csrf, problem};
use reqwest::StatusCode;
use serde_json::json;
use server::TlsFiles;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_a_token() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let open = ["/healthz", "/readyz"];
    for (method, path) in server::documented_routes() {
        let path = path.replace("{id}", "1").replace("{digest}", &format!("sha256:{}", "0".repeat(64)));
        if path == "/agent/v1/join" {
            continue;
        }
        for token in [None, Some("wrong")] {
            let mut request = house.request(method, &path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            if open.contains(&path.as_str()) {
                assert_eq!(answer.status(), StatusCode::OK, "{method} {path}");
            } else {
                assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"pratique\"", "{method} {path}");
                problem(answer, StatusCode::UNAUTHORIZED).await;
            }
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_enforced() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let check = async |token: &str, method: &str, path: &str, expect: StatusCode| {
        let request = house.request(method, &format!("/api/v1{path}")).bearer_auth(token);
        let answer = request.json(&json!({})).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, expect, "{method} {path}: {text}");
    };
    let (viewer, operator) = (house.token("viewer").await, house.token("operator").await);
    check(&viewer, "GET", "/issues", StatusCode::OK).await;
    for (method, path) in [("PATCH", "/issues/1"), ("POST", "/registries/1/scan"), ("POST", "/evaluations")] {
        check(&viewer, method, path, StatusCode::FORBIDDEN).await;
    }
    check(&operator, "POST", "/evaluations", StatusCode::ACCEPTED).await;
    check(&operator, "PATCH", "/issues/1", StatusCode::UNPROCESSABLE_ENTITY).await;
    for (method, path) in [
        ("POST", "/registries"),
        ("PATCH", "/registries/1"),
        ("DELETE", "/registries/1"),
        ("PUT", "/policies"),
        ("POST", "/exceptions"),
        ("POST", "/agents/tokens"),
        ("POST", "/tokens"),
        ("POST", "/intelligence/import"),
        ("GET", "/audit"),
    ] {
        check(&operator, method, path, StatusCode::FORBIDDEN).await;
    }
    check(ADMIN, "GET", "/audit", StatusCode::OK).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_and_their_sessions_end() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let body = json!({ "name": "short", "role": "viewer" });
    let made = house.post("/tokens", body, StatusCode::CREATED).await;
    let token = made["token"].as_str().unwrap();
    let cookie = house.login(token).await;
    assert_eq!(house.page(&cookie, "/").await.0, StatusCode::OK);
    let gone = house.api("DELETE", &format!("/tokens/{}", made["id"])).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let answer = house.request("GET", "/api/v1/issues").bearer_auth(token).send().await.unwrap();
    problem(answer, StatusCode::UNAUTHORIZED).await;
    assert_eq!(house.page(&cookie, "/").await.0, StatusCode::SEE_OTHER, "sent to the login");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_need_the_token_of_their_session() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let cookie = house.login(ADMIN).await;
    let (_, html) = house.page(&cookie, "/tokens").await;
    let send = async |csrf: &str, cookie: &str, site: Option<&str>| {
        let fields = [("csrf", csrf), ("name", "made by a form"), ("role", "viewer"), ("days", "1")];
        let mut request = house.request("POST", "/tokens").header("cookie", cookie).fields(&fields);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        request.send().await.unwrap().status()
    };
    let good = csrf(&html);
    let other = csrf(&house.page(&house.login(ADMIN).await, "/tokens").await.1);
    assert_eq!(send("", &cookie, None).await, StatusCode::FORBIDDEN);
    assert_eq!(send(&other, &cookie, None).await, StatusCode::FORBIDDEN, "of another session");
    assert_eq!(send(&good, &cookie, Some("cross-site")).await, StatusCode::FORBIDDEN);
    assert_eq!(send(&good, "", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&good, &cookie, Some("same-origin")).await, StatusCode::OK);
    let answer =
        house.request("POST", "/logout").header("cookie", &cookie).fields(&[("csrf", "x")]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_slowed_down_and_say_nothing() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let form = house.request("GET", "/login").send().await.unwrap();
    let cookie = cookies(&form);
    let csrf = csrf(&form.text().await.unwrap());
    let attempt = async |token: &str, csrf: &str| {
        let fields = [("csrf", csrf), ("token", token), ("next", "https://evil.example/")];
        let answer = house.request("POST", "/login").header("cookie", &cookie).fields(&fields).send().await.unwrap();
        (answer.status(), answer.headers().get("location").map(|v| v.to_str().unwrap().to_owned()))
    };
    assert_eq!(attempt(ADMIN, "forged").await.0, StatusCode::FORBIDDEN);
    assert_eq!(attempt(ADMIN, &csrf).await, (StatusCode::SEE_OTHER, Some("/".to_owned())), "never to another site");
    for _ in 0..10 {
        assert_eq!(attempt("wrong", &csrf).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(attempt(ADMIN, &csrf).await.0, StatusCode::TOO_MANY_REQUESTS);
    let log = house.get("/audit").await;
    let failures = log["items"].as_array().unwrap().iter().filter(|row| row["what"] == "login.failed").count();
    assert_eq!(failures, 10);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_link_works_once() {
    let house = House::with(Wishes { no_admin: true, idle: true, ..Wishes::default() }).await;
    let link = house.setup_link.clone().unwrap();
    let path = link.strip_prefix(&house.base).unwrap().to_owned();
    assert_eq!(house.request("GET", "/setup/wrong").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let question = house.request("GET", &path).send().await.unwrap();
    let cookie = cookies(&question);
    let csrf = csrf(&question.text().await.unwrap());
    let accept = async || {
        let request = house.request("POST", &path).header("cookie", &cookie).fields(&[("csrf", csrf.as_str())]);
        request.send().await.unwrap()
    };
    let first = accept().await;
    assert_eq!(first.status(), StatusCode::OK);
    let session = cookies(&first);
    let html = first.text().await.unwrap();
    let token = html.split("prt_").nth(1).map(|rest| format!("prt_{}", &rest[..43])).unwrap();
    assert_eq!(house.page(&session, "/").await.0, StatusCode::OK, "logged in by the link");
    assert_eq!(accept().await.status(), StatusCode::NOT_FOUND, "spent");
    let answer = house.request("GET", "/api/v1/audit").bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let folder = house.folder.clone();
    house.close().await;
    let again = House::with(Wishes { no_admin: true, idle: true, folder: Some(folder), ..Wishes::default() }).await;
    assert_eq!(again.setup_link, None, "there is an administrator now");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bootstrap_token_replaces_the_old_one() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    house.get("/issues").await;
    let folder = house.folder.clone();
    house.close().await;
    let wishes = Wishes { idle: true, folder: Some(folder), admin: Some("another-administrator"), ..Wishes::default() };
    let house = House::with(wishes).await;
    let status =
        async |token: &str| house.request("GET", "/api/v1/issues").bearer_auth(token).send().await.unwrap().status();
    assert_eq!(status("another-administrator").await, StatusCode::OK);
    assert_eq!(status(ADMIN).await, StatusCode::UNAUTHORIZED);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_and_makes_cookies_secure() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let wishes = Wishes { tls: Some(files), ca: Some(made.cert.pem()), idle: true, ..Wishes::default() };
    let house = House::with(wishes).await;
    assert!(house.base.starts_with("https://"));
    house.get("/issues").await;
    let form = house.request("GET", "/login").send().await.unwrap();
    let set = form.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(set.contains(part), "{part} in {set}");
    }
    let stranger = client(None).get(format!("{}/healthz", house.base)).send().await;
    assert!(stranger.is_err(), "the certificate is checked");
    let plain = client(None).get(format!("{}/healthz", house.base.replace("https", "http"))).send().await;
    assert!(plain.is_err(), "no plain HTTP on the same port");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("none.pem"), key: folder.path().join("key.pem") };
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let options = server::ServerOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: Some(files),
        admin_token: None,
        deny_private: false,
        data: folder.path().to_owned(),
    };
    let error = server::Server::bind(options, house.engine.clone()).await.err().unwrap();
    assert!(error.to_string().contains("none.pem"), "{error}");
    house.close().await;
}
