//! Another key for the log.

use armour_api::{LogKeyRotation, Reason};
use axum::{Json as Answer, http::StatusCode};

use crate::{
    http::{
        extract::{Json, check_text},
        problem::ApiResult,
    },
    identity::authn::Member,
};

/// Replaces the key that signs the log. The old key signs that the new one follows it, and
/// its secret is erased; answers with the log's head hold the rotation, by which whoever
/// knows the old key follows.
#[utoipa::path(post, path = "/v1/audit/key-rotations", tag = "audit", request_body = Reason,
    responses((status = 201, body = LogKeyRotation)))]
pub(super) async fn rotate_key(
    mut member: Member,
    Json(reason): Json<Reason>,
) -> ApiResult<(StatusCode, Answer<LogKeyRotation>)> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let rotation = member.tx.log_keys().rotate(&actor, &reason.reason).await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(rotation)))
}
