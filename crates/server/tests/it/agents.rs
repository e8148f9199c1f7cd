//! The agent hub.

use crate::house::{House, Wishes, json, problem};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_joins_one_agent_once() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let body = json!({ "group": "eu-west", "mode": "outpost" });
    let made = house.post("/agents/tokens", body, StatusCode::CREATED).await;
    let token = made["token"].as_str().unwrap();
    let join = async |token: &str| {
        let body = json!({ "token": token, "name": "box-1", "version": "0.1.0" });
        house.request("POST", "/agent/v1/join").json(&body).send().await.unwrap()
    };
    let as_token = house.request("GET", "/api/v1/issues").bearer_auth(token).send().await.unwrap();
    problem(as_token, StatusCode::UNAUTHORIZED).await;
    problem(join("wrong").await, StatusCode::UNAUTHORIZED).await;
    let joined = json(join(token).await, StatusCode::OK).await;
    assert_eq!((joined["group"].clone(), joined["mode"].clone()), (json!("eu-west"), json!("outpost")));
    problem(join(token).await, StatusCode::UNAUTHORIZED).await;
    let secret = joined["secret"].as_str().unwrap();
    let log = house.get("/audit").await.to_string();
    assert!(!log.contains(secret) && !log.contains(token), "no secret in the audit log");

    let call = async |secret: &str, body: serde_json::Value| {
        house.request("POST", "/agent/v1/call").bearer_auth(secret).json(&body).send().await.unwrap()
    };
    let nothing = json(call(secret, json!({ "lease": { "wait_ms": 10 } })).await, StatusCode::OK).await;
    assert_eq!(nothing, json!({ "assignment": null }));
    problem(call("wrong", json!({ "lease": { "wait_ms": 10 } })).await, StatusCode::UNAUTHORIZED).await;
    problem(call(secret, json!({ "evaluate": {} })).await, StatusCode::BAD_REQUEST).await;
    problem(call(crate::house::ADMIN, json!({ "lease": { "wait_ms": 10 } })).await, StatusCode::UNAUTHORIZED).await;

    let agents = house.get("/agents").await;
    assert_eq!(
        (agents["items"][0]["name"].clone(), agents["items"][0]["online"].clone()),
        (json!("box-1"), json!(true))
    );
    let id = &agents["items"][0]["id"];
    assert_eq!(house.api("DELETE", &format!("/agents/{id}")).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    problem(call(secret, json!({ "lease": { "wait_ms": 10 } })).await, StatusCode::UNAUTHORIZED).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_the_work_of_its_group_only() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let mut secrets = Vec::new();
    for group in ["left", "right"] {
        let body = json!({ "group": group, "mode": "broker" });
        let token = house.post("/agents/tokens", body, StatusCode::CREATED).await["token"].clone();
        let body = json!({ "token": token, "name": group, "version": "1" });
        let answer = house.request("POST", "/agent/v1/join").json(&body).send().await.unwrap();
        secrets.push(json(answer, StatusCode::OK).await["secret"].as_str().unwrap().to_owned());
    }
    let body = json!({ "name": "inside", "kind": "docker-v2", "url": "registry.inside:5000", "scan_mode": "broker",
        "agent_group": "right", "username": "u", "password": "p" });
    house.post("/registries", body, StatusCode::CREATED).await;
    let lease = async |secret: &str, wait_ms: u32| {
        let body = json!({ "lease": { "wait_ms": wait_ms } });
        let answer = house.request("POST", "/agent/v1/call").bearer_auth(secret).json(&body).send().await.unwrap();
        json(answer, StatusCode::OK).await["assignment"].clone()
    };
    let work = lease(&secrets[1], 20_000).await;
    assert_eq!(work["lease"]["work"]["kind"], "discover", "{work}");
    assert_eq!(work["registry"]["url"], "registry.inside:5000");
    assert!(lease(&secrets[0], 200).await.is_null(), "the other group gets nothing");
    let forged = json!({ "record-repositories": { "lease": work["lease"], "names": ["forged"], "complete": true } });
    let answer = house.request("POST", "/agent/v1/call").bearer_auth(&secrets[0]).json(&forged).send().await.unwrap();
    let answer = json(answer, StatusCode::OK).await;
    assert!(answer["stale"].is_object() || answer["refused"].is_object(), "{answer}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_modes_are_checked() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    for body in [
        json!({ "group": "A b", "mode": "outpost" }),
        json!({ "group": "a", "mode": "cloud" }),
        json!({ "group": "a", "mode": "broker", "expires_in_seconds": 0 }),
        json!({ "group": "a", "mode": "broker", "colour": "red" }),
    ] {
        let answer = house.api("POST", "/agents/tokens").json(&body).send().await.unwrap();
        problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    house.close().await;
}
