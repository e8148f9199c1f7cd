//! The listening half: a thread with a runtime of its own, plain or TLS.

use super::{State, answer};
use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Starts the thread; returns the port that it listens on.
pub(super) fn spawn(
    state: Arc<Mutex<State>>,
    tls: Option<Arc<ServerConfig>>,
    stopped: oneshot::Receiver<()>,
) -> (u16, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("the socket is non-blocking");
            let router = Router::new().fallback(answer::handle).with_state(state);
            match tls {
                None => tokio::select! {
                    _ = async { axum::serve(listener, router).await } => {}
                    _ = stopped => {}
                },
                Some(config) => tokio::select! {
                    _ = async { axum::serve(TlsListener { listener, acceptor: config.into() }, router).await } => {}
                    _ = stopped => {}
                },
            }
        });
        runtime.shutdown_timeout(Duration::from_millis(100));
    });
    (port, thread)
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            // A client that does not trust the certificate hangs up here; the next one may.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
