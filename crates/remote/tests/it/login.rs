//! Logins: Basic, the token dance, identity tokens, and where credentials must not go.

use crate::{client, client_with, endpoint, expect_error, layer_of, read_all, registry, with_login};
use remote::{ErrorKind, IDENTITY_TOKEN_USER};
use testkit::{FaultRegistry, Login};

fn basic(username: &str, password: &str) -> Login {
    Login::Basic { username: username.into(), password: password.into() }
}

fn bearer(username: &str, password: &str) -> Login {
    Login::Bearer { user: Some((username.into(), password.into())) }
}

#[tokio::test]
async fn basic_login_is_sent_only_after_it_was_asked_for() {
    let (registry, image) = registry();
    registry.faults(|f| f.login = basic("ann", "pass:word"));
    let client = client_with(with_login(&registry.url(), "ann", "pass:word"));
    client.ping().await.unwrap();
    assert_eq!(client.manifest("team/app", "1").await.unwrap().digest, image.digest);
    let log = registry.requests();
    assert_eq!(log[0].authorization, None);
    assert_eq!(log.iter().filter(|line| line.status == 401).count(), 1, "one challenge serves all later requests");
}

#[tokio::test]
async fn wrong_password_and_missing_login_are_told_apart() {
    let (registry, _) = registry();
    for login in [basic("ann", "right"), bearer("ann", "right")] {
        registry.faults(|f| f.login = login);
        let wrong = client_with(with_login(&registry.url(), "ann", "hunter2-wrong"));
        let text = expect_error(wrong.ping().await, ErrorKind::Denied, &["user ann", "check username and password"]);
        assert!(!text.contains("hunter2"), "{text}");
        let debug = format!("{wrong:?} {:?}", wrong.manifest("team/app", "1").await);
        assert!(!debug.contains("hunter2"), "{debug}");
        let nobody = client(&registry);
        expect_error(nobody.manifest("team/app", "1").await, ErrorKind::Denied, &["give a username and password"]);
    }
}

#[tokio::test]
async fn token_is_asked_for_once_per_scope_and_again_when_it_ends() {
    let (registry, image) = registry();
    registry.faults(|f| f.login = bearer("ann", "right"));
    let client = client_with(with_login(&registry.url(), "ann", "right"));
    client.repositories(None).await.unwrap();
    for _ in 0..3 {
        client.manifest("team/app", "1").await.unwrap();
    }
    assert_eq!(registry.count("GET", "/token"), 2, "one for the catalogue, one for the repository");
    let scopes: Vec<_> =
        registry.requests().into_iter().filter(|line| line.path == "/token").map(|l| l.query).collect();
    assert!(scopes[0].contains("scope=registry%3Acatalog%3A*"), "{scopes:?}");
    assert!(scopes[1].contains("scope=repository%3Ateam%2Fapp%3Apull"), "{scopes:?}");
    assert!(scopes[1].contains("service=test") && scopes[1].contains("account=ann"), "{scopes:?}");

    registry.faults(|f| f.token_lifetime = Some(1));
    let fresh = client_with(with_login(&registry.url(), "ann", "right"));
    fresh.manifest("team/app", "1").await.unwrap();
    registry.clear_requests();
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    assert_eq!(fresh.manifest("team/app", "1").await.unwrap().digest, image.digest);
    assert_eq!(registry.count("GET", "/token"), 1, "the old token was not sent any more");
    assert!(registry.requests().iter().all(|line| line.status == 200));
}

#[tokio::test]
async fn hundred_requests_at_once_share_one_token() {
    let (registry, _) = registry();
    registry.faults(|f| f.login = Login::Bearer { user: None });
    let client = client(&registry);
    client.ping().await.unwrap();
    registry.clear_requests();
    let asks = (0..100).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.head("team/app", "1").await.map(|d| d.digest) })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap().unwrap();
    }
    assert_eq!(registry.count("GET", "/token"), 1);
}

#[tokio::test]
async fn anonymous_tokens_serve_public_repositories() {
    let (registry, image) = registry();
    registry.faults(|f| f.login = Login::Bearer { user: None });
    assert_eq!(client(&registry).manifest("team/app", "1").await.unwrap().digest, image.digest);
    registry.faults(|f| f.tokens_worthless = true);
    expect_error(client(&registry).manifest("team/app", "1").await, ErrorKind::Denied, &["team/app", "username"]);
    let ann = client_with(with_login(&registry.url(), "ann", "whatever"));
    expect_error(ann.manifest("team/app", "1").await, ErrorKind::Denied, &["user ann", "team/app"]);
}

#[tokio::test]
async fn identity_tokens_and_post_only_services_get_a_form() {
    let (registry, image) = registry();
    registry.faults(|f| f.login = Login::Identity { token: "id-token-1".into() });
    let client = client_with(with_login(&registry.url(), IDENTITY_TOKEN_USER, "id-token-1"));
    assert_eq!(client.manifest("team/app", "1").await.unwrap().digest, image.digest);
    assert_eq!((registry.count("POST", "/token"), registry.count("GET", "/token")), (1, 0));
    registry.faults(|f| {
        f.login = bearer("ann", "right&=+ %");
        f.token_by_post_only = true;
    });
    let client = client_with(with_login(&registry.url(), "ann", "right&=+ %"));
    assert_eq!(client.manifest("team/app", "1").await.unwrap().digest, image.digest);
}

#[tokio::test]
async fn password_goes_to_no_unencrypted_token_service() {
    let secure = FaultRegistry::start_tls(testkit::tls::Certificate::Good);
    let plain = FaultRegistry::start();
    for login in [bearer("ann", "right"), Login::Identity { token: "right".into() }] {
        secure.faults(|f| {
            f.login = login.clone();
            f.token_realm = Some(format!("{}/token", plain.url()));
        });
        let mut endpoint = with_login(&secure.url(), "ann", "right");
        endpoint.ca_certificate = Some(secure.ca_pem());
        expect_error(client_with(endpoint).ping().await, ErrorKind::Forbidden, &["unencrypted"]);
    }
    assert_eq!(plain.requests(), []);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (registry, image) = registry();
    let storage = FaultRegistry::start();
    storage.put("team/app", "1", &image);
    storage.faults(|f| f.strict_storage = true);
    registry.faults(|f| {
        f.login = basic("ann", "right");
        f.redirect_blobs = Some(storage.url());
    });
    let client = client_with(with_login(&registry.url(), "ann", "right"));
    let blob = client.blob("team/app", &layer_of(&image)).await.unwrap();
    assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
    let log = storage.requests();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].authorization, None);
    assert_eq!(log[0].query, "signature=s3cr3t");
    // A storage that refuses: its signed address is in no text, and its 401 is no challenge.
    storage.delete_blob(image.layers[0].digest);
    let gone = client.blob("team/app", &layer_of(&image)).await;
    let text = expect_error(gone, ErrorKind::NotFound, &[]);
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[tokio::test]
async fn credentials_stay_on_redirects_within_the_host() {
    let (registry, image) = registry();
    registry.faults(|f| {
        f.login = basic("ann", "right");
        f.redirect_chain = 5;
    });
    let client = client_with(with_login(&registry.url(), "ann", "right"));
    client.ping().await.unwrap();
    let blob = client.blob("team/app", &layer_of(&image)).await.unwrap();
    assert_eq!(read_all(blob).await.unwrap(), image.layers[0].blob);
    registry.faults(|f| f.redirect_chain = 6);
    expect_error(client.blob("team/app", &layer_of(&image)).await, ErrorKind::LimitExceeded, &["more than 5 times"]);
}

#[tokio::test]
async fn user_agent_is_the_chosen_one() {
    let (registry, _) = registry();
    client(&registry).ping().await.unwrap();
    let mut agent = endpoint(&registry.url());
    agent.user_agent = remote::agent_user_agent();
    client_with(agent).ping().await.unwrap();
    let seen: Vec<_> = registry.requests().into_iter().map(|line| line.user_agent).collect();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(seen, [format!("pratique/{version}"), format!("pratique-agent/{version}")]);
}

#[tokio::test]
async fn login_asked_for_elsewhere_does_not_hide_public_repositories() {
    let (registry, image) = registry();
    registry.faults(|f| f.login = basic("ann", "right"));
    let nobody = client(&registry);
    expect_error(nobody.repositories(None).await, ErrorKind::Denied, &["give a username"]);
    registry.faults(|f| f.login = Login::None);
    assert_eq!(nobody.manifest("team/app", "1").await.unwrap().digest, image.digest);
}
