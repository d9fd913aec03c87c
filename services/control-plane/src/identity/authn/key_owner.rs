//! Whose idempotency keys a call may use: a member's whose credential is accepted.

use std::sync::Arc;

use axum::http::request::Parts;

use super::{authenticate::verify, credential::member_credential, route::Route, state::Authn};
use crate::http::idempotency::{KeyOwner, KeyOwners};

impl KeyOwners for Arc<Authn> {
    async fn find(&self, parts: &Parts) -> Option<KeyOwner> {
        // The other calls check for themselves whether they repeat (a bundle supersedes
        // another, a report is compared).
        let token = member_credential(parts).ok()?;
        let mut tx = self.store.tenant(token.tenant).await.ok()?;
        let route = Route::of(parts);
        // Whoever is refused here is refused by the handler too, which notes it.
        let verified = verify(parts, self, &mut tx, &token, &route).await.ok()?;
        route.allows(verified.principal.role).then_some(KeyOwner {
            tx,
            credential: token.hash,
        })
    }
}
