//! `/v1/endpoint/receipts`: a consumer shows a receipt that its producer does not know.

use std::sync::Arc;

use armour_api::{CollisionKind, ProblemType, Role, ShowReceipt};
use armour_protocol::v2::{body::Kind, ledger::Testimony, message::Evidence};
use axum::{extract::FromRef, http::StatusCode};
use base64::{Engine, engine::general_purpose::STANDARD};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, EndpointAuth},
    ledger::collision::{Found, record_collision},
    pairing::access,
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(show))
}

/// Shows the receipt that the ledger asked for. If the producer signed another one for the same
/// ticket, its state was copied.
#[utoipa::path(post, path = "/v1/endpoint/receipts", tag = "endpoint", request_body = ShowReceipt,
    extensions(("x-problems" = json!([ProblemType::NotFound, ProblemType::NotRecorded]))),
    responses((status = 204)))]
async fn show(mut caller: EndpointAuth, Json(ask): Json<ShowReceipt>) -> ApiResult<StatusCode> {
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    let found = tx.bundles().find_many(&[ask.bundle_id]).await?;
    let found = found.get(&ask.bundle_id);
    let (bundle, side) = access::own(found, consumer.id, caller.start)?;
    if side != Role::Consumer {
        return Err(ApiError::not_found("no such bundle of this consumer"));
    }
    let context = tx.context(bundle.id).await?;
    let bytes = STANDARD.decode(&ask.receipt).ok();
    let evidence = bytes.and_then(|bytes| Evidence::from_bytes(&bytes).ok());
    let evidence = evidence.ok_or_else(|| ApiError::invalid("this is no receipt"))?;
    let header = evidence.body.header;
    let shown = Testimony::Alone(evidence);
    let receipt = shown
        .body(&context, header.lane, Kind::Receipt, header.n)
        .map_err(|_| ApiError::invalid("the bundle's producer did not sign this receipt"))?;
    let recorded = tx
        .tickets()
        .proven_from(&context, header.lane, header.n, Kind::Receipt)
        .await?
        .map(Testimony::Within);
    let other = recorded
        .as_ref()
        .and_then(|it| it.body(&context, header.lane, Kind::Receipt, header.n).ok());
    let other = other.ok_or_else(|| {
        ApiError::new(
            ProblemType::NotRecorded,
            "the ledger holds no receipt of this exchange",
        )
    })?;
    // Of another ticket it says nothing about the producer.
    if other != receipt && other.previous == receipt.previous {
        let found = Found {
            endpoint: bundle.producer,
            role: Role::Producer,
            start: bundle.producer_start,
            kind: CollisionKind::ProducerClone,
            n: header.n,
            recorded: recorded.map(|it| it.to_bytes()),
            reported: Some(shown.to_bytes()),
            reporter: consumer.id,
            place: Some((bundle.clone(), header.lane)),
        };
        record_collision(tx, &found).await?;
    }
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
