//! Serves HTTP as `axum::serve` does, and holds off clients that only want to be a
//! burden: those that connect and say nothing, that send a head byte by byte
//! ("Slowloris"), or that open connections without end. Bodies are their handlers' care.

#![forbid(unsafe_code)]

mod connection_tracker;
mod half_close;
pub mod rules;
pub mod shutdown;
mod tls;

use std::{io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustix::{
    net::sockopt,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use self::{
    connection_tracker::UnderWay,
    tls::{Tls, TlsError, TlsOptions},
};

use self::{
    connection_tracker::{Busy, ConnectionTracker, TrackedConnection},
    half_close::HalfClose,
};

/// What a listener puts up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. With one more, the one that has been quiet for longest goes; if
    /// none is quiet, the new one does.
    pub connections: usize,
    /// From connecting to the end of the first request's head, and for each later head.
    pub head: Duration,
    /// How long a connection may be kept alive between requests.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(100),
        }
    }
}

/// HTTP/2: how often a peer is asked whether it is there, and how long it may take.
const PING: Duration = Duration::from_secs(20);
/// TCP: when a peer that says nothing is asked whether it is there, how often then, and how
/// many times: one that has vanished without a word holds what it has for no longer.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMES: u32 = 3;
/// HTTP/2: requests at once on a connection.
const STREAMS: u32 = 256;
/// How long to wait when no more files can be opened, once the quietest has gone.
const RESPITE: Duration = Duration::from_millis(50);

/// Where connections come in: plain, or under TLS.
pub struct Listener {
    listener: TcpListener,
    tls: Option<Tls>,
    title_case: bool,
}

impl Listener {
    /// Connections to this listener, under TLS if there is a certificate.
    pub fn new(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self {
            listener,
            tls,
            title_case: false,
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether HTTP/1.1 is answered with field names in title case (`Content-Type`), which
    /// some clients take alone.
    #[must_use]
    pub fn title_case_fields(self, title_case: bool) -> Self {
        Self { title_case, ..self }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::new(listener, None)
    }
}

/// Serves until `stop` is cancelled; then takes no more connections, and ends once the
/// requests under way have ended, and what handlers have upgraded ([`UnderWay`]).
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let Listener {
        listener,
        tls,
        title_case,
    } = listener.into();
    let http = http(limits, title_case);
    let tracker = Arc::new(ConnectionTracker::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if tracker.len() >= limits.connections && !tracker.evict_the_quietest() {
                    // Each has something under way, and keeps its place: whoever comes, comes
                    // again.
                    continue;
                }
                // Small messages must not wait for more (Nagle's algorithm).
                let _ = stream.set_nodelay(true);
                if let Err(error) = keep_alive(&stream) {
                    tracing::debug!(%error, "a connection is not kept alive");
                }
                let connection = tracker.enter();
                let router = router.clone();
                let (stop, tls, http) = (stop.clone(), tls.clone(), http.clone());
                tokio::spawn(async move {
                    match tls {
                        None => {
                            converse(stream, peer, router, http, limits, connection, stop).await;
                        }
                        Some(tls) => {
                            // A handshake is part of the time for the first head.
                            let stream = tokio::select! {
                                stream = tls.accept(stream) => stream,
                                () = connection.evicted() => return,
                                () = connection.too_quiet(limits.head, limits.idle) => return,
                                () = stop.cancelled() => return,
                            };
                            match stream {
                                Ok(stream) => {
                                    converse(stream, peer, router, http, limits, connection, stop)
                                        .await;
                                }
                                Err(error) => tracing::debug!(%error, "no TLS handshake"),
                            }
                        }
                    }
                });
            }
            // The peer has gone already.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tracker.evict_the_quietest();
                tokio::time::sleep(RESPITE).await;
            }
        }
    }
    drop(listener);
    tracker.left().await;
    Ok(())
}

/// One connection, to its end.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    http: Builder<TokioExecutor>,
    limits: Limits,
    connection: TrackedConnection,
    stop: CancellationToken,
) {
    let connection = Arc::new(connection);
    let counted = connection.clone();
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        // Handlers may ask where a request comes from. A layer of its own on each
        // connection's router would copy every route for each connection.
        request.extensions_mut().insert(ConnectInfo(peer));
        // Until the response's last byte has been taken, and the request's.
        let busy = Arc::new(counted.busy());
        // And until what a handler has made of it has ended: hyper lets go of both bodies
        // once a request is upgraded.
        request.extensions_mut().insert(UnderWay::of(&counted));
        let checked = rules::check(&request);
        let router = router.clone();
        let request = request.map(|body| holding(Body::new(body), busy.clone()));
        async move {
            let response = match checked {
                Ok(()) => router.oneshot(request).await,
                Err(violation) => Ok(violation.into()),
            };
            response.map(|response| response.map(|body| holding(body, busy)))
        }
    });
    let stream = HalfClose::new(stream, Arc::clone(&**connection));
    let served = http
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(served);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(error = &*error, "a connection broke");
                }
                return;
            }
            () = connection.evicted() => return,
            () = connection.too_quiet(limits.head, limits.idle) => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A body that holds this for as long as it lives.
fn holding(body: Body, held: Arc<Busy>) -> Body {
    Body::new(body.map_err(move |error| {
        let _held = &held;
        error
    }))
}

fn keep_alive(stream: impl AsFd) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_AGAIN)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_TIMES)?;
    sockopt::set_socket_keepalive(&stream, true)
}

/// How HTTP is spoken on each connection.
fn http(limits: Limits, title_case: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(rules::FIELDS_READ)
        .title_case_headers(title_case);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(rules::HEAD_READ)
        .enable_connect_protocol();
    builder
}

/// Raises the limit on open files to what this process may have: by default many systems
/// give a quarter of what a busy listener needs. What is had then.
pub fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            limits.current
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
