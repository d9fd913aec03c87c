//! Bundles that an end gives up.

use armour_api::{CollisionKind, LinkOutcome, Role};
use armour_protocol::v2::{
    body::Body,
    enclave::LaneMark,
    identity::body::{RetiredBundle, Retirement},
    ledger::Testimony,
};
use armour_storage::{BundleRow, NewEvent, PairingAction, Tx};
use uuid::Uuid;

use super::told::{Told, item};
use crate::{
    http::problem::ApiResult,
    ledger::collision::{Found, record_collision},
    pairing::{access::own, starts},
};

/// Records how far the lanes of bundles came that this end gives up; what is recorded or
/// reported beyond was signed by somebody else. With the last of them the start may leave.
///
/// # Errors
/// If the database refuses.
pub async fn apply(
    tx: &mut Tx,
    told: &Told<'_>,
    retirement: &Retirement,
) -> ApiResult<LinkOutcome> {
    let retired = &retirement.bundles;
    let ids = retired.iter().map(|one| Uuid::from_bytes(one.bundle));
    let ids: Vec<Uuid> = ids.collect();
    tx.bundle_retirements().wait_for_reports(&ids).await?;
    let bundles = tx.bundles().lock(&ids).await?;
    let mut items = Vec::with_capacity(ids.len());
    for (id, one) in ids.iter().zip(retired) {
        let done = match own(bundles.get(id), told.endpoint.id, told.start) {
            Err(error) => Err(error),
            Ok((bundle, side)) => one_of(tx, told, bundle, side, one).await,
        };
        items.push(item(done)?);
    }
    if retirement.leaving {
        starts::leave(tx, told.endpoint, &told.actor(), "it leaves").await?;
    }
    Ok(LinkOutcome::Items { items })
}

async fn one_of(
    tx: &mut Tx,
    told: &Told<'_>,
    bundle: &BundleRow,
    side: Role,
    retired: &RetiredBundle,
) -> ApiResult<()> {
    let before = match side {
        Role::Consumer => bundle.consumer_retired,
        Role::Producer => bundle.producer_retired,
    };
    if before {
        return Ok(());
    }
    tx.bundle_retirements()
        .record(bundle.id, side, &retired.lanes)
        .await?;
    let of_use = tx.bundles().retire(bundle.id, side).await?;
    tx.audit_log()
        .append(
            &told.actor(),
            PairingAction::BundleRetire {
                id: bundle.id,
                side,
                lanes: retired.lanes.len(),
            },
        )
        .await?;
    if of_use {
        tx.events()
            .record(NewEvent::BundleRetired {
                pair: bundle.pair,
                bundle: bundle.id,
                side,
            })
            .await?;
    }
    find_beyond(tx, told, bundle, side, retired).await
}

/// What is recorded already beyond the list: the first of it is a collision.
async fn find_beyond(
    tx: &mut Tx,
    told: &Told<'_>,
    bundle: &BundleRow,
    side: Role,
    retired: &RetiredBundle,
) -> ApiResult<()> {
    let recorded = tx.lanes().last_signed(bundle.id, side).await?;
    let beyond = recorded
        .into_iter()
        .find(|last| !is_listed(&retired.lanes, &last.body));
    let Some(beyond) = beyond else {
        return Ok(());
    };
    let header = beyond.body.header;
    let found = Found {
        endpoint: told.endpoint.id,
        role: side,
        start: told.start,
        kind: CollisionKind::AfterRetirement,
        place: Some((bundle.clone(), header.lane)),
        n: header.n,
        recorded: None,
        reported: Some(Testimony::Alone(beyond).to_bytes()),
        reporter: told.endpoint.id,
    };
    record_collision(tx, &found).await?;
    Ok(())
}

/// Whether a recorded ticket or receipt is in this list of lanes.
fn is_listed(lanes: &[LaneMark], recorded: &Body) -> bool {
    let head = LaneMark {
        lane: recorded.header.lane,
        n: recorded.header.n,
        hash: recorded.hash(),
    };
    // They ascend, and there may be 65,536 of either.
    let place = lanes.binary_search_by_key(&head.lane, |mark| mark.lane);
    let listed = place.ok().and_then(|place| lanes.get(place));
    listed.is_some_and(|mark| mark.owns(&head))
}
