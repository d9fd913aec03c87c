//! A tenant's person or API token.

use std::sync::Arc;

use armour_storage::{Actor, IdempotencyClaim, Tx};
use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use super::{
    authenticate::{authenticate, refuse_spent},
    credential::member_credential,
    principal::Principal,
    route::Route,
    state::Authn,
};
use crate::http::{
    problem::{ApiError, ApiResult},
    rate_limit::{self, Class},
};

/// A tenant's person or API token, with a transaction bound to the tenant.
pub struct Member {
    /// Bound to the tenant.
    pub tx: Tx,
    /// Who it is.
    pub principal: Principal,
}

impl Member {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        self.principal.actor.clone()
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
        let token = member_credential(parts)?;
        refuse_spent(parts, authn, &token)?;
        let (mut tx, principal) = authenticate(parts, authn, token, &route).await?;
        let tenant = tx.tenant_id();
        if !rate_limit::consume_leased(parts, &authn.rates, tenant, Class::Members)? {
            // Leasing more takes a transaction of its own.
            tx.rollback().await?;
            rate_limit::consume(parts, &authn.rates, &authn.store, tenant, Class::Members).await?;
            tx = authn.store.tenant(tenant).await?;
        }
        if let Some(claim) = parts.extensions.get::<IdempotencyClaim>() {
            tx.commit_for(claim.clone());
        }
        Ok(Self { tx, principal })
    }
}
