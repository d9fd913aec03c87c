//! Serves HTTP as `axum::serve` does, and holds off clients that only want to be a
//! burden: those that connect and say nothing, that send a head byte by byte
//! ("Slowloris"), or that open connections without end. Bodies are their handlers' care.

#![forbid(unsafe_code)]

mod bind;
mod connection_tracker;
mod half_close;
mod handler;
pub mod http2;
mod interim;
mod interim_io;
mod preface;
pub mod rules;
pub mod shutdown;
mod tls;

use std::{convert::Infallible, io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use futures::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::{
    net::sockopt,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    bind::{BACKLOG, bind},
    connection_tracker::UnderWay,
    interim::{Interim, expects_to_continue},
    tls::{Tls, TlsError, TlsOptions},
};

use self::{
    connection_tracker::{ConnectionTracker, TrackedConnection, WARN_EVERY},
    half_close::HalfClose,
    handler::Handler,
    interim::Answering,
    interim_io::InterimIo,
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

impl Limits {
    /// No more connections than can be open with so many files, if that is known, of which the
    /// rest of the process needs `others`, or half if they are fewer: whoever has no file for a
    /// connection has none for its database or its logs either.
    #[must_use]
    pub fn within_files(self, files: Option<u64>, others: u64) -> Self {
        let left = files.map_or(u64::MAX, |files| files - others.min(files / 2));
        let connections = self
            .connections
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        Self {
            connections,
            ..self
        }
    }
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

/// TCP: when a peer that says nothing is asked whether it is there, how often then, and how
/// many times: one that has vanished without a word holds what it has for no longer.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMES: u32 = 3;
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
    let http = Http1::new(limits, title_case);
    let tracker = Arc::new(ConnectionTracker::default());
    let mut warned: Option<Instant> = None;
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
                let connection = Arc::new(tracker.enter());
                let router = router.clone();
                let (stop, tls, http) = (stop.clone(), tls.clone(), http.clone());
                tokio::spawn(async move {
                    match tls {
                        None => {
                            let known = Arc::clone(&**connection);
                            let stream = HalfClose::new(stream, known, reset);
                            let stream = (stream, Agreed::Nothing);
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
                                    let known = Arc::clone(&**connection);
                                    let agreed = Agreed::by(stream.get_ref().1.alpn_protocol());
                                    let stream =
                                        HalfClose::new(stream, known, |tls| reset(tls.get_ref().0));
                                    let stream = (stream, agreed);
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
                match warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
                    true => {
                        warned = Some(Instant::now());
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    false => tracing::debug!(%error, "cannot accept a connection"),
                }
                tracker.evict_the_quietest();
                tokio::time::sleep(RESPITE).await;
            }
        }
    }
    drop(listener);
    tracker.left().await;
    Ok(())
}

/// Which version of HTTP was agreed on under TLS (RFC 7301): another one is not spoken then.
#[derive(Clone, Copy)]
enum Agreed {
    Http1,
    Http2,
    /// The client tells by how it begins.
    Nothing,
}

impl Agreed {
    fn by(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(b"h2") => Self::Http2,
            Some(b"http/1.1") => Self::Http1,
            _ => Self::Nothing,
        }
    }
}

/// One connection, to its end.
async fn converse(
    (stream, agreed): (
        HalfClose<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
        Agreed,
    ),
    peer: SocketAddr,
    router: Router,
    http: Http1,
    limits: Limits,
    connection: Arc<TrackedConnection>,
    stop: CancellationToken,
) {
    let handler = Handler::new(router, peer, connection.clone());
    let served = async {
        match agreed {
            Agreed::Http2 => serve_http2(stream, handler, stop).await,
            Agreed::Http1 => serve_http1(stream, handler, http, stop).await,
            Agreed::Nothing => {
                let read = tokio::select! {
                    read = preface::read(stream) => read,
                    () = stop.cancelled() => return,
                };
                match read {
                    Ok((true, stream)) => serve_http2(stream, handler, stop).await,
                    Ok((false, stream)) => serve_http1(stream, handler, http, stop).await,
                    Err(error) => tracing::trace!(%error, "a connection broke"),
                }
            }
        }
    };
    tokio::select! {
        () = served => {}
        () = connection.evicted() => {}
        () = connection.too_quiet(limits.head, limits.idle) => {}
    }
}

/// One connection of HTTP/2, to its end.
async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<Handler>,
    stop: CancellationToken,
) {
    if let Err(error) = http2::serve(stream, handler, stop).await {
        tracing::trace!(%error, "a connection broke");
    }
}

/// One connection of HTTP/1.1, to its end.
async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: Arc<Handler>,
    http: Http1,
    stop: CancellationToken,
) {
    let (stream, current) = InterimIo::new(stream, http.title_case);
    let service = service_fn(move |request: Request<Incoming>| {
        let (interim, answer) = handler.answer(request.map(Body::new));
        *current.lock() = Some(interim.clone());
        Answering::new(answer, interim).map(Ok::<_, Infallible>)
    });
    let served = http.builder.serve_connection(TokioIo::new(stream), service);
    let served = served.with_upgrades();
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection broke");
    }
}

/// Has the client see that a connection was cut, however it is closed.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

fn keep_alive(stream: impl AsFd) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_AGAIN)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_TIMES)?;
    sockopt::set_socket_keepalive(&stream, true)
}

/// How HTTP/1.1 is spoken on each connection.
#[derive(Clone)]
struct Http1 {
    builder: http1::Builder,
    title_case: bool,
}

impl Http1 {
    fn new(limits: Limits, title_case: bool) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(rules::FIELDS_READ)
            .title_case_headers(title_case);
        Self {
            builder,
            title_case,
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn connections_are_no_more_than_there_are_files_for() {
        let within = |files| Limits::default().within_files(files, 500).connections;
        let found = [Some(100_000), None, Some(1024), Some(64)].map(within);
        assert_eq!(found, [4096, 4096, 524, 32]);
    }

    /// h2spec's http2/3.5/2, where the client has agreed on HTTP/2.
    #[tokio::test]
    async fn what_is_no_preface_is_not_answered_in_http_1_where_http_2_was_agreed() {
        let connection = Arc::new(Arc::new(ConnectionTracker::default()).enter());
        let (mut client, stream) = tokio::io::duplex(4096);
        let stream = HalfClose::new(stream, Arc::clone(&**connection), |_| {});
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let (limits, stop) = (Limits::default(), CancellationToken::new());
        let http = Http1::new(limits, false);
        tokio::spawn(converse(
            (stream, Agreed::Http2),
            peer,
            Router::new(),
            http,
            limits,
            connection,
            stop,
        ));
        let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1"), "{answer:?}");
    }
}
