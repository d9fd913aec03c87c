//! The platform's administrator.

use std::sync::Arc;

use armour_api::AccessRole;
use armour_storage::{Actor, IdempotencyClaim, PLATFORM, Store, Tx};
use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{
    authenticate::authenticate,
    credential::{bearer, forbidden, invalid},
    denial::{Attempt, Denied},
    route::Route,
    state::Authn,
};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::token,
};

/// The platform's administrator.
pub struct Platform {
    claim: Option<IdempotencyClaim>,
}

impl Platform {
    /// Begins the transaction of what the call changes.
    ///
    /// # Errors
    /// If no connection is to be had.
    pub async fn begin(self, store: &Store) -> ApiResult<Tx> {
        let mut tx = store.platform().await?;
        if let Some(claim) = self.claim {
            tx.commit_for(claim);
        }
        Ok(tx)
    }
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
        let bearer = bearer(parts)?;
        if authn.is_platform(bearer.token()) {
            return match route.allows(AccessRole::PlatformAdmin) {
                true => Ok(Self {
                    claim: parts.extensions.get().cloned(),
                }),
                false => Err(forbidden()),
            };
        }
        // A tenant's token is told apart from none, and the attempt noted.
        match token::parse(bearer.token()) {
            Some(token) => {
                authenticate(parts, authn, token, &route).await?;
                Err(forbidden())
            }
            None => {
                // Of all that is wrong, what guesses at this token concerns the platform most.
                let denied = Denied {
                    tenant: PLATFORM,
                    actor: Actor::Anonymous,
                    route: &route,
                };
                let why = "not the platform's token";
                authn.denials.note(&denied, Attempt::Platform, why).await;
                Err(invalid())
            }
        }
    }
}
