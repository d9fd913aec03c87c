//! Telling consumers' endpoints that they may have to hold other bundles.

use std::collections::{BTreeMap, BTreeSet};

use armour_api::{Endpoint, Role};
use armour_storage::{HeldBundle, NewEvent, Tx};
use uuid::Uuid;

use super::fleet::Fleet;
use crate::http::problem::ApiResult;

/// How many ask for their assignments in a second after a change.
const ASKS_A_SECOND: u32 = 200;
/// Within which time all of them do, in milliseconds, at least and at most.
const MIN_WITHIN_MS: u32 = 500;
const MAX_WITHIN_MS: u32 = 10_000;
/// As many as that are.
const MAX_CONSUMERS: u32 = MAX_WITHIN_MS / 1_000 * ASKS_A_SECOND;

/// What an endpoint is for callers has changed: those that hold bundles with it, or could, are
/// told, if it is a producer's.
///
/// # Errors
/// If the database refuses.
pub async fn changed(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
    match endpoint.role {
        Role::Producer => changed_of(tx, &[(endpoint.id, endpoint.party_id)]).await,
        Role::Consumer => Ok(()),
    }
}

/// Also, of several endpoints of producers at once, each with its producer.
///
/// # Errors
/// If the database refuses.
pub async fn changed_of(tx: &mut Tx, producers: &[(Uuid, Uuid)]) -> ApiResult<()> {
    if producers.is_empty() {
        return Ok(());
    }
    let parties: BTreeSet<Uuid> = producers.iter().map(|(_, party)| *party).collect();
    let mut within = BTreeMap::new();
    for party in &parties {
        let consumers = tx.fleets().consumers_of(*party, MAX_CONSUMERS).await?;
        within.insert(*party, within_ms(consumers));
    }
    let events = producers
        .iter()
        .map(|(endpoint, producer)| NewEvent::AssignmentsChanged {
            endpoint: *endpoint,
            producer: *producer,
            within_ms: within.get(producer).copied().unwrap_or(MIN_WITHIN_MS),
        });
    // The journal's lock comes first: whoever else changes these may have it already.
    tx.events().record_all(events).await?;
    Ok(tx.fleets().change(&Vec::from_iter(parties)).await?)
}

/// Within which time so many consumers' endpoints ask for their assignments: some 200 a second.
fn within_ms(consumers: u32) -> u32 {
    consumers
        .saturating_mul(1_000 / ASKS_A_SECOND)
        .clamp(MIN_WITHIN_MS, MAX_WITHIN_MS)
}

/// A pair's fleet, as an endpoint of its consumer sees it that holds these bundles of any pair.
///
/// # Errors
/// If the database does not answer.
pub async fn fleet(
    tx: &mut Tx,
    (pair, ends): (Uuid, [Uuid; 2]),
    held: &[HeldBundle],
) -> ApiResult<Fleet> {
    let [consumer, producer] = ends;
    let of_pair = held.iter().filter(|bundle| bundle.pair == pair);
    let producers = tx.fleets().producers(producer, pair).await?;
    Ok(Fleet {
        there: producers.len() as u64,
        serving: producers.into_iter().filter(|one| one.serves).collect(),
        consumers: tx.fleets().count(consumer).await?,
        held: of_pair.copied().collect(),
        locked: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_are_that_ask_the_longer_they_take() {
        assert_eq!(within_ms(0), 500);
        assert_eq!(within_ms(100), 500);
        assert_eq!(within_ms(1_000), 5_000);
        assert_eq!(within_ms(MAX_CONSUMERS), 10_000);
        assert_eq!(within_ms(u32::MAX), 10_000);
    }
}
