//! Choosing between two starts of an endpoint that both live.

use armour_api::{ChooseStart, Endpoint, StartChoice};
use armour_protocol::v2::identity::judge::{Choice, StartVerdict};
use armour_storage::{NewStart, PairingAction};
use axum::Json as Answer;

use super::{
    accept::{Announced, accept},
    dispute,
    lookup::find,
    verdict::{Known, judge},
};
use crate::{
    http::{
        extract::{Id, Json},
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Says which of two starts of an endpoint is the endpoint: the older, which goes on, or the
/// newer, which takes its place. The other one ends.
#[utoipa::path(post, path = "/v1/endpoints/{id}/start-choice", tag = "endpoints",
    params(("id" = uuid::Uuid, Path)), request_body = ChooseStart,
    responses((status = 200, body = Endpoint)))]
pub(super) async fn choose(
    mut member: Member,
    Id(id): Id,
    Json(ask): Json<ChooseStart>,
) -> ApiResult<Answer<Endpoint>> {
    let actor = member.actor();
    let tx = &mut member.tx;
    let (endpoint, key) = find(tx, id).await?.ok_or_else(none)?;
    tx.endpoints().lock(id).await?;
    let dispute = tx.disputes().find(id).await?.ok_or_else(none)?;
    if dispute::is_over(tx, &dispute) {
        dispute::end_both(tx, id).await?;
        member.tx.commit().await?;
        return Err(none());
    }
    let Ok(known) = Known::lock(tx, id, dispute.start.unverified()).await? else {
        return Err(none());
    };
    let living = known.living().ok_or_else(none)?.hash;
    let declined = match ask.keep {
        StartChoice::Older => dispute.newer,
        StartChoice::Newer => living,
    };
    // What may be superseded is locked before the journal.
    let live = tx.bundles().live_of_endpoint(id).await?;
    tx.bundles().lock(&live).await?;
    tx.audit_log()
        .append(
            &actor,
            PairingAction::EndpointStartChoice {
                id,
                keep: ask.keep,
                declined: &hex::encode(declined.0),
            },
        )
        .await?;
    match ask.keep {
        StartChoice::Older => {
            tx.disputes().decline(id, dispute.newer).await?;
            tx.disputes().end(id).await?;
        }
        StartChoice::Newer => {
            let verdict = judge(&dispute.start, &key, &known, tx.now(), Some(Choice::Newer))?;
            if !matches!(verdict, StartVerdict::Accept { .. }) {
                return Err(ApiError::internal(
                    "a disputed start that cannot be accepted",
                ));
            }
            let announced = Announced {
                endpoint: &endpoint,
                new: NewStart {
                    endpoint: id,
                    start: &dispute.start,
                    host: dispute.host.as_deref(),
                    process: dispute.process,
                },
                address: dispute.address.as_deref(),
            };
            accept(tx, &announced, &actor).await?;
        }
    }
    let endpoint = tx.endpoints().find(id).await?;
    member.tx.commit().await?;
    Ok(Answer(endpoint))
}

fn none() -> ApiError {
    ApiError::not_found(
        "no two starts of such an endpoint both live; `armour endpoints disputes` lists those of \
         which two do",
    )
}
