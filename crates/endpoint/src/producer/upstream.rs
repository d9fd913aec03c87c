//! What serves the requests that were protected: a server, or a service in this process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use armour_protocol::v2::mode::Reason;
use armour_telemetry::trace;
use axum::body::Body;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, util::BoxCloneSyncService};
use tracing::{Instrument, Span, field};

use super::{
    clock::BeginBy,
    connections::{Connection, Connections, Unanswered},
    forwarding,
    handshake::Handshake,
};
use crate::{
    control_plane::session::Session,
    metrics::METRICS,
    wire::{
        http_client::{HttpVersion, Trust},
        problem::refuse,
        problem_type::ProblemType,
        websocket,
    },
};

/// A service in this process.
pub type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Where requests go.
#[derive(Clone)]
pub enum Upstream {
    /// To a server.
    Server(Arc<Server>),
    /// Nowhere: they are served here.
    Here(Inner),
}

/// An upstream that can be reached: a request may begin.
pub enum Connected {
    /// By this connection.
    Server(Arc<Server>, Connection),
    /// Here.
    Here(Inner),
}

/// A server and how it is called.
pub struct Server {
    connections: Arc<Connections>,
    uri: Uri,
    base: String,
    host: HeaderValue,
    /// From the request's last byte to the response's head.
    timeout: Duration,
}

/// How a server is called.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// HTTP/2 from the first byte.
    pub http2: bool,
    /// Field names in title case to HTTP/1.1.
    pub title_case_fields: bool,
    /// From the request's last byte to the response's head.
    pub timeout: Duration,
}

impl Server {
    /// The server at `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If that is no address.
    pub fn new(base: &str, manner: Manner, trust: &Trust) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().context("--upstream")?;
        let scheme = uri.scheme_str().unwrap_or_default();
        ensure!(
            scheme == "http" || scheme == "https",
            "--upstream must be an http:// or https:// address"
        );
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        let version = match manner.http2 {
            true => HttpVersion::Http2,
            false => HttpVersion::Negotiated,
        };
        Ok(Self {
            host: HeaderValue::from_str(authority).context("--upstream")?,
            connections: Connections::new(trust, version, uri.clone(), manner.title_case_fields),
            uri,
            base,
            timeout: manner.timeout,
        })
    }
}

impl Upstream {
    /// Reaches the upstream, without a byte of a request.
    ///
    /// # Errors
    /// If it is out of reach.
    pub async fn connect(&self) -> anyhow::Result<Connected> {
        Ok(match self {
            Self::Server(server) => {
                let connection = server.connections.get().await?;
                Connected::Server(server.clone(), connection)
            }
            Self::Here(service) => Connected::Here(service.clone()),
        })
    }
}

impl Connected {
    /// Has a request served, once, and begun by then or never. `sent` is cancelled once all of
    /// it is known.
    ///
    /// # Errors
    /// The reason why there is no answer; how far the request ran is unknown.
    pub async fn serve(
        self,
        session: &Session,
        mut request: Request<Body>,
        sent: CancellationToken,
        begin_by: BeginBy,
    ) -> Result<Response<Body>, Reason> {
        let length = request.body().size_hint().exact();
        if !forwarding::is_length_true(request.headers(), length) {
            let detail = "the request's content is not as long as it says";
            return Ok(refuse(ProblemType::BinaryHttp, detail));
        }
        forwarding::prepare(request.headers_mut());
        let span = tracing::info_span!(
            "armour.upstream",
            otel.kind = "client",
            http.request.method = %request.method(),
            http.response.status_code = field::Empty,
        );
        let since = Instant::now();
        let response = match self {
            Self::Server(server, connection) => {
                server
                    .call(connection, session, request, sent, begin_by)
                    .instrument(span.clone())
                    .await?
            }
            Self::Here(_) if websocket::is_carried(request.headers()) => {
                refuse(ProblemType::Upgrade, "WebSocket is passed to servers alone")
            }
            Self::Here(service) => {
                let Ok(response) = service.oneshot(request).instrument(span.clone()).await;
                response
            }
        };
        METRICS.upstream(since.elapsed());
        span.record("http.response.status_code", response.status().as_u16());
        Ok(match forwarding::check(response.headers()) {
            Ok(()) => response,
            Err((problem, detail)) => refuse(problem, detail),
        })
    }
}

impl Server {
    /// Where a request's target is on this server. `*` is of the server as a whole, and below
    /// no path (RFC 9110, section 7.1).
    fn locate(&self, target: &Uri) -> Option<Uri> {
        if target.path() == "*" {
            let mut parts = self.uri.clone().into_parts();
            parts.path_and_query = Some(PathAndQuery::from_static("*"));
            return Uri::from_parts(parts).ok();
        }
        let target = target.path_and_query().map_or("/", PathAndQuery::as_str);
        format!("{}{target}", self.base).parse().ok()
    }

    async fn call(
        &self,
        connection: Connection,
        session: &Session,
        request: Request<Body>,
        mut sent: CancellationToken,
        begin_by: BeginBy,
    ) -> Result<Response<Body>, Reason> {
        let (mut parts, mut body) = request.into_parts();
        let is_handshake = websocket::is_carried(&parts.headers);
        if is_handshake && connection.is_http2() {
            return Ok(refuse(
                ProblemType::Upgrade,
                "WebSocket is passed to APIs of HTTP/1.1 alone",
            ));
        }
        let Some(uri) = self.locate(&parts.uri) else {
            return Ok(refuse(ProblemType::Target, "malformed target"));
        };
        forwarding::name_host(&mut parts.headers, self.host.clone());
        if connection.is_http2() {
            parts.headers.remove(header::HOST);
        } else if parts.headers.contains_key(header::TE) && uri.scheme() == Some(&Scheme::HTTP) {
            // In HTTP/1.1, which this is for certain, it has to be said that it is of this
            // connection (RFC 9110, section 10.1.4); in HTTP/2 it would be taken away by that.
            let value = HeaderValue::from_static("te");
            parts.headers.insert(header::CONNECTION, value);
        }
        let mut handshake = None;
        if is_handshake {
            let body = std::mem::take(&mut body);
            handshake = Some(Handshake::new(&mut parts.headers, body));
            // All of it that the API needs for its answer.
            sent = CancellationToken::new();
            sent.cancel();
        }
        trace::inject(&Span::current(), &mut parts.headers);
        parts.uri = uri;
        let request = Request::from_parts(parts, body);
        let answer = tokio::select! {
            answer = self.connections.send(connection, request, begin_by) => answer,
            () = async {
                sent.cancelled().await;
                tokio::time::sleep(self.timeout).await;
            } => {
                tracing::warn!("the upstream did not answer in time");
                return Err(Reason::TIMEOUT);
            }
        };
        let answer = match answer {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let agreed = handshake.and_then(|handshake| handshake.agreed(response));
                return agreed.ok_or_else(|| {
                    let error = "the upstream agreed to an upgrade that was not asked for";
                    tracing::warn!("{error}");
                    session.note(error.to_owned());
                    Reason::API
                });
            }
            answer => answer,
        };
        answer.or_else(|unanswered| {
            let Unanswered::Broken(error) = unanswered else {
                tracing::warn!("the upstream could not be reached again in the call's time");
                return Err(Reason::LATE);
            };
            if error.is_parse_too_large() {
                let (problem, detail) = forwarding::FIELDS_TOO_LARGE;
                return Ok(refuse(problem, detail));
            }
            // A body that breaks is its sender's doing.
            let reason = match error.is_user() {
                true => Reason::CALLER,
                false => Reason::API,
            };
            let error = format!("the upstream failed: {:#}", anyhow::Error::new(error));
            tracing::warn!("{error}");
            session.note(error);
            Err(reason)
        })
    }
}

#[cfg(test)]
mod tests;
