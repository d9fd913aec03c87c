//! Typed client of Armour's REST API.

pub mod dpop;

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use armour_api::*;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::sync::Mutex;
use uuid::Uuid;

use self::dpop::{Claims, ProofError, Prover};

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The control plane refused and says why.
    #[error("{} ({})", .0.detail, .0.r#type)]
    Problem(Box<Problem>),
    /// An answer that is no problem document.
    #[error("unexpected answer: {0}")]
    Unexpected(StatusCode),
    /// The control plane cannot be reached, or the connection broke.
    #[error("cannot reach the control plane: {0}")]
    Transport(#[from] reqwest::Error),
    /// The endpoint's key cannot be used.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A call's result.
pub type Result<T> = std::result::Result<T, ClientError>;

/// A control plane and the credentials to call it with.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    Bearer(String),
    Endpoint(Arc<EndpointCredentials>),
}

/// An endpoint, the holder of its key, and the access token of the moment.
struct EndpointCredentials {
    tenant: Uuid,
    endpoint: Uuid,
    prover: Box<dyn Prover>,
    token: Mutex<Option<(Instant, String)>>,
    /// What the control plane wants to see in the next proof; so its time counts, and
    /// not this machine's.
    nonce: std::sync::Mutex<Option<String>>,
}

impl EndpointCredentials {
    fn nonce(&self) -> Option<String> {
        let nonce = self.nonce.lock();
        nonce.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_nonce(&self, answer: &Response) {
        let given = answer.headers().get("dpop-nonce");
        if let Some(given) = given.and_then(|value| value.to_str().ok()) {
            let mut nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner);
            *nonce = Some(given.to_owned());
        }
    }
}

impl ClientError {
    /// Whether the problem is of this kind (`urn:armour:problem:<kind>`).
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Self::Problem(problem)
            if problem.r#type.strip_prefix("urn:armour:problem:") == Some(kind))
    }

    /// Whether the credentials were refused.
    fn is_unauthenticated(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == 401,
            Self::Unexpected(status) => *status == StatusCode::UNAUTHORIZED,
            Self::Transport(_) | Self::Proof(_) => false,
        }
    }

    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unexpected(status) => status.is_server_error(),
            Self::Transport(_) => true,
            Self::Proof(_) => false,
        }
    }
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
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30));
        if let Some(pem) = authorities {
            http = http.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
        }
        let http = http.build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
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

    /// The same control plane as an endpoint whose key the prover holds.
    #[must_use]
    pub fn as_endpoint(&self, tenant: Uuid, endpoint: Uuid, prover: impl Prover + 'static) -> Self {
        Self {
            credentials: Credentials::Endpoint(Arc::new(EndpointCredentials {
                tenant,
                endpoint,
                prover: Box::new(prover),
                token: Mutex::new(None),
                nonce: std::sync::Mutex::default(),
            })),
            ..self.clone()
        }
    }

    /// Whether the control plane can serve.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn ready(&self) -> Result<Health> {
        self.get("/v1/health/ready").await
    }

    /// Creates a tenant.
    ///
    /// # Errors
    /// If refused or out of reach; so for all calls below.
    pub async fn create_tenant(&self, name: &str) -> Result<CreatedTenant> {
        self.post("/v1/tenants", &NewTenant { name: name.into() })
            .await
    }

    /// Registers a producer or consumer.
    ///
    /// # Errors
    /// As above.
    pub async fn create_party(&self, role: Role, name: &str) -> Result<Party> {
        self.post(
            &format!("/v1/{}s", role.as_str()),
            &NewNamed { name: name.into() },
        )
        .await
    }

    /// Pairs a consumer with a producer.
    ///
    /// # Errors
    /// As above.
    pub async fn create_pair(&self, new: &NewPair) -> Result<Pair> {
        self.post("/v1/pairs", new).await
    }

    /// Creates an enrolment token.
    ///
    /// # Errors
    /// As above.
    pub async fn create_enrolment_token(&self, role: Role, party: Uuid) -> Result<CreatedSecret> {
        let new = NewEnrolmentToken {
            role,
            party_id: party,
            expires_in_s: None,
        };
        self.post("/v1/enrolment-tokens", &new).await
    }

    /// Enrols; the client's token is the enrolment token.
    ///
    /// # Errors
    /// As above.
    pub async fn enrol(&self, enrol: &Enrol) -> Result<Endpoint> {
        self.post("/v1/enrol", enrol).await
    }

    /// Enrols in a tenant by a workload's identity; the client's token is the
    /// workload's.
    ///
    /// # Errors
    /// As above.
    pub async fn enrol_workload(&self, tenant: Uuid, enrol: &Enrol) -> Result<Endpoint> {
        self.post(&format!("/v1/enrol/workload/{tenant}"), enrol)
            .await
    }

    /// The audit log's latest head, and how it follows from the one of a size.
    ///
    /// # Errors
    /// As above.
    pub async fn log_head(&self, since: Option<u64>) -> Result<LogHead> {
        let path = match since {
            Some(size) => format!("/v1/endpoint/log?since={size}"),
            None => "/v1/endpoint/log".to_owned(),
        };
        self.get(&path).await
    }

    /// How the log goes on after a head that it no longer holds.
    ///
    /// # Errors
    /// `nothing-lost` if it does hold it.
    pub async fn log_restart(&self, head: &SignedHead) -> Result<LogRestart> {
        let lost = LostHead { head: head.clone() };
        self.post("/v1/endpoint/log/restart", &lost).await
    }

    /// The calling endpoint and its pairs.
    ///
    /// # Errors
    /// As above.
    pub async fn endpoint(&self) -> Result<EndpointSelf> {
        self.get("/v1/endpoint").await
    }

    /// Draws a bundle; with the size of the pinned head also what the audit log
    /// says of the endpoints' keys.
    ///
    /// # Errors
    /// As above.
    pub async fn draw_bundle(&self, pair: Uuid, pinned: Option<u64>) -> Result<BundleGrant> {
        let ask = DrawBundle {
            pair_id: pair,
            pinned,
            number: None,
        };
        self.draw(&ask).await
    }

    /// Draws a bundle, numbered so that it does not supersede a later one.
    ///
    /// # Errors
    /// As above; `draw-over` if a later one was drawn.
    pub async fn draw(&self, ask: &DrawBundle) -> Result<BundleGrant> {
        self.post("/v1/endpoint/bundles", ask).await
    }

    /// Says that the bundle was superseded by a draw that is not the consumer's own.
    ///
    /// # Errors
    /// As above.
    pub async fn disown_successor(&self, bundle: Uuid) -> Result<()> {
        let path = format!("/v1/endpoint/bundles/{bundle}/disown-successor");
        self.send(Method::POST, &path, None::<&()>).await?;
        Ok(())
    }

    /// A bundle of the calling endpoint; `pinned` as above.
    ///
    /// # Errors
    /// As above.
    pub async fn bundle_grant(&self, id: Uuid, pinned: Option<u64>) -> Result<BundleGrant> {
        let path = match pinned {
            Some(size) => format!("/v1/endpoint/bundles/{id}?pinned={size}"),
            None => format!("/v1/endpoint/bundles/{id}"),
        };
        self.get(&path).await
    }

    /// Says that the endpoint holds the bundle's secret.
    ///
    /// # Errors
    /// As above.
    pub async fn acknowledge_bundle(&self, id: Uuid) -> Result<()> {
        let path = format!("/v1/endpoint/bundles/{id}/acknowledge");
        self.send(Method::POST, &path, None::<&()>).await?;
        Ok(())
    }

    /// Reports tickets.
    ///
    /// # Errors
    /// As above.
    pub async fn report(&self, reports: Vec<TicketReport>) -> Result<Vec<ReportVerdict>> {
        let answer: ReportedTickets = self
            .post("/v1/endpoint/reports", &ReportTickets { reports })
            .await?;
        Ok(answer.verdicts)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// As above.
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatAck> {
        self.post("/v1/endpoint/heartbeat", beat).await
    }

    /// Says that a recorded ticket is not the consumer's own.
    ///
    /// # Errors
    /// As above.
    pub async fn disown(&self, disown: &Disown) -> Result<()> {
        self.send(Method::POST, "/v1/endpoint/disown", Some(disown))
            .await?;
        Ok(())
    }

    /// Re-arms a pair.
    ///
    /// # Errors
    /// As above.
    pub async fn re_arm(&self, pair: Uuid, reason: &str) -> Result<Pair> {
        self.post(
            &format!("/v1/pairs/{pair}/re-arm"),
            &Reason {
                reason: reason.into(),
            },
        )
        .await
    }

    /// Collisions, latest first.
    ///
    /// # Errors
    /// As above.
    pub async fn collisions(&self) -> Result<Page<Collision>> {
        self.get("/v1/collisions").await
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
            .authorized(Method::GET, path, |request| match last {
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

    /// Any `GET`.
    ///
    /// # Errors
    /// As above.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self
            .send(Method::GET, path, None::<&()>)
            .await?
            .json()
            .await?)
    }

    /// Any `POST` with a JSON body.
    ///
    /// # Errors
    /// As above.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        Ok(self
            .send(Method::POST, path, Some(body))
            .await?
            .json()
            .await?)
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
        self.authorized(method, path, |request| {
            let request = request.timeout(Duration::from_secs(30));
            match &body {
                Some(body) => request.json(body),
                None => request,
            }
        })
        .await
    }

    /// A `GET` whose answer is read as it comes, however long it takes.
    ///
    /// # Errors
    /// As above.
    pub async fn stream(&self, path: &str) -> Result<Response> {
        self.authorized(Method::GET, path, |request| request).await
    }

    /// Sends a request with credentials. An endpoint's proof may have been refused for
    /// want of a fresh nonce: then once more with that. Or its access token (its key was
    /// retired, say): then once more with a new one.
    async fn authorized(
        &self,
        method: Method,
        path: &str,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let url = format!("{}{path}", self.base);
        let request = || complete(self.http.request(method.clone(), &url));
        let endpoint = match &self.credentials {
            Credentials::Bearer(token) if token.is_empty() => {
                return check(self.dispatch(request()).await?).await;
            }
            Credentials::Bearer(token) => {
                return check(self.dispatch(request().bearer_auth(token)).await?).await;
            }
            Credentials::Endpoint(endpoint) => endpoint,
        };
        let (mut may_renew, mut may_repeat) = (true, true);
        loop {
            let token = self.access_token(endpoint).await?;
            let claims = Claims::new(method.as_str(), &url, Some(&token), endpoint.nonce());
            let proof = endpoint.prover.prove(claims).await?;
            let proven = request()
                .header("authorization", format!("DPoP {token}"))
                .header("dpop", proof);
            let answer = self.dispatch(proven).await?;
            endpoint.keep_nonce(&answer);
            let refusal = match check(answer).await {
                Err(error) if error.is_unauthenticated() => error,
                done => return done,
            };
            if refusal.is("use-dpop-nonce") && may_repeat {
                may_repeat = false;
            } else if may_renew {
                may_renew = false;
                endpoint.token.lock().await.take();
            } else {
                return Err(refusal);
            }
        }
    }

    /// Sends a request as part of the current trace, if there is one (W3C Trace Context).
    async fn dispatch(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        let mut request = request.build()?;
        armour_telemetry::trace::inject(&tracing::Span::current(), request.headers_mut());
        self.http.execute(request).await
    }

    async fn access_token(&self, endpoint: &EndpointCredentials) -> Result<String> {
        let mut kept = endpoint.token.lock().await;
        if let Some((until, token)) = &*kept
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let url = format!("{}/v1/endpoint/token", self.base);
        let ask = TokenRequest {
            tenant_id: endpoint.tenant,
            endpoint_id: endpoint.endpoint,
        };
        let try_once = async || {
            let claims = Claims::new("POST", &url, None, endpoint.nonce());
            let proof = endpoint.prover.prove(claims).await?;
            let request = self.http.post(&url).header("dpop", proof).json(&ask);
            let answer = request.timeout(Duration::from_secs(30)).send().await?;
            endpoint.keep_nonce(&answer);
            check(answer).await
        };
        let answer = match try_once().await {
            Err(error) if error.is("use-dpop-nonce") => try_once().await?,
            done => done?,
        };
        let given: AccessToken = answer.json().await?;
        // Half its life, so that clocks and slow calls do not matter.
        let until = Instant::now() + Duration::from_secs((given.expires_in / 2).into());
        *kept = Some((until, given.access_token.clone()));
        Ok(given.access_token)
    }
}

async fn check(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Bytes = response.bytes().await?;
    Err(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(_) => ClientError::Unexpected(status),
    })
}
