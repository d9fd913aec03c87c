//! The client, and calls of any kind.

use std::sync::Arc;

use armour_ambient::Ambient;
use armour_api::Event;
use armour_dpop::Prover;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Method, Response};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Result,
    credentials::{Credentials, EndpointCredentials},
    transport::{CALL_TIMEOUT, Transport},
};

/// A control plane and the credentials to call it with.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    credentials: Credentials,
}

impl Client {
    /// A client of the control plane at `base`, for example
    /// `http://127.0.0.1:7100`.
    ///
    /// # Errors
    /// If no TLS back end can be set up.
    pub fn new(base: &str, token: impl Into<String>) -> Result<Self> {
        Self::trusting(base, token, None)
    }

    /// The same, which trusts the authorities of a PEM file besides the system's.
    ///
    /// # Errors
    /// If the file's content is not PEM, or no TLS back end can be set up.
    pub fn trusting(
        base: &str,
        token: impl Into<String>,
        authorities: Option<&[u8]>,
    ) -> Result<Self> {
        Ok(Self {
            transport: Transport::new(base, authorities)?,
            credentials: Credentials::Bearer(token.into()),
        })
    }

    /// The same control plane with other credentials.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            credentials: Credentials::Bearer(token.into()),
            ..self.clone()
        }
    }

    /// The same control plane as an endpoint whose key the prover holds; time and ids
    /// of its proofs are those of `ambient`.
    #[must_use]
    pub fn as_endpoint(
        &self,
        tenant: Uuid,
        endpoint: Uuid,
        prover: impl Prover + 'static,
        ambient: Ambient,
    ) -> Self {
        let credentials = EndpointCredentials::new(tenant, endpoint, prover, ambient);
        Self {
            credentials: Credentials::Endpoint(Arc::new(credentials)),
            ..self.clone()
        }
    }

    /// Any `GET`.
    ///
    /// # Errors
    /// If refused or out of reach; so for all calls below.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.send(Method::GET, path, None::<&()>).await?;
        Ok(answer.json().await?)
    }

    /// Any `POST` with a JSON body.
    ///
    /// # Errors
    /// As above.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        Ok(answer.json().await?)
    }

    /// Any call; returns the raw answer of a success.
    ///
    /// # Errors
    /// As above.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response> {
        let complete = |request: reqwest::RequestBuilder| {
            let request = request.timeout(CALL_TIMEOUT);
            match &body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.credentials
            .send(&self.transport, method, path, complete)
            .await
    }

    /// A `GET` whose answer is read as it comes, however long it takes.
    ///
    /// # Errors
    /// As above.
    pub async fn stream(&self, path: &str) -> Result<Response> {
        self.credentials
            .send(&self.transport, Method::GET, path, |request| request)
            .await
    }

    /// Events after `last`, as they happen; `path` is `/v1/events` or
    /// `/v1/endpoint/events`. The stream ends when the connection does.
    ///
    /// # Errors
    /// As above.
    pub async fn events(
        &self,
        path: &str,
        last: Option<i64>,
    ) -> Result<impl Stream<Item = Event> + Send + use<>> {
        let response = self
            .credentials
            .send(&self.transport, Method::GET, path, |request| match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            })
            .await?;
        Ok(response
            .bytes_stream()
            .eventsource()
            .take_while(|event| std::future::ready(event.is_ok()))
            .filter_map(|event| async { serde_json::from_str(&event.ok()?.data).ok() })
            .boxed())
    }

    /// Asks for another access token with the next call: the endpoint's key is another one.
    pub async fn forget_token(&self) {
        if let Credentials::Endpoint(endpoint) = &self.credentials {
            endpoint.forget_token().await;
        }
    }

    /// A `POST` that says nothing but its path, and is answered by nothing.
    pub(crate) async fn post_empty(&self, path: &str) -> Result<()> {
        self.send(Method::POST, path, None::<&()>).await.map(drop)
    }

    /// A `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.send(Method::DELETE, path, None::<&()>).await.map(drop)
    }
}
