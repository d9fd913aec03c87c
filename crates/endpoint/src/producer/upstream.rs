//! What serves the requests that were protected: a server, or a service in this process.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use armour_telemetry::trace;
use axum::body::Body;
use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, util::BoxCloneSyncService};
use tracing::{Instrument, Span, field};

use crate::{
    control_plane::session::Session,
    metrics::METRICS,
    wire::{
        http_client::{HttpClient, HttpVersion, Trust},
        problem::refuse,
        problem_type::ProblemType,
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

/// A server and how it is called.
pub struct Server {
    http: HttpClient,
    base: String,
    host: HeaderValue,
    version: HttpVersion,
    /// From the request's last byte to the response's head.
    timeout: Duration,
}

impl Server {
    /// The server at `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If that is no address.
    pub fn new(base: &str, http2: bool, timeout: Duration, trust: &Trust) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().context("--upstream")?;
        let scheme = uri.scheme_str().unwrap_or_default();
        ensure!(
            scheme == "http" || scheme == "https",
            "--upstream must be an http:// or https:// address"
        );
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        let version = match http2 {
            true => HttpVersion::Http2,
            false => HttpVersion::Negotiated,
        };
        Ok(Self {
            http: trust.client(version),
            host: HeaderValue::from_str(authority).context("--upstream")?,
            base,
            version,
            timeout,
        })
    }
}

impl Upstream {
    /// Has a request served, once. `sent` is cancelled once all of it is known.
    pub async fn serve(
        &self,
        session: &Session,
        request: Request<Body>,
        sent: CancellationToken,
    ) -> Response<Body> {
        let span = tracing::info_span!(
            "armour.upstream",
            otel.kind = "client",
            http.request.method = %request.method(),
            http.response.status_code = field::Empty,
        );
        let since = Instant::now();
        let response = match self {
            Self::Server(server) => {
                server
                    .call(session, request, sent)
                    .instrument(span.clone())
                    .await
            }
            Self::Here(service) => {
                let Ok(response) = service
                    .clone()
                    .oneshot(request)
                    .instrument(span.clone())
                    .await;
                response
            }
        };
        METRICS.upstream(since.elapsed());
        span.record("http.response.status_code", response.status().as_u16());
        response
    }
}

impl Server {
    async fn call(
        &self,
        session: &Session,
        request: Request<Body>,
        sent: CancellationToken,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let Ok(uri) = format!("{}{target}", self.base).parse::<Uri>() else {
            return refuse(ProblemType::Target, "malformed target");
        };
        if let Some(asked) = parts.headers.insert(header::HOST, self.host.clone()) {
            parts.headers.insert("x-forwarded-host", asked);
        }
        if self.version == HttpVersion::Http2 {
            parts.headers.remove(header::HOST);
        } else if parts.headers.contains_key(header::TE) && uri.scheme() == Some(&Scheme::HTTP) {
            // In HTTP/1.1, which this is for certain, it has to be said that it is of this
            // connection (RFC 9110, section 10.1.4); in HTTP/2 it would be taken away by that.
            let connection = HeaderValue::from_static("te");
            parts.headers.insert(header::CONNECTION, connection);
        }
        trace::inject(&Span::current(), &mut parts.headers);
        parts.uri = uri;
        let answer = tokio::select! {
            answer = self.http.request(Request::from_parts(parts, body)) => Some(answer),
            () = async {
                sent.cancelled().await;
                tokio::time::sleep(self.timeout).await;
            } => None,
        };
        match answer {
            Some(Ok(response)) => response.map(Body::new),
            Some(Err(error)) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(error, "the upstream failed");
                session.note(format!("the upstream failed: {error}"));
                refuse(
                    ProblemType::Upstream,
                    "the upstream could not be reached or broke off",
                )
            }
            None => refuse(
                ProblemType::UpstreamTimeout,
                "the upstream did not answer in time",
            ),
        }
    }
}
