//! Proofs that the log only grew.

use armour_api::{ConsistencyProof, ProblemType};
use axum::Json as Answer;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    http::{
        extract::Params,
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Proof that a later tree begins with an earlier one (RFC 9162, section 2.1.4).
#[utoipa::path(get, path = "/v1/audit/consistency", tag = "audit", params(Sizes),
    extensions(("x-problems" = json!([ProblemType::NotFound]))),
    responses((status = 200, body = ConsistencyProof)))]
pub(super) async fn consistency(
    mut member: Member,
    Params(sizes): Params<Sizes>,
) -> ApiResult<Answer<ConsistencyProof>> {
    let tx = &mut member.tx;
    let latest = tx.audit_log().size().await?;
    let size = sizes.size.unwrap_or(latest);
    if sizes.first == 0 || sizes.first > size || size > latest {
        return Err(ApiError::not_found("the log never had these sizes"));
    }
    Ok(Answer(ConsistencyProof {
        first: sizes.first,
        first_root: STANDARD.encode(tx.audit_tree().root(sizes.first).await?),
        size,
        root: STANDARD.encode(tx.audit_tree().root(size).await?),
        consistency: tx.audit_tree().prove_consistency(sizes.first, size).await?,
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sizes {
    /// Size of the earlier tree, at least 1.
    first: u64,
    /// Size of the later tree; the latest if absent.
    size: Option<u64>,
}
