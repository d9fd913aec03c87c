//! Bundles that an end gives up.

use armour_api::{CollisionKind, LinkOutcome, Role};
use armour_protocol::v2::{
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
    let (mut news, mut found) = (Vec::new(), Vec::new());
    for (id, one) in ids.iter().zip(retired) {
        let done = match own(bundles.get(id), told.endpoint.id, told.start) {
            Err(error) => Err(error),
            Ok((bundle, side)) => {
                news.extend(record(tx, bundle, side, one).await?);
                found.extend(beyond(tx, told, bundle, side, one).await?);
                Ok(())
            }
        };
        items.push(item(done)?);
    }
    // What takes bundles' locks comes before what takes the journal's. Of an endpoint that has
    // collided nothing is left to end, and no start to leave.
    for found in &found {
        record_collision(tx, found).await?;
    }
    if retirement.leaving {
        starts::leave(tx, told.endpoint, &told.actor(), "it leaves").await?;
    }
    for retired in &news {
        tell(tx, told, retired).await?;
    }
    Ok(LinkOutcome::Items { items })
}

/// What one side has given up just now.
struct News<'a> {
    bundle: &'a BundleRow,
    side: Role,
    lanes: usize,
    /// Whether it was of use until then.
    of_use: bool,
}

/// Records a side's list, unless it has given one before.
async fn record<'a>(
    tx: &mut Tx,
    bundle: &'a BundleRow,
    side: Role,
    retired: &RetiredBundle,
) -> ApiResult<Option<News<'a>>> {
    if bundle.is_retired(side) {
        return Ok(None);
    }
    tx.bundle_retirements()
        .record(bundle.id, side, &retired.lanes)
        .await?;
    Ok(Some(News {
        bundle,
        side,
        lanes: retired.lanes.iter().filter(|mark| mark.k == 0).count(),
        of_use: tx.bundles().retire(bundle.id, side).await?,
    }))
}

/// Tells of what was of use until then. What had a successor, or had ended, is retired as it should.
async fn tell(tx: &mut Tx, told: &Told<'_>, retired: &News<'_>) -> ApiResult<()> {
    let News { bundle, side, .. } = *retired;
    if !retired.of_use {
        return Ok(());
    }
    tx.audit_log()
        .append(
            &told.actor(),
            PairingAction::BundleRetire {
                id: bundle.id,
                side,
                lanes: retired.lanes,
            },
        )
        .await?;
    tx.events()
        .record(NewEvent::BundleRetired {
            pair: bundle.pair,
            bundle: bundle.id,
            side,
        })
        .await?;
    Ok(())
}

/// What is recorded already beyond the list that a side gives for the first time: the first of
/// it is a collision.
async fn beyond(
    tx: &mut Tx,
    told: &Told<'_>,
    bundle: &BundleRow,
    side: Role,
    retired: &RetiredBundle,
) -> ApiResult<Option<Found>> {
    if bundle.is_retired(side) {
        return Ok(None);
    }
    let lanes = &retired.lanes;
    let recorded = tx.lanes().last_signed(bundle.id, side).await?;
    let beyond = recorded
        .into_iter()
        .find_map(|last| Some((head(&last)?, last)).filter(|(head, _)| !is_listed(lanes, head)));
    Ok(beyond.map(|(head, beyond)| Found {
        endpoint: told.endpoint.id,
        role: side,
        start: told.start,
        kind: CollisionKind::AfterRetirement,
        place: Some((bundle.clone(), head.lane)),
        n: head.n,
        k: (head.k > 0).then_some(head.k),
        recorded: None,
        reported: Some(beyond.to_bytes()),
        reporter: told.endpoint.id,
    }))
}

/// How far a lane came by a body that is recorded alone.
fn head(recorded: &Testimony) -> Option<LaneMark> {
    match recorded {
        Testimony::Alone(evidence) => Some(LaneMark::of(&evidence.body)),
        Testimony::SubAlone(evidence) => Some(LaneMark::of_sub(&evidence.body)),
        Testimony::Within(_) | Testimony::SubWithin(_) => None,
    }
}

/// Whether what is recorded is in this list of lanes.
fn is_listed(lanes: &[LaneMark], head: &LaneMark) -> bool {
    // They ascend, and there may be 65,536 of either.
    let from = lanes.partition_point(|mark| mark.lane < head.lane);
    let listed = lanes.get(from..).unwrap_or_default();
    let of_lane = listed.partition_point(|mark| mark.lane == head.lane);
    LaneMark::own_among(listed.get(..of_lane).unwrap_or_default(), head)
}
