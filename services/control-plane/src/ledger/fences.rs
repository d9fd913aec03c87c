//! `/v1/tenants/{id}/fence`, `/v1/endpoint/log/restart`: going on after a restore.

use std::sync::Arc;

use armour_api::{AuditEntry, InclusionProof, LogRestart, LostHead, ProblemType, Reason};
use armour_storage::{Actor, StorageError, Store, TenancyAction, Tx};
use armour_transparency::TreeHead;
use axum::{
    Json as Answer,
    extract::{FromRef, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::{Id, Json, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, EndpointAuth, Platform},
    ledger::fence::fence,
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Store: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(fence_tenant))
        .routes(routes!(restart))
}

/// Fences a tenant after the database was restored to an earlier state: its bundles,
/// sessions and unused enrolment tokens end; endpoints draw new bundles.
#[utoipa::path(post, path = "/v1/tenants/{id}/fence", tag = "tenants",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 201, body = AuditEntry)))]
async fn fence_tenant(
    platform: Platform,
    State(store): State<Store>,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<(StatusCode, Answer<AuditEntry>)> {
    check_text("reason", &reason.reason, 500)?;
    let mut tx = platform.begin(&store).await?;
    let tenant = tx.tenants().find(id).await?;
    if tenant.deleted_at.is_some() {
        return Err(ApiError::not_found("no such tenant"));
    }
    let action = TenancyAction::Fence {
        id,
        reason: &reason.reason,
    };
    tx.audit_log().append(&Actor::Platform, action).await?;
    tx.bind(id).await?;
    let entry = fence(&mut tx, &Actor::Platform, &reason.reason, None).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(entry)))
}

/// Asks how the log goes on after a head that it signed and no longer holds. If no
/// fence explains that yet, the head proves that the database was restored, and the
/// tenant is fenced. A head by a key that was retired before the head's size proves nothing:
/// whoever holds that key could make one.
#[utoipa::path(post, path = "/v1/endpoint/log/restart", tag = "endpoint",
    request_body = LostHead,
    extensions(("x-problems" = json!([ProblemType::NothingLost]))),
    responses((status = 200, body = LogRestart)))]
async fn restart(
    mut caller: EndpointAuth,
    Json(lost): Json<LostHead>,
) -> ApiResult<Answer<LogRestart>> {
    let actor = caller.actor();
    let tx = &mut caller.tx;
    let keys = tx.log_keys().chain().await?;
    let (head, signer) = keys
        .signer(&lost.head)
        .ok_or_else(|| ApiError::invalid("no key of this log signed this head"))?;
    if head.size == 0 || holds(tx, &head).await? {
        return Err(ApiError::new(
            ProblemType::NothingLost,
            "the log holds what this head was signed for",
        ));
    }
    let seq = match tx.fences().find(head.size, head.at).await? {
        Some(seq) => seq,
        None => {
            keys.check(&lost.head).map_err(ApiError::invalid)?;
            let reason = "the database was restored: an endpoint has seen a later log";
            fence(tx, &actor, reason, Some(head.size)).await?.seq
        }
    };
    let now = tx.audit_tree().latest_head().await?;
    let entry = tx.audit_log().find(seq).await?.entry;
    let fence = InclusionProof {
        entry,
        size: now.size,
        root: now.root.clone(),
        inclusion: tx.audit_tree().prove_inclusion(seq, now.size).await?,
    };
    caller.tx.commit().await?;
    Ok(Answer(LogRestart {
        fence,
        head: now,
        rotations: keys.rotations()[signer..].to_vec(),
    }))
}

/// Whether our log begins with the one that the head was signed for.
async fn holds(tx: &mut Tx, head: &TreeHead) -> Result<bool, StorageError> {
    Ok(head.size <= tx.audit_log().size().await?
        && tx.audit_tree().root(head.size).await? == head.root)
}
