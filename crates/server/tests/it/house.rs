//! A server with an engine over a temporary folder, and a client that speaks to it.

use engine::clock::SystemClock;
use engine::service::{Engine, EngineOptions};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;
use server::{Server, ServerOptions, TlsFiles};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{DiskSpool, MasterKey, SqliteStore};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const ADMIN: &str = "test-administrator-token";

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct House {
    pub(crate) base: String,
    pub(crate) setup_link: Option<String>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) client: Client,
    pub(crate) folder: Arc<TempDir>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) ca: Option<String>,
    pub(crate) no_admin: bool,
    /// No workers: nothing happens by itself.
    pub(crate) idle: bool,
    /// Open this folder again.
    pub(crate) folder: Option<Arc<TempDir>>,
    pub(crate) admin: Option<&'static str>,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(Wishes::default()).await
    }

    pub(crate) async fn with(wishes: Wishes) -> Self {
        let folder = wishes.folder.unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let key = MasterKey::load_or_create(&folder.path().join("master.key")).unwrap();
        let store = SqliteStore::open(folder.path(), key).await.unwrap();
        let engine = Engine::start(EngineOptions {
            store: Arc::new(store),
            intelligence: folder.path().join("intel"),
            clock: Arc::new(SystemClock),
            secret_key: [7; 32],
            spool: Arc::new(DiskSpool::new(&folder.path().join("spool"), 64 << 20).unwrap()),
            inspector: None,
            workers: if wishes.idle { 0 } else { 2 },
            layers_at_once: 2,
            memory_bytes_max: None,
            feeds: Default::default(),
            holder: "test".into(),
            user_agent: "pratique/test".into(),
            deny_private: false,
        })
        .await
        .unwrap();
        let options = ServerOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: wishes.tls,
            admin_token: (!wishes.no_admin).then(|| wishes.admin.unwrap_or(ADMIN).to_owned().into()),
            deny_private: false,
            data: folder.path().to_owned(),
        };
        let server = Server::bind(options, Arc::clone(&engine)).await.unwrap();
        let (base, setup_link) = (server.url(), server.setup_link());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        let client = client(wishes.ca.as_deref());
        Self { base, setup_link, engine, client, folder, stop, task: Some(task) }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    /// As the administrator.
    pub(crate) fn api(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, &format!("/api/v1{path}")).bearer_auth(ADMIN)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        json(self.api("GET", path).send().await.unwrap(), StatusCode::OK).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value, expect: StatusCode) -> Value {
        json(self.api("POST", path).json(&body).send().await.unwrap(), expect).await
    }

    /// Adds a registry, and waits until everything in it was read.
    pub(crate) async fn add_registry(&self, name: &str, url: &str) -> i64 {
        let body = serde_json::json!({ "name": name, "kind": "docker-v2", "url": url });
        let id = self.post("/registries", body, StatusCode::CREATED).await["id"].as_i64().unwrap();
        self.settled().await;
        id
    }

    pub(crate) async fn settled(&self) {
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < 4 {
            quiet = if self.engine.is_idle().await.unwrap() { quiet + 1 } else { 0 };
            assert!(started.elapsed() < PATIENCE, "the engine never came to rest");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    /// A token of a role.
    pub(crate) async fn token(&self, role: &str) -> String {
        let body = serde_json::json!({ "name": format!("a {role}"), "role": role });
        self.post("/tokens", body, StatusCode::CREATED).await["token"].as_str().unwrap().to_owned()
    }

    /// Logs in and gives the cookie.
    pub(crate) async fn login(&self, token: &str) -> String {
        let form = self.request("GET", "/login").send().await.unwrap();
        let cookie = cookies(&form);
        let csrf = csrf(&form.text().await.unwrap());
        let fields = [("csrf", csrf.as_str()), ("token", token), ("next", "/")];
        let answer = self.request("POST", "/login").header("cookie", cookie).fields(&fields).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        cookies(&answer)
    }

    /// A page as text, with its status.
    pub(crate) async fn page(&self, cookie: &str, path: &str) -> (StatusCode, String) {
        let answer = self.request("GET", path).header("cookie", cookie).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub(crate) async fn close(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
        self.engine.stop().await;
    }
}

pub(crate) fn client(ca: Option<&str>) -> Client {
    remote::install_crypto();
    let mut builder = Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE).no_proxy();
    if let Some(pem) = ca {
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]);
    }
    builder.build().unwrap()
}

pub(crate) async fn json(answer: Response, expect: StatusCode) -> Value {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, expect, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The problem document of an answer.
pub(crate) async fn problem(answer: Response, expect: StatusCode) -> Value {
    let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let body = json(answer, expect).await;
    assert_eq!(kind.as_deref(), Some("application/problem+json"));
    assert_eq!(body["status"], expect.as_u16());
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
    body
}

/// The cookies that an answer sets, as a request sends them.
pub(crate) fn cookies(answer: &Response) -> String {
    let set = answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let pairs = set.filter(|text| !text.contains("Max-Age=0")).filter_map(|text| text.split(';').next());
    pairs.collect::<Vec<_>>().join("; ")
}

/// The token in the first form of a page.
pub(crate) fn csrf(html: &str) -> String {
    let (_, rest) = html.split_once("name=\"csrf\" value=\"").expect("a form with a token");
    rest.split('"').next().unwrap().to_owned()
}

/// Sends fields as a form does.
pub(crate) trait FormFields {
    fn fields(self, fields: &[(&str, &str)]) -> Self;
}

impl FormFields for RequestBuilder {
    fn fields(self, fields: &[(&str, &str)]) -> Self {
        let quoted = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        self.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
    }
}
