//! `/v1/endpoint/receipts`: a consumer shows a receipt that its producer does not know.

use std::sync::Arc;

use armour_api::{CollisionKind, ProblemType, Role, ShowReceipt};
use armour_protocol::v2::{
    body::Kind,
    context::Context,
    ledger::Testimony,
    message::Evidence,
    rekey::{SubBody, SubEvidence, SubKind},
};
use armour_storage::Tx;
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

/// Shows the receipt or sub-receipt that the ledger asked for. If the producer signed another one
/// for the same ticket, its state was copied.
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
    let shown = bytes.and_then(|bytes| {
        let receipt = Evidence::from_bytes(&bytes).map(Testimony::Alone);
        let sub = |_| SubEvidence::from_bytes(&bytes).map(Testimony::SubAlone);
        receipt.or_else(sub).ok()
    });
    let shown = shown.ok_or_else(|| ApiError::invalid("this is no receipt"))?;
    if let Some((lane, n, k, recorded)) = contradicted(tx, &context, &shown).await? {
        let found = Found {
            endpoint: bundle.producer,
            role: Role::Producer,
            start: bundle.producer_start,
            kind: CollisionKind::ProducerClone,
            n,
            k,
            recorded: Some(recorded.to_bytes()),
            reported: Some(shown.to_bytes()),
            reporter: consumer.id,
            place: Some((bundle.clone(), lane)),
        };
        record_collision(tx, &found).await?;
    }
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lane, exchange and sub-ticket of what is shown, and what is recorded there, if the producer
/// signed both and they answer the same.
async fn contradicted(
    tx: &mut Tx,
    context: &Context,
    shown: &Testimony,
) -> ApiResult<Option<(u16, u64, Option<u32>, Testimony)>> {
    let nobodys = |_| ApiError::invalid("the bundle's producer did not sign this receipt");
    let unknown = || {
        ApiError::new(
            ProblemType::NotRecorded,
            "the ledger holds no receipt of this exchange",
        )
    };
    let (at, recorded, contradicts) = match shown {
        Testimony::Alone(evidence) => {
            let header = evidence.body.header;
            let (lane, n) = (header.lane, header.n);
            let of = |said: &Testimony| said.body(context, lane, Kind::Receipt, n);
            let receipt = of(shown).map_err(nobodys)?;
            let run = tx
                .tickets()
                .proven_from(context, lane, n, Kind::Receipt)
                .await?;
            let recorded = run.map(Testimony::Within).ok_or_else(unknown)?;
            let other = of(&recorded).map_err(|_| unknown())?;
            // Of another ticket it says nothing about the producer.
            let contradicts = other != receipt && other.previous == receipt.previous;
            ((lane, n, None), recorded, contradicts)
        }
        Testimony::SubAlone(evidence) => {
            let SubBody { lane, n, k, .. } = evidence.body;
            let of = |said: &Testimony| said.sub_body(context, lane, SubKind::Receipt, (n, k));
            let receipt = of(shown).map_err(nobodys)?;
            let run = tx
                .sub_tickets()
                .proven_from(context, (lane, n, k), SubKind::Receipt)
                .await?;
            let recorded = run.map(Testimony::SubWithin).ok_or_else(unknown)?;
            let other = of(&recorded).map_err(|_| unknown())?;
            let contradicts = other != receipt && other.previous == receipt.previous;
            ((lane, n, Some(k)), recorded, contradicts)
        }
        Testimony::Within(_) | Testimony::SubWithin(_) => return Err(unknown()),
    };
    let (lane, n, k) = at;
    Ok(contradicts.then_some((lane, n, k, recorded)))
}
