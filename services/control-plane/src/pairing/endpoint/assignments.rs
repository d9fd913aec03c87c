//! Which bundles the calling consumer's endpoint is to hold.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use armour_api::{AssignedBundle, Assignments, PairAssignment, ProducerPhase};
use armour_storage::MovingPair;
use axum::{Json as Answer, extract::State};
use uuid::Uuid;

use crate::{
    http::problem::ApiResult,
    identity::authn::EndpointAuth,
    pairing::{
        assignments::fleet,
        fleet_watch::{FleetWatch, number_of},
    },
};

/// The calling consumer endpoint's active bundles, what their producers' endpoints are, and how
/// many it should hold, of each pair that it holds any of. To be asked for again when a
/// heartbeat's answer has another number, at most once a second.
#[utoipa::path(get, path = "/v1/endpoint/assignments", tag = "endpoint",
    responses((status = 200, body = Assignments)))]
pub(super) async fn assignments(
    State(watch): State<Arc<FleetWatch>>,
    mut caller: EndpointAuth,
) -> ApiResult<Answer<Assignments>> {
    watch.ask(&caller.endpoint)?;
    let consumer = caller.endpoint.party_id;
    let tx = &mut caller.tx;
    // Before what it is the number of: what changes meanwhile has another.
    let (changes, is_moving) = tx.fleets().changes(consumer).await?;
    let moving = match is_moving {
        true => tx.fleets().moving(consumer).await?,
        false => Vec::new(),
    };
    let moving: HashMap<Uuid, MovingPair> = moving.into_iter().map(|one| (one.pair, one)).collect();
    let held = tx.fleets().held(&[caller.endpoint.id]).await?;
    let ids: BTreeSet<Uuid> = held.iter().map(|bundle| bundle.pair).collect();
    let ends = tx.pairs().ends(&Vec::from_iter(ids.clone())).await?;
    let producers: Vec<Uuid> = held.iter().map(|bundle| bundle.producer).collect();
    let phases = tx.fleets().phases(&producers).await?;
    let mut pairs = Vec::with_capacity(ids.len());
    for pair_id in ids {
        let Some(ends) = ends.get(&pair_id) else {
            continue;
        };
        let fleet = fleet(tx, (pair_id, *ends), &held).await?;
        let bundles = fleet.held.iter().map(|bundle| AssignedBundle {
            bundle_id: bundle.id,
            producer_endpoint_id: bundle.producer,
            phase: match phases.get(&bundle.producer) {
                Some(phase) => *phase,
                None => ProducerPhase::Gone,
            },
            rebalance: moving
                .get(&pair_id)
                .is_some_and(|now| fleet.is_to_move(bundle, now.change, now.step)),
        });
        pairs.push(PairAssignment {
            pair_id,
            wanted: fleet.wanted(),
            bundles: bundles.collect(),
        });
    }
    Ok(Answer(Assignments {
        version: number_of(changes),
        pairs,
    }))
}
