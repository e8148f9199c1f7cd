//! An agent's calls to its server.

use crate::expect_error;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use remote::ErrorKind;
use remote::agent::AgentTransport;
use secrecy::SecretString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

async fn server() -> String {
    let call = async |headers: HeaderMap, body: String| {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        match (header("authorization").as_str(), body.as_str()) {
            ("Bearer s3cret", "\"poll\"") => {
                tokio::time::sleep(Duration::from_secs(30)).await;
                (StatusCode::OK, String::new())
            }
            ("Bearer s3cret", "\"stale\"") => {
                (StatusCode::CONFLICT, r#"{"title":"Conflict","detail":"the lease is over"}"#.to_owned())
            }
            ("Bearer s3cret", body) => (StatusCode::OK, format!("{body} from {}", header("user-agent"))),
            _ => (StatusCode::UNAUTHORIZED, r#"{"detail":"unknown agent"}"#.to_owned()),
        }
    };
    let join = async |body: String| format!("joined {body}");
    let router = Router::new().route("/agent/v1/call", post(call)).route("/agent/v1/join", post(join));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn agents_join_and_call_with_their_secret() {
    let url = server().await;
    let transport = AgentTransport::new(&url, None, None).unwrap();
    assert_eq!(transport.join(b"{}".to_vec()).await.unwrap(), b"joined {}");
    let patience = Duration::from_secs(5);
    expect_error(transport.call("1", patience).await, ErrorKind::Denied, &["refused this agent", "unknown agent"]);
    let transport = transport.with_secret(SecretString::from("s3cret"));
    let answer = transport.call("1", patience).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), format!("1 from pratique-agent/{}", env!("CARGO_PKG_VERSION")));
    expect_error(transport.call("\"stale\"", patience).await, ErrorKind::Conflict, &["the lease is over"]);
    let impatient = transport.call("\"poll\"", Duration::from_millis(100)).await;
    expect_error(impatient, crate::TRANSIENT, &["did not answer within 0.1 s"]);
    assert!(!format!("{transport:?}").contains("s3cret"));
}

#[tokio::test]
async fn agents_refuse_plain_http_to_other_machines() {
    expect_error(AgentTransport::new("http://10.0.0.1:8474", None, None), ErrorKind::Forbidden, &["HTTPS"]);
}

/// Not a test of its own: what the next one runs in a process with a proxy in its environment.
#[tokio::test]
#[ignore = "run by agents_reach_their_server_through_the_proxy"]
async fn call_through_the_proxy_of_the_environment() {
    let transport = AgentTransport::new("https://pratique.invalid:8474", None, None).unwrap();
    expect_error(transport.join(b"{}".to_vec()).await, ErrorKind::Unreachable, &["pratique.invalid"]);
}

#[test]
fn agents_reach_their_server_through_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n").unwrap();
        line
    });
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent::call_through_the_proxy_of_the_environment", "--ignored"])
        .env("HTTPS_PROXY", proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .status()
        .unwrap();
    assert!(status.success());
    assert!(testkit::wait_until(Duration::from_secs(5), || asked.is_finished()), "the proxy was not asked");
    assert_eq!(asked.join().unwrap().trim(), "CONNECT pratique.invalid:8474 HTTP/1.1");
}
