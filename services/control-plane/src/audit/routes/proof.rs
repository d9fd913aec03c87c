//! Proofs that an entry is in the log.

use armour_api::InclusionProof;
use armour_storage::StorageError;
use axum::{
    Json as Answer,
    extract::{Path, rejection::PathRejection},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    http::{
        extract::Params,
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// An entry, and proof that it is in the tree (RFC 9162, section 2.1.3).
#[utoipa::path(get, path = "/v1/audit/{seq}/proof", tag = "audit",
    params(("seq" = i64, Path), InTree),
    responses((status = 200, body = InclusionProof)))]
pub(super) async fn proof(
    mut member: Member,
    seq: Result<Path<i64>, PathRejection>,
    Params(tree): Params<InTree>,
) -> ApiResult<Answer<InclusionProof>> {
    let Ok(Path(seq)) = seq else {
        return Err(StorageError::NotFound.into());
    };
    let tx = &mut member.tx;
    let entry = tx.audit_log().find(seq).await?.entry;
    let latest = tx.audit_log().size().await?;
    let size = tree.size.unwrap_or(latest);
    if size == 0 || size > latest {
        return Err(ApiError::not_found("the log never had this size"));
    }
    Ok(Answer(InclusionProof {
        entry,
        size,
        root: STANDARD.encode(tx.audit_tree().root(size).await?),
        inclusion: tx.audit_tree().prove_inclusion(seq, size).await?,
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InTree {
    /// Size of the tree; the latest if absent.
    size: Option<u64>,
}
