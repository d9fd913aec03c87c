//! As whom calls are made.

use std::{sync::Arc, time::Duration};

use armour_ambient::Ambient;
use armour_api::{AccessToken, TokenRequest};
use armour_dpop::{Claims, Prover};
use reqwest::{Method, RequestBuilder, Response};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use crate::{
    Result,
    transport::{CALL_TIMEOUT, Transport, success},
};

/// What a client shows of itself.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// A token; empty where none is asked for.
    Bearer(String),
    /// An endpoint's key.
    Endpoint(Arc<EndpointCredentials>),
}

/// An endpoint, the holder of its key, and the access token of the moment.
pub(crate) struct EndpointCredentials {
    tenant: Uuid,
    endpoint: Uuid,
    prover: Box<dyn Prover>,
    ambient: Ambient,
    token: Mutex<Option<(Instant, String)>>,
    /// What the control plane wants to see in the next proof; so its time counts, and
    /// not this machine's.
    nonce: parking_lot::Mutex<Option<String>>,
}

impl Credentials {
    /// Sends a request that `complete` makes whole, with credentials.
    pub async fn send(
        &self,
        transport: &Transport,
        method: Method,
        path: &str,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let url = transport.url(path);
        let request = || complete(transport.request(method.clone(), &url));
        match self {
            Self::Bearer(token) if token.is_empty() => {
                success(transport.send(request()).await?).await
            }
            Self::Bearer(token) => {
                success(transport.send(request().bearer_auth(token)).await?).await
            }
            Self::Endpoint(endpoint) => endpoint.send(transport, &method, &url, request).await,
        }
    }
}

impl EndpointCredentials {
    pub fn new(
        tenant: Uuid,
        endpoint: Uuid,
        prover: impl Prover + 'static,
        ambient: Ambient,
    ) -> Self {
        Self {
            tenant,
            endpoint,
            prover: Box::new(prover),
            ambient,
            token: Mutex::new(None),
            nonce: parking_lot::Mutex::default(),
        }
    }

    /// Has the next request ask for an access token of its own.
    pub async fn forget_token(&self) {
        self.token.lock().await.take();
    }

    /// Sends a request with an access token and a proof. The proof may be refused for want
    /// of a fresh nonce: then once more with that. Or the access token (its key was
    /// retired, say): then once more with a new one.
    async fn send(
        &self,
        transport: &Transport,
        method: &Method,
        url: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response> {
        let (mut may_renew, mut may_repeat) = (true, true);
        loop {
            let token = self.access_token(transport).await?;
            let with_token = request().header("authorization", format!("DPoP {token}"));
            let claims = self.claims(method.as_str(), url, Some(&token));
            let refusal = match self.send_proven(transport, with_token, claims).await {
                Err(error) if error.is_unauthenticated() => error,
                done => return done,
            };
            if refusal.is("use-dpop-nonce") && may_repeat {
                may_repeat = false;
            } else if may_renew {
                may_renew = false;
                self.token.lock().await.take();
            } else {
                return Err(refusal);
            }
        }
    }

    async fn access_token(&self, transport: &Transport) -> Result<String> {
        let mut kept = self.token.lock().await;
        if let Some((until, token)) = &*kept
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let answer = match self.ask_for_token(transport).await {
            Err(error) if error.is("use-dpop-nonce") => self.ask_for_token(transport).await?,
            done => done?,
        };
        let given: AccessToken = answer.json().await?;
        // Half its life, so that clocks and slow calls do not matter.
        let until = Instant::now() + Duration::from_secs((given.expires_in / 2).into());
        *kept = Some((until, given.access_token.clone()));
        Ok(given.access_token)
    }

    async fn ask_for_token(&self, transport: &Transport) -> Result<Response> {
        let url = transport.url("/v1/endpoint/token");
        let who = TokenRequest {
            tenant_id: self.tenant,
            endpoint_id: self.endpoint,
        };
        let request = transport.request(Method::POST, &url).json(&who);
        let claims = self.claims("POST", &url, None);
        let request = request.timeout(CALL_TIMEOUT);
        self.send_proven(transport, request, claims).await
    }

    /// Sends a request with a proof of these claims, and keeps the nonce of the answer.
    async fn send_proven(
        &self,
        transport: &Transport,
        request: RequestBuilder,
        claims: Claims,
    ) -> Result<Response> {
        let proof = self.prover.prove(claims).await?;
        let answer = transport.send(request.header("dpop", proof)).await?;
        let nonce = answer.headers().get("dpop-nonce");
        if let Some(nonce) = nonce.and_then(|value| value.to_str().ok()) {
            *self.nonce.lock() = Some(nonce.to_owned());
        }
        success(answer).await
    }

    fn claims(&self, method: &str, url: &str, token: Option<&str>) -> Claims {
        Claims::new(&self.ambient, method, url, token, self.nonce.lock().clone())
    }
}
