//! An endpoint that proves that it holds the key of its living start.

use std::sync::Arc;

use armour_api::{AccessRole, Endpoint, ProblemType};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::{Actor, Tx, Urgency};
use axum::{
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    authenticate::{authenticate, refuse_spent},
    cookie,
    credential::{bearer, forbidden, invalid, mask_not_found},
    denial::{Attempt, Denied},
    dpop,
    living::{NotLiving, collided, living_start, revoked, start_ended},
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

/// An endpoint whose access token and proof show that it holds the key of its living start.
pub struct EndpointToken {
    /// Its tenant.
    pub tenant: Uuid,
    /// Its id.
    pub endpoint: Uuid,
    /// Its living start.
    pub start: StartHash,
    route: Route,
}

/// An endpoint, with a transaction bound to its tenant.
pub struct EndpointAuth {
    /// Bound to the tenant.
    pub tx: Tx,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its living start.
    pub start: StartHash,
}

impl EndpointAuth {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Endpoint(self.endpoint.id)
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
                        refuse_spent(parts, authn, &token)?;
                        authenticate(parts, authn, token, &route).await?;
                        Err(not_an_endpoint())
                    }
                    None => Err(no_endpoint_token()),
                };
            }
        };
        let claims = authn.signing.verify(&authn.store, &access_token).await?;
        let proof = dpop::check(parts, authn, Some(&access_token))?;
        let actor = Actor::Endpoint(claims.sub);
        let denied = Denied {
            tenant: claims.tenant,
            actor,
            route: &route,
        };
        if !bool::from(proof.thumbprint.as_bytes().ct_eq(claims.cnf.jkt.as_bytes())) {
            // Somebody has the token, but not the key.
            let why = "access token without its key";
            authn.denials.note(&denied, Attempt::Guess, why).await;
            return Err(dpop::invalid(
                "it is not of the key that the token is bound to",
            ));
        }
        // Before the proof is written down: what is over the rate costs the database nothing.
        rate_limit::consume(
            parts,
            &authn.rates,
            &authn.store,
            claims.tenant,
            Class::Endpoints,
        )
        .await?;
        let standing = dpop::consume(authn, claims.tenant, &proof, Some(claims.sub)).await?;
        if !route.allows(AccessRole::Endpoint) {
            let why = "the role may not";
            authn.denials.note(&denied, Attempt::Credential, why).await;
            return Err(forbidden());
        }
        let start = match living_start(standing.as_ref(), &proof.key, authn.now()) {
            Ok(start) => start,
            Err(why) => return Err(refuse(authn, &denied, why).await),
        };
        Ok(Self {
            tenant: claims.tenant,
            endpoint: claims.sub,
            start,
            route,
        })
    }
}

/// Notes the attempt of an endpoint that may not act any more; what it is told.
pub async fn refuse(authn: &Authn, denied: &Denied<'_>, why: NotLiving) -> ApiError {
    let (noted, error) = match why {
        NotLiving::Unknown => return invalid(),
        // A start that was followed by another comes to an end as it should.
        NotLiving::Ended => return start_ended(),
        NotLiving::Revoked => ("the endpoint was revoked", revoked()),
        NotLiving::Collided => ("somebody else holds the endpoint's keys", collided()),
    };
    authn.denials.note(denied, Attempt::Credential, noted).await;
    error
}

impl EndpointToken {
    /// Notes the attempt of an endpoint that was revoked since the proof was taken; what it is
    /// told.
    pub async fn revoked(&self, authn: &Authn) -> ApiError {
        let denied = Denied {
            tenant: self.tenant,
            actor: Actor::Endpoint(self.endpoint),
            route: &self.route,
        };
        refuse(authn, &denied, NotLiving::Revoked).await
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
        let mut tx = authn.store.tenant_for(token.tenant, Urgency::Life).await?;
        let endpoint = tx
            .endpoints()
            .find(token.endpoint)
            .await
            .map_err(mask_not_found)?;
        Ok(Self {
            tx,
            endpoint,
            start: token.start,
        })
    }
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
