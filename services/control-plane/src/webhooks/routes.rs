//! `/v1/webhooks`: receivers that are told of events, signed after Standard
//! Webhooks.

use std::sync::Arc;

use armour_api::{CreatedWebhook, Delivery, EventKind, NewWebhook, Page, ProblemType, Webhook};
use armour_storage::{Counted, WebhookAction};
use axum::{
    Json as Answer,
    extract::{FromRef, State},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use crate::{
    http::{
        extract::{Cursor, Id, Ids, Json, Params, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, Member},
    platform::egress::{Egresses, Purpose},
    webhooks::delivery::secret_name,
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Egresses: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(enable))
        .routes(routes!(deliveries))
        .routes(routes!(replay))
}

/// Adds a receiver; the secret that signs what it is told is shown this once.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = NewWebhook,
    extensions(("x-problems" = json!([ProblemType::OverQuota]))),
    responses((status = 201, body = CreatedWebhook)))]
async fn create(
    State(egresses): State<Egresses>,
    mut member: Member,
    Json(new): Json<NewWebhook>,
) -> ApiResult<(StatusCode, Answer<CreatedWebhook>)> {
    check_text("url", &new.url, 500)?;
    if new.kinds.is_empty() || new.kinds.len() > 50 {
        return Err(ApiError::invalid("kinds must name 1 to 50 kinds of events"));
    }
    // One that is misspelt would never be told of.
    let known = |kind: &&String| *kind == "*" || kind.parse::<EventKind>().is_ok();
    if let Some(unknown) = new.kinds.iter().find(|kind| !known(kind)) {
        check_text("a kind", unknown, 100)?;
        return Err(ApiError::invalid(format!(
            "there are no events {unknown}; there are * and {}",
            EventKind::WORDS.join(", ")
        )));
    }
    egresses
        .of(Purpose::Webhooks, member.tx.tenant_id())
        .check(&new.url)
        .map_err(|error| ApiError::invalid(format!("url: {error}")))?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.quotas().check(Counted::Webhooks).await?;
    let id = tx.new_id();
    let mut secret = Zeroizing::new([0u8; 32]);
    tx.random().fill(&mut *secret);
    let webhook = tx.webhooks().create(id, &new.url, &new.kinds).await?;
    tx.secrets().put(&secret_name(id), &secret[..]).await?;
    tx.audit_log()
        .append(&actor, WebhookAction::Create { webhook: &webhook })
        .await?;
    member.tx.commit().await?;
    Ok((
        StatusCode::CREATED,
        Answer(CreatedWebhook {
            webhook,
            secret: format!("whsec_{}", STANDARD.encode(*secret)),
        }),
    ))
}

/// Lists receivers, without their secrets.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(Cursor),
    responses((status = 200, body = Page<Webhook>)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Webhook>>> {
    Ok(Answer(member.tx.webhooks().list(cursor.cursor).await?))
}

/// One receiver.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Webhook)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Webhook>> {
    Ok(Answer(member.tx.webhooks().find(id).await?))
}

/// Has a receiver that was disabled, because it answered that it is gone, told again of what
/// happens from now on.
#[utoipa::path(post, path = "/v1/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Webhook)))]
async fn enable(mut member: Member, Id(id): Id) -> ApiResult<Answer<Webhook>> {
    let actor = member.actor();
    let webhook = member.tx.webhooks().enable(id).await?;
    member
        .tx
        .audit_log()
        .append(&actor, WebhookAction::Enable { id })
        .await?;
    member.tx.commit().await?;
    Ok(Answer(webhook))
}

/// Removes a receiver and what it has not been told yet.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn delete(mut member: Member, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = member.actor();
    member.tx.webhooks().delete(id).await?;
    member.tx.secrets().erase(&[secret_name(id)]).await?;
    member
        .tx
        .audit_log()
        .append(&actor, WebhookAction::Delete { id })
        .await?;
    member.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what a receiver was told and is to be told, latest first.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = Uuid, Path), Cursor),
    responses((status = 200, body = Page<Delivery>)))]
async fn deliveries(
    mut member: Member,
    Id(id): Id,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Delivery>>> {
    Ok(Answer(
        member.tx.deliveries().list(id, cursor.cursor).await?,
    ))
}

/// Tells a receiver again, with the same `webhook-id`.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/replay", tag = "webhooks",
    params(("id" = Uuid, Path), ("delivery" = Uuid, Path)),
    extensions(("x-problems" = json!([ProblemType::WebhookDisabled]))),
    responses((status = 200, body = Delivery)))]
async fn replay(mut member: Member, ids: Ids<2>) -> ApiResult<Answer<Delivery>> {
    let [id, delivery] = ids.0;
    let actor = member.actor();
    if member.tx.webhooks().find(id).await?.disabled_at.is_some() {
        return Err(ApiError::new(
            ProblemType::WebhookDisabled,
            "the webhook is disabled, since its receiver said that it is gone; enable it first",
        ));
    }
    let replayed = member.tx.deliveries().replay(id, delivery).await?;
    member
        .tx
        .audit_log()
        .append(
            &actor,
            WebhookAction::Replay {
                delivery,
                webhook_id: id,
            },
        )
        .await?;
    member.tx.commit().await?;
    Ok(Answer(replayed))
}
