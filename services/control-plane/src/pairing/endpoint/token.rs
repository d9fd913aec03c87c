//! Access tokens for the holders of the keys of endpoints' living starts.

use std::sync::Arc;

use armour_api::{AccessToken, ProblemType, TokenRequest};
use armour_storage::{Actor, Urgency};
use axum::{Json as Answer, extract::State, http::request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
        rate_limit::Source,
    },
    identity::authn::{
        self, Authn, Route,
        denial::Denied,
        dpop,
        signed_calls::{KnownKeys, Signatory},
    },
};

/// Gives an access token to the holder of the key that an endpoint's living start signs with,
/// to which the token is bound (RFC 9449, section 5).
#[utoipa::path(post, path = "/v1/endpoint/token", tag = "endpoint", request_body = TokenRequest,
    params(("DPoP" = String, Header, description = "A proof with the start's Ed25519 key")),
    security(()),
    extensions(("x-problems" = json!([
        ProblemType::InvalidDpopProof, ProblemType::UseDpopNonce, ProblemType::EndpointRevoked,
        ProblemType::IdentityCollided, ProblemType::StartEnded
    ]))),
    responses((status = 200, body = AccessToken)))]
pub(super) async fn token(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(ask): Json<TokenRequest>,
) -> ApiResult<Answer<AccessToken>> {
    let (calls, source) = (&authn.signed_calls, Source::of(&parts.extensions));
    let proof = dpop::check(&parts, &authn, None).inspect_err(|_| calls.unverified(source))?;
    let key = URL_SAFE_NO_PAD.decode(&proof.key).unwrap_or_default();
    let by = Signatory {
        tenant: ask.tenant_id,
        endpoint: ask.endpoint_id,
    };
    let is_known = calls.admit(source, by, |known| match &known.start {
        Some((_, keys)) => keys.iter().any(|known| known.as_bytes()[..] == key),
        None => false,
    })?;
    let mut tx = match is_known {
        true => authn.store.tenant_for(ask.tenant_id, Urgency::Life).await?,
        false => {
            authn
                .store
                .tenant_unproven(ask.tenant_id, Urgency::Life)
                .await?
        }
    };
    // Any start's, so that one that has ended is told so.
    let known = tx.starts().has_key(ask.endpoint_id, &key).await?;
    drop(tx);
    if !known {
        // Whoever made that key is not the endpoint: nothing is noted of it there.
        calls.unverified(source);
        return Err(unknown());
    }
    calls.verified(by, KnownKeys::default())?;
    let denied = Denied {
        tenant: ask.tenant_id,
        actor: Actor::Endpoint(ask.endpoint_id),
        route: &Route::of(&parts),
    };
    let standing = dpop::consume(&authn, ask.tenant_id, &proof, Some(ask.endpoint_id)).await?;
    if let Err(why) = authn::living_start(standing.as_ref(), &proof.key, authn.now()) {
        return Err(authn::refuse(&authn, &denied, why).await);
    }
    let issued =
        authn::issue_access_token(&authn, ask.tenant_id, ask.endpoint_id, proof.thumbprint).await?;
    Ok(Answer(issued))
}

/// What whoever proves another key is told: not which endpoints exist.
fn unknown() -> ApiError {
    dpop::invalid("it is of no known endpoint")
}
