//! People's sessions, and the token against forged cross-site calls that only the page
//! itself can know.

use armour_api::ProblemType;
use armour_storage::{Actor, Tx};
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    credential::invalid,
    principal::Principal,
    route::Route,
    state::Authn,
    verified::{Refusal, Used, Verified},
};
use crate::{
    http::problem::{ApiError, ApiResult},
    identity::token::Token,
};

/// Checks a session, and that a call which changes something is the page's own.
pub async fn verify(
    parts: &Parts,
    authn: &Authn,
    tx: &mut Tx,
    token: &Token,
    route: &Route,
) -> Result<Verified, Refusal> {
    let now = authn.now();
    let idle_since = now - authn.session_idle;
    let row = tx.sessions().find_live(token.id, now, idle_since).await?;
    if !bool::from(row.hash.ct_eq(&token.hash)) {
        return Err(invalid().into());
    }
    let csrf = csrf_token(&token.hash);
    if !route.is_safe() {
        check_origin(parts, &csrf)?;
    }
    let stale = now - row.last_used_at > authn.session_idle / 20;
    Ok(Verified {
        principal: Principal {
            actor: Actor::Person {
                issuer: row.issuer,
                subject: row.subject,
            },
            credential: row.id,
            name: row.name,
            role: row.role,
            session: Some(row.id),
            expires_at: Some(row.expires_at),
            csrf: Some(csrf),
        },
        to_touch: stale.then_some(Used::Session(token.id)),
    })
}

/// What the page has to send along with calls that change something.
fn csrf_token(hash: &[u8; 32]) -> String {
    hex::encode(
        Sha256::new()
            .chain_update(b"armour/1 csrf")
            .chain_update(hash)
            .finalize(),
    )
}

fn check_origin(parts: &Parts, csrf: &str) -> ApiResult<()> {
    let sent = parts.headers.get("x-csrf-token");
    let same = sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(csrf.as_bytes())));
    // Browsers say where a call comes from; programs need not.
    let site = parts.headers.get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if same && !foreign {
        return Ok(());
    }
    Err(ApiError::new(
        ProblemType::Csrf,
        "calls of a session that change something need the X-CSRF-Token that /v1/whoami tells",
    ))
}
