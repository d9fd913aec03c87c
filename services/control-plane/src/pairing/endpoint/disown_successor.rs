//! Superseded bundles whose consumer says that it did not draw the successor.

use armour_api::{BundleState, CollisionKind, ProblemType};
use axum::http::StatusCode;

use crate::{
    http::{
        extract::Id,
        problem::{ApiError, ApiResult},
    },
    identity::authn::EndpointAuth,
    ledger::collision::{Found, record_collision},
    pairing::access,
};

/// The consumer says that its bundle was superseded by a draw that is not its own: a
/// collision.
#[utoipa::path(post, path = "/v1/endpoint/bundles/{id}/disown-successor", tag = "endpoint",
    params(("id" = Uuid, Path)),
    extensions(("x-problems" = json!([ProblemType::NotSuperseded]))),
    responses((status = 204)))]
pub(super) async fn disown_successor(
    mut caller: EndpointAuth,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    let (tx, consumer) = (&mut caller.tx, &caller.endpoint);
    let bundle = access::lock_consumed_bundle(tx, consumer, id).await?;
    match bundle.state {
        BundleState::Active => {
            return Err(ApiError::new(
                ProblemType::NotSuperseded,
                "the bundle has no successor",
            ));
        }
        BundleState::Superseded => {
            let found = Found {
                bundle,
                kind: CollisionKind::Usurped,
                lane: 0,
                n: 0,
                recorded: None,
                reported: None,
                reporter: consumer.id,
            };
            record_collision(tx, &found).await?;
        }
        // It is dead already.
        BundleState::Disconnected => {}
    }
    caller.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
