//! What serves the requests that were protected: a server, or a service in this process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use armour_api::RetryPolicy;
use armour_protocol::v2::mode::Reason;
use armour_telemetry::trace;
use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use tokio::time::Instant;
use tower::{ServiceExt, util::BoxCloneSyncService};
use tracing::{Instrument, Span, field};

use super::{
    clock::BeginBy,
    connections::{Connection, Connections, Unanswered},
    forwarding,
    handshake::Handshake,
    plain::{self, Unprotected},
    turn::Turn,
    upstream_check::{Checked, UpstreamCheck},
};
use crate::{
    control_plane::session::Session,
    metrics::METRICS,
    wire::{
        http_client::{HttpVersion, Trust},
        interims::Interims,
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
    /// Nowhere: they are served here, and answered within this time.
    Here(Inner, Duration),
}

/// An upstream that can be reached: a request may begin.
pub enum Connected {
    /// By this connection.
    Server(Arc<Server>, Connection),
    /// Here.
    Here(Inner, Duration),
}

/// How a request is served.
pub struct Terms {
    /// Whose turn it is: for how long the API takes none of what is there is bounded.
    pub turn: Turn,
    /// It is begun by then or never.
    pub begin_by: BeginBy,
    /// When it may be sent again.
    pub retry: RetryPolicy,
    /// Where informational responses go.
    pub interims: Interims,
}

/// A server and how it is called.
pub struct Server {
    connections: Arc<Connections>,
    uri: Uri,
    base: String,
    host: HeaderValue,
    /// From the request's last byte to the response's head.
    timeout: Duration,
    /// How it is checked, if it is.
    pub(super) checked: Option<Checked>,
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
        Ok(Self {
            host: HeaderValue::from_str(authority).context("--upstream")?,
            connections: Connections::new(
                trust,
                version(manner),
                uri.clone(),
                manner.title_case_fields,
            ),
            uri,
            base,
            timeout: manner.timeout,
            checked: None,
        })
    }

    /// The same, checked now and then.
    #[must_use]
    pub fn checked(self, how: UpstreamCheck, manner: Manner, trust: &Trust) -> Self {
        let client = trust.client(version(manner));
        Self {
            checked: Some(Checked { how, client }),
            ..self
        }
    }

    /// Where it listens: host and port.
    pub(super) fn address(&self) -> (String, u16) {
        let host = self.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let https = self.uri.scheme() == Some(&Scheme::HTTPS);
        let port = self.uri.port_u16();
        (
            host.to_owned(),
            port.unwrap_or(if https { 443 } else { 80 }),
        )
    }
}

fn version(manner: Manner) -> HttpVersion {
    match manner.http2 {
        true => HttpVersion::Http2,
        false => HttpVersion::Negotiated,
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
            Self::Here(service, within) => Connected::Here(service.clone(), *within),
        })
    }
}

impl Connected {
    /// Has a request served, once.
    ///
    /// # Errors
    /// The reason why there is no answer; how far the request ran is unknown.
    pub async fn serve(
        self,
        session: &Session,
        mut request: Request<Body>,
        terms: Terms,
    ) -> Result<Response<Body>, Reason> {
        let length = request.body().size_hint().exact();
        if !forwarding::is_length_true(request.headers(), length) {
            let detail = "the request's content is not as long as it says";
            return Ok(refuse(ProblemType::BinaryHttp, detail));
        }
        let is_plain = request.extensions().get::<Unprotected>().is_some();
        forwarding::prepare(request.headers_mut());
        plain::mark(request.headers_mut(), is_plain);
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
                    .call(connection, session, request, terms)
                    .instrument(span.clone())
                    .await?
            }
            Self::Here(..) if websocket::is_carried(request.headers()) => {
                refuse(ProblemType::Upgrade, "WebSocket is passed to servers alone")
            }
            Self::Here(service, within) => {
                here(service, request, within, terms)
                    .instrument(span.clone())
                    .await?
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

/// Has a request served in this process.
async fn here(
    service: Inner,
    mut request: Request<Body>,
    within: Duration,
    mut terms: Terms,
) -> Result<Response<Body>, Reason> {
    if request.headers_mut().remove(header::EXPECT).is_some() {
        // There is nobody else to say so: whoever serves it may read all of it.
        let go_on = StatusCode::CONTINUE;
        terms.interims.put(go_on, &HeaderMap::new());
    }
    tokio::select! {
        Ok(response) = service.oneshot(request) => Ok(response),
        () = terms.turn.over(within) => {
            tracing::warn!("the service did not answer in time");
            Err(Reason::TIMEOUT)
        }
    }
}

impl Server {
    /// Where a request's target is on this server. `*` is of the server as a whole, and below
    /// no path (RFC 9110, section 7.1).
    pub(super) fn locate(&self, target: &Uri) -> Option<Uri> {
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
        mut terms: Terms,
    ) -> Result<Response<Body>, Reason> {
        let (mut parts, mut body) = request.into_parts();
        let is_handshake = websocket::is_carried(&parts.headers);
        if is_handshake && !connection.takes_websockets() {
            return Ok(refuse(
                ProblemType::Upgrade,
                "the API speaks HTTP/2 without extended CONNECT (RFC 8441), by which WebSocket is asked for",
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
            let asked = Handshake::new(&mut parts, &mut body, connection.is_http2());
            handshake = Some(asked);
            // All of it that the API needs for its answer.
            terms.turn = Turn::of_the_api();
        }
        trace::inject(&Span::current(), &mut parts.headers);
        parts.uri = uri;
        let request = Request::from_parts(parts, body);
        let Terms {
            mut turn,
            begin_by,
            retry,
            interims,
        } = terms;
        let sent = self
            .connections
            .send(connection, request, begin_by, retry, interims);
        let answer = tokio::select! {
            answer = sent => answer,
            () = turn.over(self.timeout) => {
                tracing::warn!("the upstream did not answer in time");
                return Err(Reason::TIMEOUT);
            }
        };
        match answer {
            Ok(response) => self.answered(session, response, handshake),
            Err(unanswered) => self.unanswered(session, unanswered),
        }
    }

    fn answered(
        &self,
        session: &Session,
        response: Response<Body>,
        handshake: Option<Handshake>,
    ) -> Result<Response<Body>, Reason> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let agrees = match &handshake {
            Some(handshake) => handshake.is_agreed_by(response.status()),
            None => switches,
        };
        if !agrees && !switches {
            return Ok(response);
        }
        let agreed = handshake
            .filter(|_| agrees)
            .and_then(|handshake| handshake.agreed(response));
        agreed.ok_or_else(|| {
            let error = "the upstream agreed to an upgrade that was not asked for";
            tracing::warn!("{error}");
            session.note(error.to_owned());
            Reason::API
        })
    }

    fn unanswered(
        &self,
        session: &Session,
        unanswered: Unanswered,
    ) -> Result<Response<Body>, Reason> {
        match unanswered {
            Unanswered::Late => {
                tracing::warn!("the upstream could not be reached again in the call's time");
                Err(Reason::LATE)
            }
            Unanswered::TooLarge => {
                let (problem, detail) = forwarding::FIELDS_TOO_LARGE;
                Ok(refuse(problem, detail))
            }
            Unanswered::Caller => {
                tracing::debug!("a request was broken off by its caller");
                Err(Reason::CALLER)
            }
            Unanswered::Broken(error) => {
                let error = format!("the upstream failed: {error:#}");
                tracing::warn!("{error}");
                session.note(error);
                Err(Reason::API)
            }
        }
    }
}

#[cfg(test)]
mod tests;
