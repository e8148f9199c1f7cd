//! The stream of events.

use crate::house::{ADMIN, House, PATIENCE, Wishes};
use engine::event::Event;
use futures_util::StreamExt as _;
use model::Id;
use reqwest::StatusCode;
use std::time::{Duration, Instant};

async fn first_event(house: &House, request: reqwest::RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.bytes_stream();
    let started = Instant::now();
    let mut text = String::new();
    while !text.contains("data:") {
        house.engine.office.events.send(Event::Registry { registry: Id::new(42) });
        let chunk = tokio::time::timeout(Duration::from_millis(200), body.next()).await;
        if let Ok(Some(chunk)) = chunk {
            text.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
        }
        assert!(started.elapsed() < PATIENCE, "no event came: {text}");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_happen() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let text = first_event(&house, house.api("GET", "/events")).await;
    assert!(
        text.contains("data: {\"event\":\"registry\",\"registry\":42}")
            || text.contains("data:{\"event\":\"registry\",\"registry\":42}"),
        "{text}"
    );
    let cookie = house.login(ADMIN).await;
    first_event(&house, house.request("GET", "/live").header("cookie", cookie)).await;
    let refused = house.request("GET", "/live").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_do_not_hold_up_the_end() {
    let house = House::with(Wishes { idle: true, ..Wishes::default() }).await;
    let answer = house.api("GET", "/events").send().await.unwrap();
    let started = Instant::now();
    house.close().await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    drop(answer);
}
