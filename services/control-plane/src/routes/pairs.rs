//! `/v1/pairs`: who may call whom, and under which policy.

use armour_api::{NewPair, Page, Pair, PairState, Policy, Problem, Reason};
use armour_storage::{Counted, NewEvent};
use axum::{Json as Answer, http::StatusCode};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::Member,
    collision::{Scope, disconnect as cut},
    extract::{Cursor, Id, Json, Params, check_text},
    problem::{ApiError, ApiResult},
    state::App,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get))
        .routes(routes!(set_policy))
        .routes(routes!(disconnect))
        .routes(routes!(re_arm))
}

/// Pairs a consumer with a producer.
#[utoipa::path(post, path = "/v1/pairs", tag = "pairs", request_body = NewPair,
    responses((status = 201, body = Pair), (status = "4XX", body = Problem)))]
async fn create(
    mut member: Member,
    Json(new): Json<NewPair>,
) -> ApiResult<(StatusCode, Answer<Pair>)> {
    new.policy.check().map_err(ApiError::invalid)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.check_quota(Counted::Pairs).await?;
    let pair = tx
        .create_pair(
            Uuid::now_v7(),
            new.consumer_id,
            new.producer_id,
            &new.policy,
        )
        .await?;
    tx.audit(&actor, "pair.create", pair.id, json!({ "pair": pair }))
        .await?;
    tx.record_event(&NewEvent {
        kind: "pair.created",
        pair: Some(pair.id),
        ..Default::default()
    })
    .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(pair)))
}

/// Lists pairs.
#[utoipa::path(get, path = "/v1/pairs", tag = "pairs", params(Cursor),
    responses((status = 200, body = Page<Pair>), (status = "4XX", body = Problem)))]
async fn list(mut member: Member, Params(cursor): Params<Cursor>) -> ApiResult<Answer<Page<Pair>>> {
    Ok(Answer(member.tx.list_pairs(None, cursor.cursor).await?))
}

/// One pair.
#[utoipa::path(get, path = "/v1/pairs/{id}", tag = "pairs", params(("id" = Uuid, Path)),
    responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Pair>> {
    Ok(Answer(member.tx.find_pair(id).await?))
}

/// Replaces a pair's policy; endpoints follow it from their next bundle on.
#[utoipa::path(put, path = "/v1/pairs/{id}/policy", tag = "pairs", params(("id" = Uuid, Path)),
    request_body = Policy, responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn set_policy(
    mut member: Member,
    Id(id): Id,
    Json(policy): Json<Policy>,
) -> ApiResult<Answer<Pair>> {
    policy.check().map_err(ApiError::invalid)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    let before = tx.find_pair(id).await?.policy;
    tx.set_pair_policy(id, &policy).await?;
    tx.audit(
        &actor,
        "pair.policy",
        id,
        json!({ "before": before, "after": policy }),
    )
    .await?;
    tx.record_event(&NewEvent {
        kind: "pair.updated",
        pair: Some(id),
        detail: json!({ "policy": policy }),
        ..Default::default()
    })
    .await?;
    let pair = tx.find_pair(id).await?;
    member.tx.commit().await?;
    Ok(Answer(pair))
}

/// Disconnects a pair and all of its bundles.
#[utoipa::path(post, path = "/v1/pairs/{id}/disconnect", tag = "pairs",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn disconnect(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Answer<Pair>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.lock_pair(id).await?;
    let scope = Scope {
        pair: Some(id),
        endpoint: None,
        bundle: None,
    };
    cut(tx, &actor, scope, &reason.reason).await?;
    let pair = tx.find_pair(id).await?;
    member.tx.commit().await?;
    Ok(Answer(pair))
}

/// Re-arms a disconnected pair: its consumer may draw a newly minted bundle.
#[utoipa::path(post, path = "/v1/pairs/{id}/re-arm", tag = "pairs", params(("id" = Uuid, Path)),
    request_body = Reason, responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn re_arm(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Answer<Pair>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    if tx.lock_pair(id).await? == PairState::Active {
        return Err(ApiError::conflict(
            "pair-active",
            "the pair is not disconnected",
        ));
    }
    tx.set_pair_state(id, PairState::Active).await?;
    tx.audit(
        &actor,
        "pair.re-arm",
        id,
        json!({ "reason": reason.reason }),
    )
    .await?;
    tx.record_event(&NewEvent {
        kind: "pair.re-armed",
        pair: Some(id),
        detail: json!({ "reason": reason.reason }),
        ..Default::default()
    })
    .await?;
    let pair = tx.find_pair(id).await?;
    member.tx.commit().await?;
    Ok(Answer(pair))
}
