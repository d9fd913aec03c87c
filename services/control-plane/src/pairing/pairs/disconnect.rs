//! Disconnecting a pair by hand.

use armour_api::{Pair, Reason};

use crate::{
    http::{
        etag::{Tagged, tagged},
        extract::{Id, Json, check_text},
        problem::ApiResult,
    },
    identity::authn::Member,
    ledger::disconnect::{self, Scope},
};

/// Disconnects a pair and all of its bundles.
#[utoipa::path(post, path = "/v1/pairs/{id}/disconnect", tag = "pairs",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Pair)))]
pub(super) async fn disconnect(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Tagged<Pair>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.pairs().lock(id).await?;
    disconnect::disconnect(tx, &actor, Scope::Pair(id), &reason.reason).await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}
