//! The living start's word that it lives.

use std::sync::Arc;

use armour_api::{AnswerPresence, EndpointState, ProblemType};
use armour_protocol::v2::identity::{incarnation::Presence, mark::Incarnated, start::StartHash};
use armour_storage::{StartRow, Tx, Urgency};
use axum::{
    extract::State,
    http::{StatusCode, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use super::lookup::{find, unknown};
use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
        rate_limit::Source,
    },
    identity::authn::{
        Authn,
        signed_calls::{KnownKeys, Signatory},
    },
};

/// Says that the living start lives, though another one wants its place, as event
/// `endpoint.presence-asked` told.
#[utoipa::path(post, path = "/v1/endpoint/presence", tag = "endpoint",
    request_body = AnswerPresence, security(()),
    extensions(("x-problems" = json!([ProblemType::Unauthenticated, ProblemType::NotFound]))),
    responses((status = 204)))]
pub(super) async fn answer(
    State(authn): State<Arc<Authn>>,
    parts: Parts,
    Json(said): Json<AnswerPresence>,
) -> ApiResult<StatusCode> {
    let other = StartHash(bytes("other", &said.other)?);
    let signature: [u8; 64] = bytes("signature", &said.signature)?;
    let presence = Presence::from_bytes(signature);
    let (calls, source) = (&authn.signed_calls, Source::of(&parts.extensions));
    let by = Signatory {
        tenant: said.tenant_id,
        endpoint: said.endpoint_id,
    };
    let is_known = calls.admit(source, by, |known| match &known.start {
        Some((of, keys)) => keys.iter().any(|key| presence.verify(of, key, other)),
        None => false,
    })?;
    let mut tx = match is_known {
        true => {
            authn
                .store
                .tenant_for(said.tenant_id, Urgency::Life)
                .await?
        }
        false => {
            authn
                .store
                .tenant_unproven(said.tenant_id, Urgency::Life)
                .await?
        }
    };
    let living = living(&mut tx, said.endpoint_id).await?;
    let signed = living.filter(|(of, key)| presence.verify(of, key, other));
    let Some((of, key)) = signed else {
        calls.unverified(source);
        return Err(unknown());
    };
    // By the endpoint alone: it waits behind nothing, least of all the tenant's other endpoints.
    let keys = KnownKeys {
        long_term: None,
        start: Some((of, vec![key])),
    };
    calls.verified(by, keys)?;
    let asked = tx
        .presence_questions()
        .answer(said.endpoint_id, other, &signature)
        .await?;
    if !asked {
        return Err(ApiError::not_found("this is not asked"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An active endpoint's living start, and the key that it signs with now.
async fn living(tx: &mut Tx, endpoint: Uuid) -> ApiResult<Option<(Incarnated, VerifyingKey)>> {
    match find(tx, endpoint).await? {
        Some((endpoint, _)) if endpoint.state == EndpointState::Active => {}
        _ => return Ok(None),
    }
    let Some(StartRow { hash, start, .. }) = tx.starts().living(endpoint).await? else {
        return Ok(None);
    };
    let mut keys = tx.starts().keys_around(endpoint, hash, u64::MAX).await?;
    let key = keys.pop().map(|row| row.span.key);
    Ok(key.map(|key| (Incarnated::by(start.unverified()), key)))
}

fn bytes<const N: usize>(field: &str, text: &str) -> ApiResult<[u8; N]> {
    STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ApiError::invalid(format!("{field} must be {N} bytes in base64")))
}
