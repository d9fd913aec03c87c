//! Who is calling: the platform's administrator, a tenant's operator, or an
//! endpoint with a token signed by its own Ed25519 key.

use armour_api::{Endpoint, EndpointState};
use armour_storage::{Actor, StorageError, Tx};
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{
    problem::{ApiError, ApiResult},
    state::App,
    token::{self, Kind},
};

/// `aud` of an endpoint's token.
pub const AUDIENCE: &str = "armour-control-plane";
/// Longest life of an endpoint's token, in seconds.
const LONGEST_LIFE: u64 = 300;
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// The platform's administrator.
pub struct Platform;

/// A tenant's operator, with a transaction bound to the tenant.
pub struct Operator {
    /// Bound to the tenant.
    pub tx: Tx,
    /// The API token's id.
    pub token: Uuid,
}

/// An endpoint, with a transaction bound to its tenant.
pub struct Caller {
    /// Bound to the tenant.
    pub tx: Tx,
    /// The endpoint.
    pub endpoint: Endpoint,
}

/// Claims of an endpoint's token (RFC 7519).
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The endpoint's id.
    pub sub: Uuid,
    /// The tenant's id.
    pub tenant: Uuid,
    /// [`AUDIENCE`].
    pub aud: String,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Expires at.
    pub exp: u64,
}

impl Operator {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Token(self.token)
    }
}

impl Caller {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Endpoint(self.endpoint.id)
    }
}

impl FromRequestParts<App> for Platform {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let text = bearer(parts)?;
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if bool::from(hash.ct_eq(&app.platform_hash)) {
            Ok(Self)
        } else if token::parse(text).is_some() {
            Err(ApiError::forbidden(
                "this needs the platform administrator's token",
            ))
        } else {
            Err(invalid())
        }
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let token = token::parse(bearer(parts)?).ok_or_else(invalid)?;
        if token.kind != Kind::Operator {
            return Err(ApiError::forbidden("this needs an operator's token"));
        }
        let mut tx = app.store.tenant(token.tenant).await?;
        let hash = tx.api_token_hash(token.id).await.map_err(hide)?;
        if !bool::from(hash.ct_eq(&token.hash)) {
            return Err(invalid());
        }
        Ok(Self {
            tx,
            token: token.id,
        })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Self> {
        let text = bearer(parts)?;
        if token::parse(text).is_some() {
            return Err(ApiError::forbidden("this needs an endpoint's token"));
        }
        // The claims say whose key to check the signature with; until it has
        // been checked they are worth nothing else.
        let claimed = jsonwebtoken::dangerous::insecure_decode::<Claims>(text)
            .map_err(|_| invalid())?
            .claims;
        let mut tx = app.store.tenant(claimed.tenant).await?;
        let endpoint = tx.find_endpoint(claimed.sub).await.map_err(hide)?;
        let key = STANDARD
            .decode(&endpoint.signing_key)
            .map_err(ApiError::internal)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        validation.leeway = LEEWAY;
        let claims =
            jsonwebtoken::decode::<Claims>(text, &DecodingKey::from_ed_der(&key), &validation)
                .map_err(|error| match error.kind() {
                    jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
                        ApiError::unauthenticated("the token has expired; check the clock")
                    }
                    _ => invalid(),
                })?
                .claims;
        if claims.exp.saturating_sub(claims.iat) > LONGEST_LIFE {
            return Err(ApiError::unauthenticated(
                "the token's life is longer than 300 seconds",
            ));
        }
        if endpoint.state == EndpointState::Revoked {
            return Err(ApiError::new(
                axum::http::StatusCode::FORBIDDEN,
                "endpoint-revoked",
                "the endpoint was revoked",
            ));
        }
        Ok(Self { tx, endpoint })
    }
}

pub(crate) fn bearer(parts: &Parts) -> ApiResult<&str> {
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

fn invalid() -> ApiError {
    ApiError::unauthenticated("the credentials are not valid")
}

/// Unknown credentials are invalid ones: what exists is not told.
fn hide(error: StorageError) -> ApiError {
    match error {
        StorageError::NotFound => invalid(),
        other => other.into(),
    }
}
