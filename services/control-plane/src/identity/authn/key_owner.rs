//! Whose idempotency keys a call may use: a member's whose credential is accepted, or the
//! platform's.

use std::sync::Arc;

use armour_api::AccessRole;
use armour_storage::PLATFORM;
use axum::http::request::Parts;
use uuid::Uuid;

use super::{
    authenticate::{begin, refuse_spent, verify},
    credential::{bearer, member_credential},
    route::Route,
    state::Authn,
    verified::{Refusal, Verified},
};
use crate::http::{
    idempotency::{KeyOwner, KeyOwners},
    problem::ApiResult,
    rate_limit::{self, Class},
};

impl KeyOwners for Arc<Authn> {
    async fn find(&self, parts: &Parts) -> ApiResult<Option<KeyOwner>> {
        let route = Route::of(parts);
        if bearer(parts).is_ok_and(|bearer| self.is_platform(bearer.token())) {
            if !route.allows(AccessRole::PlatformAdmin) {
                return Ok(None);
            }
            return Ok(Some(KeyOwner {
                tx: self.store.platform().await?,
                credential: self.platform_hash,
            }));
        }
        // The other calls check for themselves whether they repeat (a bundle supersedes
        // another, a report is compared).
        let Ok(token) = member_credential(parts) else {
            return Ok(None);
        };
        refuse_spent(parts, self, &token)?;
        let mut tx = begin(self, &token).await?;
        // Whoever is refused here is refused by the handler too, which notes it.
        let verified = verify(parts, self, &mut tx, &token, &route).await;
        Ok(may_use_keys(verified, &route)?.then_some(KeyOwner {
            tx,
            credential: token.hash,
        }))
    }

    async fn count(&self, parts: &Parts, tenant: Uuid) -> ApiResult<()> {
        if tenant == PLATFORM {
            return Ok(());
        }
        rate_limit::consume(parts, &self.rates, &self.store, tenant, Class::Members).await
    }
}

/// Whether the caller may; an error if nobody can say now, for then the call must not run
/// as if it had no key.
fn may_use_keys(verified: Result<Verified, Refusal>, route: &Route) -> ApiResult<bool> {
    match verified {
        Ok(verified) => Ok(route.allows(verified.principal.role)),
        Err(refusal) if refusal.error.status().is_server_error() => Err(refusal.error),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use armour_api::ProblemType;
    use axum::http::Request;

    use super::*;
    use crate::{http::problem::ApiError, identity::authn::credential::invalid};

    #[test]
    fn a_call_does_not_run_without_its_key_because_the_database_is_away() {
        let (parts, ()) = Request::post("/v1/api-tokens")
            .body(())
            .unwrap()
            .into_parts();
        let route = Route::of(&parts);
        let away = ApiError::new(ProblemType::Unavailable, "the database cannot be reached");
        assert!(may_use_keys(Err(away.into()), &route).is_err());
        assert!(!may_use_keys(Err(invalid().into()), &route).unwrap());
    }
}
