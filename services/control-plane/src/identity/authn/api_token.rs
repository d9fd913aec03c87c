//! API tokens.

use armour_storage::{Actor, Tx};
use chrono::Duration;
use subtle::ConstantTimeEq;

use super::{
    credential::invalid,
    denial::Attempt,
    principal::Principal,
    state::Authn,
    verified::{Refusal, Used, Verified},
};
use crate::{http::problem::ApiError, identity::token::Token};

/// How stale `last_used_at` may be.
const TOUCH_AFTER: Duration = Duration::seconds(60);

/// Checks that an API token exists, holds the right secret and is live.
pub async fn verify(authn: &Authn, tx: &mut Tx, token: &Token) -> Result<Verified, Refusal> {
    let now = authn.now();
    let row = tx.api_tokens().find(token.id).await?;
    let right = bool::from(row.hash.ct_eq(&token.hash));
    if !right || !row.is_live(now) {
        // Who knows the secret may know what became of the token.
        let (attempt, why, error) = match right {
            true => (
                Attempt::Credential,
                "the token was revoked or has expired",
                ApiError::unauthenticated(
                    "this API token was revoked or has expired; ask an administrator of the tenant \
                     for another",
                ),
            ),
            false => (Attempt::Guess, "a wrong secret", invalid()),
        };
        return Err(Refusal {
            error,
            noted: Some((Actor::Token(token.id), attempt, why)),
        });
    }
    let stale = row.last_used_at.is_none_or(|last| now - last > TOUCH_AFTER);
    Ok(Verified {
        principal: Principal {
            actor: Actor::Token(token.id),
            credential: token.id,
            name: row.name,
            role: row.role,
            session: None,
            expires_at: row.expires_at,
            csrf: None,
        },
        to_touch: stale.then_some(Used::Token(token.id)),
    })
}
