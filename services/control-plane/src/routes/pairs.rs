//! `/v1/pairs`: who may call whom, and under which policy.

use armour_api::{NewPair, Page, Pair, PairSort, PairState, Policy, Problem, Reason};
use armour_storage::{Counted, NewEvent, PairQuery};
use axum::{Json as Answer, http::StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::Member,
    collision::{Scope, disconnect as cut},
    etag::{IfMatch, Tagged, tagged},
    extract::{Id, Json, Params, check_text},
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
    tx.quotas().check(Counted::Pairs).await?;
    let pair = tx
        .pairs()
        .create(
            Uuid::now_v7(),
            new.consumer_id,
            new.producer_id,
            &new.policy,
        )
        .await?;
    tx.audit_log()
        .append(&actor, "pair.create", pair.id, json!({ "pair": pair }))
        .await?;
    tx.events()
        .record(&NewEvent {
            kind: "pair.created",
            pair: Some(pair.id),
            ..Default::default()
        })
        .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(pair)))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `next` of the page before, of the same order.
    cursor: Option<String>,
    /// Part of the consumer's or the producer's name, in any case.
    search: Option<String>,
    /// Only in this state.
    state: Option<PairState>,
    /// In which order; the newest first if absent.
    sort: Option<PairSort>,
    /// How many at the most, 1 to 500; 100 if absent.
    limit: Option<u16>,
}

/// Lists pairs.
#[utoipa::path(get, path = "/v1/pairs", tag = "pairs", params(Filter),
    responses((status = 200, body = Page<Pair>), (status = "4XX", body = Problem)))]
async fn list(mut member: Member, Params(filter): Params<Filter>) -> ApiResult<Answer<Page<Pair>>> {
    let limit = filter.limit.unwrap_or(100);
    if !(1..=500).contains(&limit) {
        return Err(ApiError::invalid("limit must be from 1 to 500"));
    }
    if let Some(search) = &filter.search {
        check_text("search", search, 100)?;
    }
    let after = filter.cursor.as_deref().map(read_cursor).transpose()?;
    let sort = filter.sort.unwrap_or(PairSort::Newest);
    let mut pairs = member
        .tx
        .pairs()
        .search(&PairQuery {
            search: filter.search.as_deref(),
            state: filter.state,
            sort,
            after: after.as_ref(),
            limit: i64::from(limit) + 1,
        })
        .await?;
    let more = pairs.len() > limit.into();
    pairs.truncate(limit.into());
    let next = pairs.last().filter(|_| more).map(|last| {
        let key = match sort {
            PairSort::Newest | PairSort::Oldest => "",
            PairSort::Consumer | PairSort::ConsumerDescending => &last.consumer_name,
            PairSort::Producer | PairSort::ProducerDescending => &last.producer_name,
        };
        write_cursor(key, last.id)
    });
    Ok(Answer(Page { items: pairs, next }))
}

/// One pair; its `ETag` changes with each change of it.
#[utoipa::path(get, path = "/v1/pairs/{id}", tag = "pairs", params(("id" = Uuid, Path)),
    responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Tagged<Pair>> {
    Ok(tagged(member.tx.pairs().find(id).await?))
}

/// Replaces a pair's policy; endpoints follow it from their next bundle on. With
/// `If-Match` only if nobody has changed the pair since.
#[utoipa::path(put, path = "/v1/pairs/{id}/policy", tag = "pairs",
    params(("id" = Uuid, Path),
           ("If-Match" = Option<String>, Header, description = "The pair's `ETag` as read")),
    request_body = Policy, responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn set_policy(
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
            "pair.policy",
            id,
            json!({ "before": before.policy, "after": policy }),
        )
        .await?;
    tx.events()
        .record(&NewEvent {
            kind: "pair.updated",
            pair: Some(id),
            detail: json!({ "policy": policy }),
            ..Default::default()
        })
        .await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}

fn write_cursor(key: &str, id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode([id.as_bytes(), key.as_bytes()].concat())
}

fn read_cursor(text: &str) -> ApiResult<(String, Uuid)> {
    let wrong = || ApiError::invalid("cursor must be the next of a page before");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (id, key) = bytes.split_first_chunk::<16>().ok_or_else(wrong)?;
    let key = std::str::from_utf8(key).map_err(|_| wrong())?;
    if key.contains('\0') {
        return Err(wrong());
    }
    Ok((key.to_owned(), Uuid::from_bytes(*id)))
}

/// Disconnects a pair and all of its bundles.
#[utoipa::path(post, path = "/v1/pairs/{id}/disconnect", tag = "pairs",
    params(("id" = Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn disconnect(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Tagged<Pair>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.pairs().lock(id).await?;
    let scope = Scope {
        pair: Some(id),
        endpoint: None,
        bundle: None,
    };
    cut(tx, &actor, scope, &reason.reason).await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}

/// Re-arms a disconnected pair: its consumer may draw a newly minted bundle. With
/// `If-Match` only if the pair is still as read: not if it was re-armed and has
/// collided anew meanwhile, which nobody has looked at yet.
#[utoipa::path(post, path = "/v1/pairs/{id}/re-arm", tag = "pairs",
    params(("id" = Uuid, Path),
           ("If-Match" = Option<String>, Header, description = "The pair's `ETag` as read")),
    request_body = Reason, responses((status = 200, body = Pair), (status = "4XX", body = Problem)))]
async fn re_arm(
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
        return Err(ApiError::conflict(
            "pair-active",
            "the pair is not disconnected",
        ));
    }
    tx.pairs().set_state(id, PairState::Active).await?;
    tx.audit_log()
        .append(
            &actor,
            "pair.re-arm",
            id,
            json!({ "reason": reason.reason }),
        )
        .await?;
    tx.events()
        .record(&NewEvent {
            kind: "pair.re-armed",
            pair: Some(id),
            detail: json!({ "reason": reason.reason }),
            ..Default::default()
        })
        .await?;
    let pair = tx.pairs().find(id).await?;
    member.tx.commit().await?;
    Ok(tagged(pair))
}
