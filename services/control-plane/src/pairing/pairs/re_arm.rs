//! Re-arming a pair that was disconnected.

use armour_api::{Pair, PairState, ProblemType, Reason};
use armour_storage::{NewEvent, PairingAction};

use crate::{
    http::{
        etag::{IfMatch, Tagged, tagged},
        extract::{Id, Json, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Re-arms a disconnected pair: its consumer may draw a newly minted bundle. With
/// `If-Match` only if the pair is still as read: not if it was re-armed and has
/// collided anew meanwhile, which nobody has looked at yet.
#[utoipa::path(post, path = "/v1/pairs/{id}/re-arm", tag = "pairs",
    params(("id" = Uuid, Path),
           ("If-Match" = Option<String>, Header, description = "The pair's `ETag` as read")),
    request_body = Reason,
    extensions(("x-problems" = json!([ProblemType::PairActive]))),
    responses((status = 200, body = Pair)))]
pub(super) async fn re_arm(
    mut member: Member,
    Id(id): Id,
    read: IfMatch,
    Json(reason): Json<Reason>,
) -> ApiResult<Tagged<Pair>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    let state = tx.pairs().lock(id).await?;
    read.check(&tx.pairs().find(id).await?)?;
    if state == PairState::Active {
        return Err(ApiError::new(
            ProblemType::PairActive,
            "the pair is not disconnected",
        ));
    }
    tx.pairs().set_state(id, PairState::Active).await?;
    tx.audit_log()
        .append(
            &actor,
            PairingAction::PairReArm {
                id,
                reason: &reason.reason,
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::PairReArmed {
            pair: id,
            reason: &reason.reason,
        })
        .await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}
