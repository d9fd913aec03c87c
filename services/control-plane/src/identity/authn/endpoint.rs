//! An endpoint that proves that it holds its key.

use std::sync::Arc;

use armour_api::{AccessRole, Endpoint, EndpointState, ProblemType};
use armour_storage::{Actor, Tx};
use axum::{
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    authenticate::authenticate,
    cookie,
    credential::{bearer, forbidden, invalid, mask_not_found},
    denial::Denied,
    dpop,
    route::Route,
    state::Authn,
};
use crate::{
    http::{
        problem::{ApiError, ApiResult},
        rate_limit::{self, Class},
    },
    identity::token,
};

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

impl EndpointAuth {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Endpoint(self.endpoint.id)
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
        authn
            .denials
            .note(&self.denied(), "the endpoint was revoked")
            .await;
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
            None if cookie::session(parts).is_some() => return Err(not_an_endpoint()),
            None => return Err(no_endpoint_token()),
            Some(value) => value.to_str().map_err(|_| invalid())?,
        };
        let access_token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => token.trim().to_owned(),
            _ => {
                return match bearer(parts).ok().and_then(|it| token::parse(it.token())) {
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
            authn
                .denials
                .note(&denied, "access token without its key")
                .await;
            return Err(dpop::invalid(
                "it is not of the key that the token is bound to",
            ));
        }
        dpop::consume(authn, token.tenant, &proof).await?;
        rate_limit::consume(
            parts,
            &authn.rates,
            &authn.store,
            token.tenant,
            Class::Endpoints,
        )
        .await?;
        if !token.route.allows(AccessRole::Endpoint) {
            authn
                .denials
                .note(&token.denied(), "the role may not")
                .await;
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

/// 403: the endpoint's keys are no longer trusted.
pub fn revoked() -> ApiError {
    ApiError::new(ProblemType::EndpointRevoked, "the endpoint was revoked")
}

fn not_an_endpoint() -> ApiError {
    ApiError::forbidden("this needs an endpoint's access token")
}

fn no_endpoint_token() -> ApiError {
    ApiError::new(
        ProblemType::Unauthenticated,
        "this needs an endpoint's access token with a DPoP proof",
    )
    .with_challenge("DPoP algs=\"EdDSA\"")
}
