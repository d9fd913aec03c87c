//! Access tokens for the holders of endpoints' keys.

use std::sync::Arc;

use armour_api::{AccessToken, Endpoint, EndpointState, ProblemType, TokenRequest};
use armour_storage::{Actor, StorageError};
use axum::{Json as Answer, extract::State, http::request::Parts};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::{self, Authn, Route, denial::Denied, dpop},
};

/// Gives an access token to the holder of an endpoint's key, to which the token is
/// bound (RFC 9449, section 5).
#[utoipa::path(post, path = "/v1/endpoint/token", tag = "endpoint", request_body = TokenRequest,
    params(("DPoP" = String, Header, description = "A proof with the endpoint's Ed25519 key")),
    security(()),
    extensions(("x-problems" = json!([
        ProblemType::InvalidDpopProof, ProblemType::UseDpopNonce, ProblemType::EndpointRevoked
    ]))),
    responses((status = 200, body = AccessToken)))]
pub(super) async fn token(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(ask): Json<TokenRequest>,
) -> ApiResult<Answer<AccessToken>> {
    let proof = dpop::check(&parts, &authn, None)?;
    let endpoint = find(&authn, &ask).await?;
    let denied = Denied {
        tenant: ask.tenant_id,
        actor: Actor::Endpoint(endpoint.id),
        route: &Route::of(&parts),
    };
    if !is_key_of(&endpoint, &proof.key)? {
        let why = "a proof with another key";
        authn.denials.note(&denied, why).await;
        return Err(unknown());
    }
    dpop::consume(&authn, ask.tenant_id, &proof).await?;
    if endpoint.state == EndpointState::Revoked {
        let why = "the endpoint was revoked";
        authn.denials.note(&denied, why).await;
        return Err(authn::revoked());
    }
    let issued =
        authn::issue_access_token(&authn, ask.tenant_id, endpoint.id, proof.thumbprint).await?;
    Ok(Answer(issued))
}

async fn find(authn: &Authn, ask: &TokenRequest) -> ApiResult<Endpoint> {
    let mut tx = authn.store.tenant(ask.tenant_id).await?;
    match tx.endpoints().find(ask.endpoint_id).await {
        Ok(endpoint) => Ok(endpoint),
        Err(StorageError::NotFound) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

fn is_key_of(endpoint: &Endpoint, proved: &str) -> ApiResult<bool> {
    let key = STANDARD
        .decode(&endpoint.signing_key)
        .map_err(ApiError::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(key) == proved)
}

/// What whoever proves another key is told: not which endpoints exist.
fn unknown() -> ApiError {
    dpop::invalid("it is of no known endpoint")
}
