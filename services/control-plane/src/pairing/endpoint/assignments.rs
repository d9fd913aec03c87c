//! Which bundles the calling consumer's endpoint is to hold.

use std::collections::BTreeMap;

use armour_api::{
    AssignedBundle, Assignments, BundleState, EndpointState, PairAssignment, ProducerPhase,
};
use armour_storage::Standing;
use axum::Json as Answer;
use uuid::Uuid;

use crate::{http::problem::ApiResult, identity::authn::EndpointAuth};

/// The calling consumer endpoint's active bundles, what their producers' endpoints are, and how
/// many it should hold. To be asked for again when a heartbeat's answer has another number.
#[utoipa::path(get, path = "/v1/endpoint/assignments", tag = "endpoint",
    responses((status = 200, body = Assignments)))]
pub(super) async fn assignments(mut caller: EndpointAuth) -> ApiResult<Answer<Assignments>> {
    let (id, tx) = (caller.endpoint.id, &mut caller.tx);
    let live = tx.bundles().live_of_endpoint(id).await?;
    let mut bundles: Vec<_> = tx.bundles().find_many(&live).await?.into_values().collect();
    bundles.retain(|bundle| bundle.state == BundleState::Active && bundle.consumer == id);
    bundles.sort_unstable_by_key(|bundle| (bundle.pair, bundle.id));
    let producers: Vec<Uuid> = bundles.iter().map(|bundle| bundle.producer).collect();
    let standings = tx.starts().standings(&producers).await?;
    let lives =
        |standing: &Standing| standing.state == EndpointState::Active && standing.living.is_some();
    let mut pairs: BTreeMap<Uuid, Vec<AssignedBundle>> = BTreeMap::new();
    for bundle in bundles {
        pairs.entry(bundle.pair).or_default().push(AssignedBundle {
            bundle_id: bundle.id,
            producer_endpoint_id: bundle.producer,
            phase: match standings.get(&bundle.producer).is_some_and(lives) {
                true => ProducerPhase::Serving,
                false => ProducerPhase::Gone,
            },
            rebalance: false,
        });
    }
    let pairs = pairs.into_iter().map(|(pair_id, bundles)| PairAssignment {
        pair_id,
        wanted: 1,
        bundles,
    });
    Ok(Answer(Assignments {
        version: 0,
        pairs: pairs.collect(),
    }))
}
