//! Members' credentials: verified, and the refused ones noted.

use armour_storage::{Tx, Urgency};
use axum::http::request::Parts;
use uuid::Uuid;

use super::{
    api_token,
    denial::{Attempt, Denied},
    principal::Principal,
    route::Route,
    session,
    state::Authn,
    verified::{Refusal, Used, Verified},
};
use crate::{
    http::{
        problem::{ApiError, ApiResult},
        rate_limit::{self, Class},
    },
    identity::token::{Kind, Token},
};

/// Checks a member's credential and role.
pub async fn authenticate(
    parts: &Parts,
    authn: &Authn,
    token: Token,
    route: &Route,
) -> ApiResult<(Tx, Principal)> {
    let mut tx = begin(authn, &token).await?;
    let verified = verify(parts, authn, &mut tx, &token, route).await;
    let checked = verified.map(|verified| {
        if let Some(used) = verified.to_touch {
            touch(authn, token.tenant, used);
        }
        verified.principal
    });
    let refusal = match checked {
        Ok(principal) if route.allows(principal.role) => {
            authn.accepted.add(token.hash);
            return Ok((tx, principal));
        }
        Ok(principal) => Refusal {
            error: ApiError::forbidden(format!(
                "the role {} may not do this",
                principal.role.into_str()
            )),
            noted: Some((principal.actor, Attempt::Credential, "the role may not")),
        },
        Err(refusal) => refusal,
    };
    // Noted in a transaction of its own. None is begun while another is held: with
    // every connection held by somebody who waits for one, nobody would go on.
    drop(tx);
    if let Some((actor, attempt, why)) = refusal.noted {
        let denied = Denied {
            tenant: token.tenant,
            actor,
            route,
        };
        authn.denials.note(&denied, attempt, why).await;
    }
    Err(refusal.error)
}

/// Refuses a call over its tenant's rate before its credential is looked up, if that was accepted
/// lately: even the look-up would cost others their turn.
///
/// # Errors
/// 429 `rate-limited`.
pub fn refuse_spent(parts: &Parts, authn: &Authn, token: &Token) -> ApiResult<()> {
    match authn.accepted.contains(&token.hash) {
        true => rate_limit::refuse_spent(parts, &authn.rates, token.tenant, Class::Members),
        false => Ok(()),
    }
}

/// Begins the transaction of a call that shows this credential: within its tenant's share only if
/// it was accepted lately, for anybody can name a tenant.
pub async fn begin(authn: &Authn, token: &Token) -> ApiResult<Tx> {
    Ok(match authn.accepted.contains(&token.hash) {
        true => authn.store.tenant(token.tenant).await?,
        false => {
            authn
                .store
                .tenant_unproven(token.tenant, Urgency::Members)
                .await?
        }
    })
}

/// Verifies a member's credential: that it exists, holds the right secret and is
/// live, and that a session's call comes from its own page. Every layer that lets a
/// member do something asks here; nothing is noted of the attempt.
pub async fn verify(
    parts: &Parts,
    authn: &Authn,
    tx: &mut Tx,
    token: &Token,
    route: &Route,
) -> Result<Verified, Refusal> {
    match token.kind {
        Kind::Api => api_token::verify(authn, tx, token).await,
        Kind::Session => session::verify(parts, authn, tx, token, route).await,
        Kind::Enrolment => Err(ApiError::forbidden("an enrolment token only enrols").into()),
    }
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
