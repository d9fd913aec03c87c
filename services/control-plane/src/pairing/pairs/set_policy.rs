//! Pairs' policies.

use armour_api::{Pair, Policy};
use armour_storage::{NewEvent, PairingAction};

use crate::{
    http::{
        etag::{IfMatch, Tagged, tagged},
        extract::{Id, Json},
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Replaces a pair's policy; endpoints follow it from their next bundle on. With
/// `If-Match` only if nobody has changed the pair since.
#[utoipa::path(put, path = "/v1/pairs/{id}/policy", tag = "pairs",
    params(("id" = Uuid, Path),
           ("If-Match" = Option<String>, Header, description = "The pair's `ETag` as read")),
    request_body = Policy, responses((status = 200, body = Pair)))]
pub(super) async fn set_policy(
    mut member: Member,
    Id(id): Id,
    read: IfMatch,
    Json(policy): Json<Policy>,
) -> ApiResult<Tagged<Pair>> {
    policy.check().map_err(ApiError::invalid)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.pairs().lock(id).await?;
    let before = tx.pairs().find(id).await?;
    read.check(&before)?;
    tx.pairs().set_policy(id, &policy).await?;
    tx.audit_log()
        .append(
            &actor,
            PairingAction::PairPolicy {
                id,
                before: &before.policy,
                after: &policy,
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::PairUpdated {
            pair: id,
            policy: &policy,
        })
        .await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}
