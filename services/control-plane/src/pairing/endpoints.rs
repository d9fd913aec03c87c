//! `/v1/endpoints`: enrolled agents, as operators see them.

use std::sync::Arc;

use armour_api::{Endpoint, Page, Reason};
use armour_storage::{NewEvent, PairingAction};
use axum::{Json as Answer, extract::FromRef};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::{Cursor, Id, Json, Params, check_text},
        problem::ApiResult,
    },
    identity::authn::{Authn, Member},
    ledger::disconnect::{Scope, cut},
    pairing::{assignments::changed, certificate},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(revoke))
        .routes(routes!(certificate::set_certificate))
}

/// Lists endpoints.
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints", params(Cursor),
    responses((status = 200, body = Page<Endpoint>)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Endpoint>>> {
    Ok(Answer(member.tx.endpoints().list(cursor.cursor).await?))
}

/// One endpoint.
#[utoipa::path(get, path = "/v1/endpoints/{id}", tag = "endpoints", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Endpoint)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Endpoint>> {
    Ok(Answer(member.tx.endpoints().find(id).await?))
}

/// Revokes an endpoint and disconnects its bundles.
#[utoipa::path(post, path = "/v1/endpoints/{id}/revoke", tag = "endpoints",
    params(("id" = uuid::Uuid, Path)), request_body = Reason,
    responses((status = 200, body = Endpoint)))]
async fn revoke(
    mut member: Member,
    Id(id): Id,
    Json(reason): Json<Reason>,
) -> ApiResult<Answer<Endpoint>> {
    check_text("reason", &reason.reason, 500)?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.endpoints().lock(id).await?;
    if tx.endpoints().revoke(id).await? {
        let ended = cut(tx, Scope::endpoint(id)).await?;
        tx.audit_log()
            .append(
                &actor,
                PairingAction::EndpointRevoke {
                    id,
                    reason: &reason.reason,
                },
            )
            .await?;
        tx.events()
            .record(NewEvent::EndpointRevoked {
                endpoint: id,
                reason: &reason.reason,
            })
            .await?;
        ended.tell(tx, &actor, "endpoint revoked").await?;
        let revoked = tx.endpoints().find(id).await?;
        changed(tx, &revoked).await?;
    }
    let endpoint = tx.endpoints().find(id).await?;
    member.tx.commit().await?;
    Ok(Answer(endpoint))
}
