//! The consumer: a client whose requests go protected.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use serde::Serialize;
use thiserror::Error;
use tower::Service;
use uuid::Uuid;

use crate::{
    consumer::{
        ingress,
        open::{Opened, open},
        pair,
    },
    options::Options,
};

/// Where requests seem to go; only path and query reach the producer.
const NOWHERE: &str = "http://armour.invalid";

/// An enrolled consumer.
pub struct Consumer {
    opened: Opened,
    requests: reqwest::Client,
}

impl Consumer {
    pub(crate) async fn open(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            opened: open(options).await?,
            requests: reqwest::Client::builder().build()?,
        })
    }

    /// A client of the producer that this pair joins the consumer with. The pair may be
    /// left out if there is one alone. Several calls for a pair share its lanes.
    ///
    /// # Errors
    /// If there is no such pair.
    pub async fn client(&self, pair: Option<Uuid>) -> anyhow::Result<Client> {
        Ok(Client {
            pair: self.opened.pair(pair).await?,
            requests: self.requests.clone(),
        })
    }

    /// Reports what is still unreported, and ends.
    pub async fn drain(self) {
        self.opened.drain().await;
    }
}

/// Sends requests protected; cheap to clone. It is a [`tower::Service`] besides, to which
/// a refusal of the endpoint's own is a response too: a problem document (RFC 9457).
#[derive(Clone)]
pub struct Client {
    pair: Arc<pair::ConsumerPair>,
    requests: reqwest::Client,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub enum SendError {
    /// The request is none.
    #[error("malformed request: {0}")]
    Request(#[from] reqwest::Error),
    /// It took longer than it may.
    #[error("no response in time; the request may or may not have been served")]
    TimedOut,
}

impl Client {
    /// A `GET` of this path and query.
    pub fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// A `POST` to this path and query.
    pub fn post(&self, target: &str) -> RequestBuilder {
        self.request(Method::POST, target)
    }

    /// A `PUT` to this path and query.
    pub fn put(&self, target: &str) -> RequestBuilder {
        self.request(Method::PUT, target)
    }

    /// A `DELETE` of this path and query.
    pub fn delete(&self, target: &str) -> RequestBuilder {
        self.request(Method::DELETE, target)
    }

    /// Any request.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        let url = format!("{NOWHERE}/{}", target.trim_start_matches('/'));
        RequestBuilder {
            client: self.clone(),
            inner: self.requests.request(method, url),
            timeout: None,
        }
    }

    /// Sends a request as it is, and brings its response.
    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        ingress::serve(&self.pair, request).await
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { Ok(client.send(request).await) })
    }
}

/// A request about to be sent, as `reqwest` builds one.
pub struct RequestBuilder {
    client: Client,
    inner: reqwest::RequestBuilder,
    timeout: Option<Duration>,
}

impl RequestBuilder {
    /// With a header field.
    #[must_use]
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.inner = self.inner.header(name, value);
        self
    }

    /// With header fields.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.inner = self.inner.headers(headers);
        self
    }

    /// With more of a query.
    #[must_use]
    pub fn query(mut self, query: &(impl Serialize + ?Sized)) -> Self {
        self.inner = self.inner.query(query);
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.inner = self.inner.body(body);
        self
    }

    /// With a body in JSON.
    #[must_use]
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        self.inner = self.inner.json(body);
        self
    }

    /// Gives up after so long; until the response's head.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it protected. A refusal of the endpoint's own is a response as well.
    ///
    /// # Errors
    /// If it is no request, or took too long.
    pub async fn send(self) -> Result<reqwest::Response, SendError> {
        let request: Request<reqwest::Body> = self.inner.build()?.try_into()?;
        let sent = self.client.send(request.map(Body::new));
        let response = match self.timeout {
            None => sent.await,
            // Though nobody waits for it any more, it is concluded in the background.
            Some(within) => tokio::time::timeout(within, sent)
                .await
                .map_err(|_| SendError::TimedOut)?,
        };
        let content = |body: Body| reqwest::Body::wrap_stream(body.into_data_stream());
        Ok(response.map(content).into())
    }
}
