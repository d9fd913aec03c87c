//! How many requests callers may make, how large and how slow.
//!
//! Two limits: one of each replica's own that holds off floods before anything is
//! looked up, and a tenant's rate, which all replicas keep to together. For the
//! latter a replica leases a few requests at a time from PostgreSQL.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use armour_storage::Store;
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use governor::{DefaultKeyedRateLimiter, Quota};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    BODY_LIMIT,
    problem::{ApiError, ApiResult},
    state::App,
};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// A tenant's window, in seconds.
const WINDOW: i32 = 10;
/// A replica leases this part of a tenant's rate at a time.
const LEASES: u32 = 50;

/// Reads the body before anything else happens: handlers begin their transaction
/// first, and a slow body must not hold a database connection.
pub async fn body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(_)) => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the body is cut short or larger than 1 MiB",
        )
        .into_response(),
        Err(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "the body took longer than 15 s",
        )
        .into_response(),
    }
}

/// Counts requests by the SHA-256 of their credentials.
pub struct Flood(DefaultKeyedRateLimiter<[u8; 32]>);

impl Flood {
    /// Allows so many requests a second to each caller.
    pub fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_second(rate)))
    }
}

/// Refuses a caller that floods this replica; tells others their tenant's rate.
pub async fn rate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let mut hash = Sha256::new();
    for name in [header::AUTHORIZATION, header::COOKIE] {
        hash.update(
            request
                .headers()
                .get(name)
                .map_or(&b""[..], |v| v.as_bytes()),
        );
    }
    if app.flood.0.check_key(&hash.finalize().into()).is_err() {
        return ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limited",
            "too many requests; wait a second",
        )
        .into_response();
    }
    if app.flood.0.len() > 100_000 {
        app.flood.0.retain_recent();
    }
    let told = Told::default();
    request.extensions_mut().insert(told.clone());
    let mut response = next.run(request).await;
    let state = lock(&told.0).take();
    if let Some(state) = state {
        state.write(&mut response);
    }
    response
}

/// Whose rate a request counts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// People and API tokens.
    Members,
    /// Endpoints.
    Endpoints,
}

/// What the response tells of the rate.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<RateState>>>);

#[derive(Debug, Clone, Copy)]
struct RateState {
    most: u32,
    left: u32,
    resets_in: u64,
    exceeded: bool,
}

/// What this replica holds of tenants' rates.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<(Uuid, Class), Held>>);

#[derive(Debug, Clone, Copy)]
struct Held {
    most: u32,
    granted: u32,
    left: u32,
    window: DateTime<Utc>,
    until: Instant,
}

/// Spends one request of the tenant's rate, from what this replica has leased.
/// Returns whether it could.
///
/// # Errors
/// 429 `rate-limited` if none is left in the window.
pub fn spend_held(parts: &Parts, app: &App, tenant: Uuid, class: Class) -> ApiResult<bool> {
    match app.rates.take_held(tenant, class) {
        Some(state) => tell(parts, state).map(|()| true),
        None => Ok(false),
    }
}

/// Spends one request of the tenant's rate, leasing more if need be.
///
/// # Errors
/// 429 `rate-limited` if none is left in the window.
pub async fn spend(parts: &Parts, app: &App, tenant: Uuid, class: Class) -> ApiResult<()> {
    tell(parts, app.rates.spend(&app.store, tenant, class).await?)
}

fn tell(parts: &Parts, state: RateState) -> ApiResult<()> {
    if let Some(told) = parts.extensions.get::<Told>() {
        *lock(&told.0) = Some(state);
    }
    if state.exceeded {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limited",
            format!(
                "the tenant may make {} requests in {WINDOW} seconds; wait {} s",
                state.most, state.resets_in
            ),
        ));
    }
    Ok(())
}

impl Rates {
    async fn spend(&self, store: &Store, tenant: Uuid, class: Class) -> ApiResult<RateState> {
        if let Some(state) = self.take_held(tenant, class) {
            return Ok(state);
        }
        let quotas = store.tenant(tenant).await?.quotas().get().await?;
        let (name, most) = match class {
            Class::Members => ("members", quotas.requests),
            Class::Endpoints => ("endpoints", quotas.endpoint_requests),
        };
        let ask = (most / LEASES).max(1);
        let lease = store.lease_rate(tenant, name, WINDOW, most, ask).await?;
        let mut held = lock(&self.0);
        if held.len() > 100_000 {
            held.retain(|_, held| held.until > Instant::now());
        }
        let entry = held.entry((tenant, class)).or_insert(Held {
            most,
            granted: 0,
            left: 0,
            window: lease.window,
            until: Instant::now(),
        });
        // What is over from the window before is lost with it; what another call
        // has leased meanwhile is not.
        if entry.window != lease.window {
            entry.granted = 0;
        }
        entry.most = most;
        entry.granted += lease.granted;
        entry.left = lease.left;
        entry.window = lease.window;
        entry.until = Instant::now() + lease.resets_in;
        Ok(entry.take())
    }

    /// From what this replica holds, unless it has to ask for more.
    fn take_held(&self, tenant: Uuid, class: Class) -> Option<RateState> {
        let mut held = lock(&self.0);
        let entry = held.get_mut(&(tenant, class))?;
        // Nothing left for anybody needs no asking until the window ends.
        let known = entry.granted > 0 || entry.left == 0;
        (known && entry.until > Instant::now()).then(|| entry.take())
    }
}

impl Held {
    fn take(&mut self) -> RateState {
        let exceeded = self.granted == 0;
        self.granted = self.granted.saturating_sub(1);
        RateState {
            most: self.most,
            left: self.left.saturating_add(self.granted),
            resets_in: self
                .until
                .saturating_duration_since(Instant::now())
                .as_secs()
                + 1,
            exceeded,
        }
    }
}

impl RateState {
    /// The fields of draft-ietf-httpapi-ratelimit-headers.
    fn write(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let fields = [
            (
                "ratelimit-policy",
                format!("\"tenant\";q={};w={WINDOW}", self.most),
            ),
            (
                "ratelimit",
                format!("\"tenant\";r={};t={}", self.left, self.resets_in),
            ),
        ];
        for (name, text) in fields {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        if self.exceeded {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.resets_in));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
