//! Who is calling: the platform's administrator, a tenant's person or API token,
//! or an endpoint that proves that it holds its key.

pub mod denial;
pub mod dpop;
pub mod nonce;
pub mod session;
pub mod signing;

use std::sync::Arc;

use armour_api::{AccessRole, Endpoint, EndpointState};
use armour_storage::{Actor, Result as StorageResult, StorageError, Store, Tx};
use axum::{
    extract::{FromRef, FromRequestParts, MatchedPath},
    http::{Method, StatusCode, header, request::Parts},
};
use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use uuid::Uuid;

use self::{
    denial::{DenialLimiter, Denied},
    signing::SigningKeys,
};
use crate::{
    http::problem::{ApiError, ApiResult},
    http::{
        idempotency::{KeyOwner, KeyOwners},
        rate_limit::{self, Class, Rates},
    },
    identity::authz,
    identity::token::{self, Kind, Token},
    platform::group_commit::{BatchOperation, GroupCommit},
};

/// How stale `last_used_at` may be.
const TOUCH_AFTER: Duration = Duration::seconds(60);

/// What it takes to know who is calling.
pub struct Authn {
    /// The database.
    pub store: Store,
    /// The SHA-256 of the platform administrator's token.
    pub platform_hash: [u8; 32],
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// Where the service is reached, if that was given.
    pub public_url: Option<Url>,
    /// What this replica has leased of tenants' rates.
    pub rates: Rates,
    /// Limits what denied attempts write.
    pub denials: DenialLimiter,
    /// Takes proofs, once each.
    pub proofs: Arc<GroupCommit<ProofConsumer>>,
    /// The keys of access tokens.
    pub signing: SigningKeys,
}

impl Authn {
    /// The time, the same for all replicas.
    pub fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }
}

/// The platform's administrator.
pub struct Platform;

/// A tenant's person or API token, with a transaction bound to the tenant.
pub struct Member {
    /// Bound to the tenant.
    pub tx: Tx,
    /// Who it is.
    pub principal: Principal,
}

/// Who a member is.
#[derive(Debug, Clone)]
pub struct Principal {
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

/// An endpoint whose access token and proof show that it holds its key. Whether it was revoked since it
/// got its access token is not known yet.
pub struct EndpointToken {
    /// Its tenant.
    pub tenant: Uuid,
    /// Its id.
    pub endpoint: Uuid,
    route: Route,
}

/// An endpoint, with a transaction bound to its tenant.
pub struct EndpointAuth {
    /// Bound to the tenant.
    pub tx: Tx,
    /// The endpoint.
    pub endpoint: Endpoint,
}

impl Member {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        self.principal.actor.clone()
    }
}

impl Principal {
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

impl EndpointAuth {
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

impl<S> FromRequestParts<S> for Platform
where
    S: Send + Sync,
    Arc<Authn>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authn = &*Arc::<Authn>::from_ref(state);
        let route = Route::of(parts);
        let text = bearer(parts)?;
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if bool::from(hash.ct_eq(&authn.platform_hash)) {
            return match route.allows(AccessRole::PlatformAdmin) {
                true => Ok(Self),
                false => Err(forbidden()),
            };
        }
        // A tenant's token is told apart from none, and the attempt noted.
        match token::parse(text) {
            Some(token) => {
                authenticate(parts, authn, token, &route).await?;
                Err(forbidden())
            }
            None => Err(invalid()),
        }
    }
}

impl<S> FromRequestParts<S> for Member
where
    S: Send + Sync,
    Arc<Authn>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authn = &*Arc::<Authn>::from_ref(state);
        let route = Route::of(parts);
        let token = credential(parts)?;
        let (mut tx, principal) = authenticate(parts, authn, token, &route).await?;
        let tenant = tx.tenant_id();
        if !rate_limit::consume_leased(parts, &authn.rates, tenant, Class::Members)? {
            // Leasing more takes a transaction of its own.
            tx.rollback().await?;
            rate_limit::consume(parts, &authn.rates, &authn.store, tenant, Class::Members).await?;
            tx = authn.store.tenant(tenant).await?;
        }
        Ok(Self { tx, principal })
    }
}

impl EndpointToken {
    fn denied(&self) -> Denied<'_> {
        Denied {
            tenant: self.tenant,
            actor: Actor::Endpoint(self.endpoint),
            route: &self.route,
        }
    }

    /// Notes the attempt of a revoked endpoint; what it is told.
    pub async fn revoked(&self, authn: &Authn) -> ApiError {
        self.denied().note(authn, "the endpoint was revoked").await;
        revoked()
    }
}

impl<S> FromRequestParts<S> for EndpointToken
where
    S: Send + Sync,
    Arc<Authn>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authn = &*Arc::<Authn>::from_ref(state);
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
                        authenticate(parts, authn, token, &route).await?;
                        Err(not_an_endpoint())
                    }
                    None => Err(no_endpoint_token()),
                };
            }
        };
        let claims = authn.signing.verify(&authn.store, &access_token).await?;
        let proof = dpop::check(parts, authn, Some(&access_token))?;
        let token = Self {
            tenant: claims.tenant,
            endpoint: claims.sub,
            route,
        };
        if !bool::from(proof.thumbprint.as_bytes().ct_eq(claims.cnf.jkt.as_bytes())) {
            // Somebody has the token, but not the key.
            let denied = token.denied();
            denied.note(authn, "access token without its key").await;
            return Err(dpop::invalid(
                "it is not of the key that the token is bound to",
            ));
        }
        consume_proof(authn, token.tenant, &proof).await?;
        rate_limit::consume(
            parts,
            &authn.rates,
            &authn.store,
            token.tenant,
            Class::Endpoints,
        )
        .await?;
        if !token.route.allows(AccessRole::Endpoint) {
            token.denied().note(authn, "the role may not").await;
            return Err(forbidden());
        }
        Ok(token)
    }
}

impl<S> FromRequestParts<S> for EndpointAuth
where
    S: Send + Sync,
    Arc<Authn>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let authn = &*Arc::<Authn>::from_ref(state);
        let token = EndpointToken::from_request_parts(parts, state).await?;
        let mut tx = authn.store.tenant(token.tenant).await?;
        let endpoint = tx
            .endpoints()
            .find(token.endpoint)
            .await
            .map_err(mask_not_found)?;
        if endpoint.state == EndpointState::Revoked {
            drop(tx);
            return Err(token.revoked(authn).await);
        }
        Ok(Self { tx, endpoint })
    }
}

/// Takes a proof, which works once for all replicas.
///
/// # Errors
/// 401 if it was taken before.
pub async fn consume_proof(authn: &Authn, tenant: Uuid, proof: &dpop::Proof) -> ApiResult<()> {
    let request = (proof.hash.to_vec(), proof.remember_until);
    let first = authn.proofs.submit(tenant, request).await?;
    match first {
        true => Ok(()),
        false => Err(dpop::invalid("it was used before")),
    }
}

/// Takes proofs in transactions of their own: also what fails afterwards has used them.
pub struct ProofConsumer(pub Store);

impl BatchOperation for ProofConsumer {
    type Request = (Vec<u8>, DateTime<Utc>);
    type Answer = bool;

    async fn run(&self, tenant: Uuid, proofs: &[Arc<Self::Request>]) -> ApiResult<Vec<bool>> {
        let proofs: Vec<Self::Request> = proofs.iter().map(|proof| (**proof).clone()).collect();
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
    authn: &Authn,
    token: Token,
    route: &Route,
) -> ApiResult<(Tx, Principal)> {
    let mut tx = authn.store.tenant(token.tenant).await?;
    let verified = verify(parts, authn, &mut tx, &token, route).await;
    let checked = verified.map(|verified| {
        if let Some(used) = verified.to_touch {
            touch(authn, token.tenant, used);
        }
        verified.principal
    });
    let refusal = match checked {
        Ok(principal) if route.allows(principal.role) => return Ok((tx, principal)),
        Ok(principal) => Refusal {
            error: ApiError::forbidden(format!(
                "the role {} may not do this",
                principal.role.into_str()
            )),
            noted: Some((principal.actor, "the role may not")),
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
        denied.note(authn, why).await;
    }
    Err(refusal.error)
}

/// Verifies a member's credential: that it exists, holds the right secret and is
/// live, and that a session's call comes from its own page. Every layer that lets a
/// member do something asks here; nothing is noted of the attempt.
pub(crate) async fn verify(
    parts: &Parts,
    authn: &Authn,
    tx: &mut Tx,
    token: &Token,
    route: &Route,
) -> Result<Verified, Refusal> {
    match token.kind {
        Kind::Api => api_token(authn, tx, token).await,
        Kind::Session => session::check(parts, authn, tx, token, route).await,
        Kind::Enrolment => Err(ApiError::forbidden("an enrolment token only enrols").into()),
    }
}

impl KeyOwners for Arc<Authn> {
    async fn find(&self, parts: &Parts) -> Option<KeyOwner> {
        // The other calls check for themselves whether they repeat (a bundle supersedes
        // another, a report is compared).
        let token = credential(parts).ok()?;
        let mut tx = self.store.tenant(token.tenant).await.ok()?;
        let route = Route::of(parts);
        // Whoever is refused here is refused by the handler too, which notes it.
        verify(parts, self, &mut tx, &token, &route).await.ok()?;
        Some(KeyOwner {
            tx,
            credential: token.hash,
        })
    }
}

/// A credential that is accepted.
pub(crate) struct Verified {
    principal: Principal,
    /// The use to note, if the last that was noted is long ago.
    to_touch: Option<Used>,
}

/// Why a credential is not accepted, and what the audit log is told of it.
pub(crate) struct Refusal {
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
        mask_not_found(error).into()
    }
}

async fn api_token(authn: &Authn, tx: &mut Tx, token: &Token) -> Result<Verified, Refusal> {
    let now = authn.now();
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
    let stale = row.last_used_at.is_none_or(|last| now - last > TOUCH_AFTER);
    Ok(Verified {
        principal: Principal {
            actor: Actor::Token(token.id),
            name: row.name,
            role: row.role,
            session: None,
            expires_at: row.expires_at,
            csrf: None,
        },
        to_touch: stale.then_some(Used::Token(token.id)),
    })
}

/// What a credential's use leaves behind.
#[derive(Debug, Clone, Copy)]
enum Used {
    Token(Uuid),
    Session(Uuid),
}

/// Notes a use apart from the call: most calls only read.
fn touch(authn: &Authn, tenant: Uuid, used: Used) {
    let (store, now) = (authn.store.clone(), authn.now());
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
        authz::allows(role, self.method.as_str(), &self.path)
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
pub(crate) fn mask_not_found(error: StorageError) -> ApiError {
    match error {
        StorageError::NotFound => invalid(),
        other => other.into(),
    }
}
