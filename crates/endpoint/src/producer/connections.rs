//! Connections to an upstream, made before a request is begun: so that one that cannot be
//! reached has surely seen none of it, and one that begins waits for nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use armour_api::RetryPolicy;
use armour_listener::rules;
use axum::body::Body;
use http::{Request, Response, Uri, Version};
use hyper::client::conn::http1;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::connect::{Connection as _, HttpConnector},
    rt::TokioIo,
};
use parking_lot::Mutex;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::io::InspectReader;
use tower::ServiceExt;

use super::{
    clock::BeginBy,
    replay,
    streams::{self, Stream, Streams},
};
use crate::wire::{
    http_client::{HttpVersion, Trust},
    interims::Interims,
};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(15);
/// How many idle ones are kept.
const MAX_IDLE: usize = 64;
/// How long a connection may take to be made, its TLS and the server's first word included.
const CONNECT: Duration = Duration::from_secs(10);
/// How much a server of HTTP/2 may send before it is read, on a stream and on a connection.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 5 * 1024 * 1024;
/// How often it is looked for that word.
const SETTINGS_POLL: Duration = Duration::from_millis(1);

/// Connections to one server.
pub struct Connections {
    connector: HttpsConnector<HttpConnector>,
    version: HttpVersion,
    uri: Uri,
    /// Field names in title case to HTTP/1.1.
    title_case: bool,
    idle: Mutex<Vec<(Single, Instant)>>,
    streams: Streams,
    /// Held while a connection for many requests is made: those that wait for it may share it.
    connecting: AsyncMutex<()>,
}

/// A connection for one request at a time.
pub struct Single {
    sender: http1::SendRequest<Body>,
    /// How many bytes the server has sent on it.
    heard: Arc<AtomicU64>,
}

impl Single {
    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

/// A connection that takes a request at once.
pub enum Connection {
    /// For one request at a time; whether it has had others.
    Http1(Single, bool),
    /// For many, of which one is set aside.
    Http2(Stream),
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// It was not sent in its time, and never will be.
    Late,
    /// Its sender broke it off.
    Caller,
    /// The server's response has more fields than are read.
    TooLarge,
    /// The server broke off; whether it has seen the request is unknown.
    Broken(anyhow::Error),
}

impl From<hyper::Error> for Unanswered {
    fn from(error: hyper::Error) -> Self {
        match error {
            error if error.is_parse_too_large() => Self::TooLarge,
            // A body that breaks is its sender's doing.
            error if error.is_user() => Self::Caller,
            error => Self::Broken(error.into()),
        }
    }
}

impl From<h2::Error> for Unanswered {
    fn from(error: h2::Error) -> Self {
        // It is reset from here if its body breaks.
        match error.is_reset() && !error.is_remote() && !error.is_library() {
            true => Self::Caller,
            false => Self::Broken(error.into()),
        }
    }
}

impl Connection {
    /// Which version it speaks.
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether WebSockets can be opened on it.
    pub fn takes_websockets(&self) -> bool {
        match self {
            Self::Http1(..) => true,
            Self::Http2(stream) => stream.takes_websockets(),
        }
    }
}

impl Connections {
    /// None yet.
    pub fn new(trust: &Trust, version: HttpVersion, uri: Uri, title_case: bool) -> Arc<Self> {
        Arc::new(Self {
            connector: trust.connector(version),
            version,
            uri,
            title_case,
            idle: Mutex::default(),
            streams: Streams::default(),
            connecting: AsyncMutex::default(),
        })
    }

    /// One that is open and takes a request at once, else a new one.
    ///
    /// # Errors
    /// If the server is out of reach.
    pub async fn get(&self) -> anyhow::Result<Connection> {
        if let Some(stream) = self.streams.take() {
            return Ok(Connection::Http2(stream));
        }
        if let Some(kept) = self.kept() {
            return Ok(Connection::Http1(kept, true));
        }
        if self.version != HttpVersion::Http2 && !self.streams.are_known() {
            return self.connect().await;
        }
        let _one = self.connecting.lock().await;
        match self.streams.take() {
            Some(stream) => Ok(Connection::Http2(stream)),
            None => self.connect().await,
        }
    }

    /// Sends a request. Where the server had closed a kept connection, it goes over a new one,
    /// in its time: one that was not begun to be sent, or that may run twice by its method and
    /// its pair's policy.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn send(
        self: &Arc<Self>,
        connection: Connection,
        request: Request<Body>,
        begin_by: BeginBy,
        retry: RetryPolicy,
        interims: Interims,
    ) -> Result<Response<Body>, Unanswered> {
        match connection {
            Connection::Http1(connection, kept) => {
                let retry = kept.then_some(retry);
                let sent = self.send_http1(connection, request, begin_by, retry, &interims);
                sent.await
            }
            Connection::Http2(stream) => Ok(stream.send(request, &interims).await?),
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        mut connection: Single,
        mut request: Request<Body>,
        begin_by: BeginBy,
        retry: Option<RetryPolicy>,
        interims: &Interims,
    ) -> Result<Response<Body>, Unanswered> {
        let target = request.uri().path_and_query().cloned();
        *request.version_mut() = Version::HTTP_11;
        // Servers want the path alone.
        *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
        let mut again = match retry {
            Some(retry) => replay::copy(&mut request, retry).await,
            None => None,
        };
        for request in again.iter_mut().chain([&mut request]) {
            let interims = interims.clone();
            hyper::ext::on_informational(request, move |interim| {
                interims.put(interim.status(), interim.headers());
            });
        }
        let heard = connection.heard();
        let response = match connection.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let unsent = error.take_message();
                let error = error.into_error();
                // The API has seen the request if it has begun to answer.
                let unheard = connection.heard() == heard;
                let again = again.filter(|_| unheard && replay::was_closed(&error));
                let Some(unsent) = unsent.or(again) else {
                    return Err(error.into());
                };
                let fresh = tokio::select! {
                    biased;
                    () = begin_by.past() => return Err(Unanswered::Late),
                    fresh = self.connect() => fresh,
                };
                let Ok(Connection::Http1(fresh, _)) = fresh else {
                    return Err(error.into());
                };
                connection = fresh;
                if begin_by.is_past() {
                    return Err(Unanswered::Late);
                }
                connection.sender.send_request(unsent).await?
            }
        };
        let connections = self.clone();
        tokio::spawn(async move {
            // Once the response has been read.
            if connection.sender.ready().await.is_ok() {
                connections.keep(connection);
            }
        });
        Ok(response.map(Body::new))
    }

    fn kept(&self) -> Option<Single> {
        let mut idle = self.idle.lock();
        while let Some((kept, since)) = idle.pop() {
            if kept.sender.is_ready() && since.elapsed() < IDLE {
                return Some(kept);
            }
        }
        None
    }

    fn keep(&self, connection: Single) {
        let mut idle = self.idle.lock();
        idle.retain(|(kept, since)| !kept.sender.is_closed() && since.elapsed() < IDLE);
        if idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let connecting = tokio::time::timeout(CONNECT, self.connect_in_time());
        connecting.await.context("no connection in time")?
    }

    async fn connect_in_time(&self) -> anyhow::Result<Connection> {
        let connector = self.connector.clone();
        let io = connector.oneshot(self.uri.clone()).await;
        let io = io.map_err(|error| anyhow::anyhow!(error))?;
        if self.version == HttpVersion::Http2 || io.connected().is_negotiated_h2() {
            let mut builder = h2::client::Builder::new();
            builder
                // Until the server has told how many it takes.
                .initial_max_send_streams(0)
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(rules::HEAD_READ)
                .enable_push(false);
            let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the upstream broke");
                }
            });
            while sender.current_max_send_streams() == 0 {
                anyhow::ensure!(!streams::is_closed(&sender), "it was closed at once");
                tokio::time::sleep(SETTINGS_POLL).await;
            }
            let stream = self.streams.add(sender);
            return stream.map(Connection::Http2).context("it takes no request");
        }
        let mut builder = http1::Builder::new();
        builder
            .max_headers(rules::FIELDS_READ)
            .title_case_headers(self.title_case);
        let heard = Arc::<AtomicU64>::default();
        let count = heard.clone();
        let io = InspectReader::new(TokioIo::new(io), move |bytes: &[u8]| {
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection.with_upgrades());
        sender.ready().await?;
        Ok(Connection::Http1(Single { sender, heard }, false))
    }
}

#[cfg(test)]
mod tests;
