//! The listening server: sockets, TLS, connections, and an end that lets requests finish.

use crate::auth::limiter::Limiter;
use crate::auth::session::Sessions;
use crate::auth::setup::Setup;
use crate::limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT, HEADER_TIMEOUT};
use crate::page::gaps::Remembered;
use crate::state::{AppState, Shared};
use crate::tls::{TlsFiles, acceptor};
use crate::{Error, ErrorKind, Result, routes};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use engine::service::Engine;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key; without them the server speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The bootstrap administrator's token (`PRATIQUE_ADMIN_TOKEN`).
    pub admin_token: Option<SecretString>,
    /// Private addresses are refused for registries. The engine sees to it; here it is for the texts of the page.
    pub deny_private: bool,
    /// The data folder: uploads lie there for a while.
    pub data: PathBuf,
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    state: Shared,
    stop: CancellationToken,
}

/// How long to wait after the operating system refused a connection (no more file handles).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Listens, reads the certificate, and stores the bootstrap token.
    ///
    /// # Errors
    /// When the address is taken, a file cannot be used, or the store fails.
    pub async fn bind(options: ServerOptions, engine: Arc<Engine>) -> Result<Self> {
        let tls = options.tls.as_ref().map(acceptor).transpose()?;
        let listen = |e| Error::because(ErrorKind::Listen, format!("cannot listen on {}", options.listen), e);
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let now = engine.office.clock.now();
        let setup = Setup::prepare(&*engine.office.store, options.admin_token.as_ref(), now).await?;
        let stop = CancellationToken::new();
        let state = Arc::new(AppState {
            engine,
            sessions: Sessions::default(),
            logins: Limiter::default(),
            setup,
            tls: tls.is_some(),
            deny_private: options.deny_private,
            uploads: options.data.join("uploads"),
            imports: Semaphore::new(1),
            remembered: Remembered::default(),
            stop: stop.clone(),
        });
        Ok(Self { listener, address, tls, state, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page, with the scheme.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        format!("{scheme}://{address}")
    }

    /// The one-time link that makes the first administrator, while there is none.
    pub fn setup_link(&self) -> Option<String> {
        self.state.setup.secret().map(|secret| format!("{}/setup/{secret}", self.url()))
    }

    /// Serves until `stop`; then takes no more connections and lets open requests end.
    ///
    /// # Errors
    /// Never for what a client does.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let router = routes::router(&self.state);
        let tracker = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
                () = stop.cancelled() => break,
            };
            let (socket, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!("a connection could not be accepted: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            let connection =
                Connection { router: router.clone(), tls: self.tls.clone(), stop: self.stop.clone(), peer };
            tracker.spawn(async move {
                connection.run(socket).await;
                drop(slot);
            });
        }
        self.stop.cancel();
        tracker.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, tracker.wait()).await.is_err() {
            tracing::warn!("{} connections were still open and are cut off", tracker.len());
        }
        Ok(())
    }
}

struct Connection {
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    peer: SocketAddr,
}

impl Connection {
    async fn run(self, socket: TcpStream) {
        // Small answers must not wait for more; without it they are only slower.
        let _ = socket.set_nodelay(true);
        match self.tls.clone() {
            None => self.http(socket).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
                Ok(Ok(stream)) => self.http(stream).await,
                Ok(Err(error)) => tracing::debug!("TLS with {} failed: {error}", self.peer),
                Err(_) => tracing::debug!("TLS with {} took too long", self.peer),
            },
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let peer = self.peer;
        let service = self.router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.map(axum::body::Body::new)
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("the connection of {peer} ended: {error}");
        }
    }
}
