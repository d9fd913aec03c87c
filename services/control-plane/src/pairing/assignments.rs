//! Telling consumers' endpoints that they may have to hold other bundles.

use armour_api::{Endpoint, Role};
use armour_storage::{HeldBundle, NewEvent, Tx};
use uuid::Uuid;

use super::fleet::Fleet;
use crate::http::problem::ApiResult;

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
    tx.fleets().change().await?;
    let events = producers
        .iter()
        .map(|(endpoint, producer)| NewEvent::AssignmentsChanged {
            endpoint: *endpoint,
            producer: *producer,
        });
    Ok(tx.events().record_all(events).await?)
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
