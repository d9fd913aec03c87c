//! Recorded tickets that their consumer says are not its own.

use armour_api::{CollisionKind, Disown, ProblemType};
use axum::http::StatusCode;

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::EndpointAuth,
    ledger::collision::{Found, record_collision},
    pairing::access,
};

/// The consumer says that a recorded ticket is not its own: a collision.
#[utoipa::path(post, path = "/v1/endpoint/disown", tag = "endpoint", request_body = Disown,
    extensions(("x-problems" = json!([ProblemType::NotFound, ProblemType::NotRecorded]))),
    responses((status = 204)))]
pub(super) async fn disown(
    mut caller: EndpointAuth,
    Json(word): Json<Disown>,
) -> ApiResult<StatusCode> {
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    let bundle = access::lock_consumed_bundle(tx, consumer, word.bundle_id).await?;
    let recorded = tx.lanes().head(word.bundle_id, word.lane).await?;
    if recorded.is_none_or(|head| head.ticket.n < word.n) {
        return Err(ApiError::new(
            ProblemType::NotRecorded,
            "the ledger holds no such ticket",
        ));
    }
    let found = Found {
        bundle,
        kind: CollisionKind::Disowned,
        lane: word.lane,
        n: word.n,
        recorded,
        reported: None,
        reporter: consumer.id,
    };
    record_collision(tx, &found).await?;
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
