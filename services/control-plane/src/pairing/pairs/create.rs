//! Pairing.

use armour_api::{NewPair, Pair, ProblemType};
use armour_storage::{Counted, NewEvent, PairingAction};
use axum::{Json as Answer, http::StatusCode};

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Pairs a consumer with a producer.
#[utoipa::path(post, path = "/v1/pairs", tag = "pairs", request_body = NewPair,
    extensions(("x-problems" = json!([
        ProblemType::AlreadyExists, ProblemType::OverQuota, ProblemType::NotFound
    ]))),
    responses((status = 201, body = Pair)))]
pub(super) async fn create(
    mut member: Member,
    Json(new): Json<NewPair>,
) -> ApiResult<(StatusCode, Answer<Pair>)> {
    new.policy.check().map_err(ApiError::invalid)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.quotas().check(Counted::Pairs).await?;
    let id = tx.new_id();
    let pair = tx
        .pairs()
        .create(id, new.consumer_id, new.producer_id, &new.policy)
        .await?;
    tx.audit_log()
        .append(&actor, PairingAction::PairCreate { pair: &pair })
        .await?;
    tx.events()
        .record(NewEvent::PairCreated { pair: pair.id })
        .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(pair)))
}
