//! Who is calling: the platform's administrator, a tenant's person or API token,
//! or an endpoint that proves that it holds its key.

pub mod denial;
pub mod dpop;
pub mod nonce;
pub mod roles;
pub mod session;
pub mod signing;

use std::sync::Arc;

use armour_api::{AccessRole, Endpoint, EndpointState};
use armour_storage::{Actor, Result as StorageResult, StorageError, Store, Tx};
use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{Method, StatusCode, header, request::Parts},
};
use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use self::denial::Denied;
use crate::{
    gather::Work,
    limits::{self, Class},
    problem::{ApiError, ApiResult},
    state::App,
    token::{self, Kind, Token},
};

/// How stale `last_used_at` may be.
const TOUCH_AFTER: Duration = Duration::seconds(60);

/// The platform's administrator.
pub struct Platform;

/// A tenant's person or API token, with a transaction bound to the tenant.
pub struct Member {
    /// Bound to the tenant.
    pub tx: Tx,
    /// Who it is.
    pub who: Who,
}

/// Who a member is.
#[derive(Debug, Clone)]
pub struct Who {
    /// As in audit entries.
    pub actor: Actor,
    /// For people to read.
    pub name: String,
    /// What they may do.
    pub role: AccessRole,
    /// Their session, if it is one.
    pub session: Option<Uuid>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// What calls that change something have to send along.
    pub csrf: Option<String>,
}

/// An endpoint that has proven that it holds its key. Whether it was revoked since it
/// got its access token is not known yet.
pub struct Proven {
    /// Its tenant.
    pub tenant: Uuid,
    /// Its id.
    pub endpoint: Uuid,
    route: Route,
}

/// An endpoint, with a transaction bound to its tenant.
pub struct Caller {
    /// Bound to the tenant.
    pub tx: Tx,
    /// The endpoint.
    pub endpoint: Endpoint,
}

impl Member {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        self.who.actor.clone()
    }
}

impl Who {
    /// Whether the credential is still good.
    ///
    /// # Errors
    /// `NotFound` if it is gone altogether.
    pub async fn is_live(&self, tx: &mut Tx) -> StorageResult<bool> {
        let now = tx.now();
        match (&self.actor, self.session) {
            (_, Some(session)) => {
                // A page that only watches is in use all the same.
                let row = tx
                    .sessions()
                    .find_live(session, now, DateTime::UNIX_EPOCH)
                    .await?;
                Ok(row.expires_at > now)
            }
            (Actor::Token(id), None) => Ok(tx.api_tokens().find(*id).await?.is_live(now)),
            _ => Ok(false),
        }
    }
}

impl Caller {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Endpoint(self.endpoint.id)
    }
}

/// Method and path of the route that matched.
pub struct Route {
    method: Method,
    path: String,
}

impl FromRequestParts<App> for Platform {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let route = Route::of(parts);
        let text = bearer(parts)?;
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if bool::from(hash.ct_eq(&app.platform_hash)) {
            return match route.allows(AccessRole::PlatformAdmin) {
                true => Ok(Self),
                false => Err(forbidden()),
            };
        }
        // A tenant's token is told apart from none, and the attempt noted.
        match token::parse(text) {
            Some(token) => {
                authenticate(parts, app, token, &route).await?;
                Err(forbidden())
            }
            None => Err(invalid()),
        }
    }
}

impl FromRequestParts<App> for Member {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let route = Route::of(parts);
        let token = credential(parts)?;
        let (mut tx, who) = authenticate(parts, app, token, &route).await?;
        let tenant = tx.tenant_id();
        if !limits::spend_held(parts, app, tenant, Class::Members)? {
            // Leasing more takes a transaction of its own.
            tx.rollback().await?;
            limits::spend(parts, app, tenant, Class::Members).await?;
            tx = app.store.tenant(tenant).await?;
        }
        Ok(Self { tx, who })
    }
}

impl Proven {
    fn denied(&self) -> Denied<'_> {
        Denied {
            tenant: self.tenant,
            actor: Actor::Endpoint(self.endpoint),
            route: &self.route,
        }
    }

    /// Notes the attempt of a revoked endpoint; what it is told.
    pub async fn revoked(&self, app: &App) -> ApiError {
        self.denied().note(app, "the endpoint was revoked").await;
        revoked()
    }
}

impl FromRequestParts<App> for Proven {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let route = Route::of(parts);
        let text = match parts.headers.get(header::AUTHORIZATION) {
            None if session::cookie(parts).is_some() => return Err(not_an_endpoint()),
            None => return Err(no_endpoint_token()),
            Some(value) => value.to_str().map_err(|_| invalid())?,
        };
        let access_token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => token.trim().to_owned(),
            _ => {
                return match bearer(parts).ok().and_then(token::parse) {
                    Some(token) => {
                        authenticate(parts, app, token, &route).await?;
                        Err(not_an_endpoint())
                    }
                    None => Err(no_endpoint_token()),
                };
            }
        };
        let claims = app.signing.verify(&app.store, &access_token).await?;
        let proof = dpop::check(parts, app, Some(&access_token))?;
        let proven = Self {
            tenant: claims.tenant,
            endpoint: claims.sub,
            route,
        };
        if !bool::from(proof.thumbprint.as_bytes().ct_eq(claims.cnf.jkt.as_bytes())) {
            // Somebody has the token, but not the key.
            let denied = proven.denied();
            denied.note(app, "access token without its key").await;
            return Err(dpop::invalid(
                "it is not of the key that the token is bound to",
            ));
        }
        spend(app, proven.tenant, &proof).await?;
        limits::spend(parts, app, proven.tenant, Class::Endpoints).await?;
        if !proven.route.allows(AccessRole::Endpoint) {
            proven.denied().note(app, "the role may not").await;
            return Err(forbidden());
        }
        Ok(proven)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let proven = Proven::from_request_parts(parts, app).await?;
        let mut tx = app.store.tenant(proven.tenant).await?;
        let endpoint = tx.endpoints().find(proven.endpoint).await.map_err(hide)?;
        if endpoint.state == EndpointState::Revoked {
            drop(tx);
            return Err(proven.revoked(app).await);
        }
        Ok(Self { tx, endpoint })
    }
}

/// Takes a proof, which works once for all replicas.
///
/// # Errors
/// 401 if it was taken before.
pub async fn spend(app: &App, tenant: Uuid, proof: &dpop::Proof) -> ApiResult<()> {
    let ask = (proof.hash.to_vec(), proof.remember_until);
    let first = app.proofs.ask(tenant, ask).await?;
    match first {
        true => Ok(()),
        false => Err(dpop::invalid("it was used before")),
    }
}

/// Takes proofs in transactions of their own: also what fails afterwards has used them.
pub struct Proofs(pub Store);

impl Work for Proofs {
    type Ask = (Vec<u8>, DateTime<Utc>);
    type Answer = bool;

    async fn run(&self, tenant: Uuid, proofs: &[Arc<Self::Ask>]) -> ApiResult<Vec<bool>> {
        let proofs: Vec<Self::Ask> = proofs.iter().map(|proof| (**proof).clone()).collect();
        let mut tx = self.0.tenant(tenant).await?;
        let first = tx.proofs().consume_many(&proofs).await?;
        tx.commit().await?;
        Ok(first)
    }
}

/// 403: the endpoint's keys are no longer trusted.
pub fn revoked() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "endpoint-revoked",
        "the endpoint was revoked",
    )
}

/// The bearer token of a request.
///
/// # Errors
/// 401 if there is none.
pub fn bearer(parts: &Parts) -> ApiResult<&str> {
    let value = parts
        .headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| ApiError::unauthenticated("an Authorization header is needed"))?;
    let text = value.to_str().map_err(|_| invalid())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(invalid()),
    }
}

/// A member's credential: an API token, or else the cookie of a session.
///
/// # Errors
/// 401 if there is none that could be one.
pub fn credential(parts: &Parts) -> ApiResult<Token> {
    let token = match session::cookie(parts) {
        Some(cookie) if !parts.headers.contains_key(header::AUTHORIZATION) => cookie,
        _ => token::parse(bearer(parts)?)
            .filter(|token| token.kind != Kind::Session)
            .ok_or_else(invalid)?,
    };
    Ok(token)
}

/// Checks a member's credential and role.
async fn authenticate(
    parts: &Parts,
    app: &App,
    token: Token,
    route: &Route,
) -> ApiResult<(Tx, Who)> {
    let mut tx = app.store.tenant(token.tenant).await?;
    let checked = match token.kind {
        Kind::Api => api_token(app, &mut tx, &token).await,
        Kind::Session => session::check(parts, app, &mut tx, &token, route).await,
        Kind::Enrolment => Err(ApiError::forbidden("an enrolment token only enrols").into()),
    };
    let refusal = match checked {
        Ok(who) if route.allows(who.role) => return Ok((tx, who)),
        Ok(who) => Refusal {
            error: ApiError::forbidden(format!("the role {} may not do this", who.role.as_str())),
            noted: Some((who.actor, "the role may not")),
        },
        Err(refusal) => refusal,
    };
    // Noted in a transaction of its own. None is begun while another is held: with
    // every connection held by somebody who waits for one, nobody would go on.
    drop(tx);
    if let Some((actor, why)) = refusal.noted {
        let denied = Denied {
            tenant: token.tenant,
            actor,
            route,
        };
        denied.note(app, why).await;
    }
    Err(refusal.error)
}

/// Why a credential is not accepted, and what the audit log is told of it.
struct Refusal {
    error: ApiError,
    noted: Option<(Actor, &'static str)>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, noted: None }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        hide(error).into()
    }
}

async fn api_token(app: &App, tx: &mut Tx, token: &Token) -> Result<Who, Refusal> {
    let now = app.now();
    let row = tx.api_tokens().find(token.id).await?;
    let right = bool::from(row.hash.ct_eq(&token.hash));
    if !right || !row.is_live(now) {
        let why = match right {
            true => "the token was revoked or has expired",
            false => "a wrong secret",
        };
        return Err(Refusal {
            error: invalid(),
            noted: Some((Actor::Token(token.id), why)),
        });
    }
    if row.last_used_at.is_none_or(|last| now - last > TOUCH_AFTER) {
        touch(app, token.tenant, Used::Token(token.id), now);
    }
    Ok(Who {
        actor: Actor::Token(token.id),
        name: row.name,
        role: row.role,
        session: None,
        expires_at: row.expires_at,
        csrf: None,
    })
}

/// What a credential's use leaves behind.
#[derive(Debug, Clone, Copy)]
enum Used {
    Token(Uuid),
    Session(Uuid),
}

/// Notes a use apart from the call: most calls only read.
fn touch(app: &App, tenant: Uuid, used: Used, now: DateTime<Utc>) {
    let store = app.store.clone();
    tokio::spawn(async move {
        let noted = async {
            let mut tx = store.tenant(tenant).await?;
            match used {
                Used::Token(id) => tx.api_tokens().touch(id, now).await?,
                Used::Session(id) => tx.sessions().touch(id, now).await?,
            }
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot note the use of a credential");
        }
    });
}

impl Route {
    /// The route of a request.
    pub fn of(parts: &Parts) -> Self {
        let path = parts.extensions.get::<MatchedPath>();
        Self {
            method: parts.method.clone(),
            path: path.map_or_else(String::new, |path| path.as_str().to_owned()),
        }
    }

    /// Whether calls of it change nothing.
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    fn allows(&self, role: AccessRole) -> bool {
        roles::allows(role, self.method.as_str(), &self.path)
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

pub(crate) fn invalid() -> ApiError {
    ApiError::unauthenticated("the credentials are not valid")
}

fn forbidden() -> ApiError {
    ApiError::forbidden("these credentials may not do this")
}

fn not_an_endpoint() -> ApiError {
    ApiError::forbidden("this needs an endpoint's access token")
}

fn no_endpoint_token() -> ApiError {
    ApiError::unauthenticated_by(
        "unauthenticated",
        "this needs an endpoint's access token with a DPoP proof",
        "DPoP algs=\"EdDSA\"",
    )
}

/// Unknown credentials are invalid ones: what exists is not told.
pub(crate) fn hide(error: StorageError) -> ApiError {
    match error {
        StorageError::NotFound => invalid(),
        other => other.into(),
    }
}
