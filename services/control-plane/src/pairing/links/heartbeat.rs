//! Signs of life.

use std::collections::HashSet;

use armour_api::{
    BundleState, BundleStatus, Endpoint, Heartbeat, HeartbeatAck, ItemOutcome, LaneCursor,
    LinkOutcome, Phase, Role,
};
use armour_storage::{BundleRow, MAX_GRACE, Tx};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{foreign_checkpoints, told::Told};
use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::{
        addresses,
        alive::tell_back,
        assignments::changed,
        fleet_watch::FleetWatch,
        phases::{believed, is_turn},
    },
};

/// Most characters of an agent's error that are kept.
const MAX_ERROR: usize = 300;
/// Most characters of a zone's name that are kept.
const MAX_ZONE: usize = 63;
/// Of how many lanes one answer tells the heads. A consumer may open 65,536 in each of its
/// bundles, and names as many bundles as a link's body holds, so without a limit one call could
/// ask for gigabytes.
const MAX_HEADS: usize = 4_096;

/// Notes a sign of life. The answer tells the state of the bundles asked about and, to each
/// end, how far the ledger has its own side of their lanes: it must own every one of them.
///
/// # Errors
/// If the database refuses.
pub async fn apply(tx: &mut Tx, told: &Told<'_>, body: &[u8]) -> ApiResult<LinkOutcome> {
    let endpoint = told.endpoint;
    let was_lost = tx.endpoints().touch(endpoint.id).await?;
    let Some(heartbeat) = read(body) else {
        if was_lost {
            tell_back(tx, endpoint).await?;
            changed(tx, endpoint).await?;
        }
        return Ok(malformed());
    };
    if let Some(error) = &heartbeat.error {
        // In a form that may be shown to people.
        let printable = error.chars().filter(|c| !c.is_control());
        let error: String = printable.take(MAX_ERROR).collect();
        tx.endpoints().record_error(endpoint.id, &error).await?;
    }
    let is_another_phase = note_phase(tx, endpoint, &heartbeat).await?;
    if heartbeat.plain_calls != endpoint.plain_calls {
        let calls = heartbeat.plain_calls;
        tx.endpoints().set_plain_calls(endpoint.id, calls).await?;
    }
    let address = addresses::look(tx, endpoint).await?;
    tx.disconnect_acknowledgements()
        .record(
            endpoint.id,
            &heartbeat.bundles,
            (heartbeat.from, heartbeat.to),
        )
        .await?;
    let alarms = foreign_checkpoints::note(tx, endpoint, &heartbeat.foreign_checkpoints).await?;
    let outcome = answer(tx, told.watch, endpoint, &heartbeat).await?;
    // The journal's lock comes last: the tenant's other endpoints wait for it.
    if was_lost {
        tell_back(tx, endpoint).await?;
    }
    address.tell(tx, endpoint).await?;
    foreign_checkpoints::tell(tx, endpoint, &alarms).await?;
    if was_lost || is_another_phase || address.changed {
        changed(tx, endpoint).await?;
    }
    Ok(outcome)
}

/// Notes what the endpoint is for callers, and where it runs. Returns whether it is for callers
/// what it was not.
async fn note_phase(tx: &mut Tx, endpoint: &Endpoint, heartbeat: &Heartbeat) -> ApiResult<bool> {
    let told = heartbeat.phase.unwrap_or(Phase::Serving);
    let zone = heartbeat.zone.as_deref().map(|zone| {
        let printable = zone.chars().filter(|c| !c.is_control());
        printable.take(MAX_ZONE).collect::<String>()
    });
    if endpoint.phase == Some(told) && endpoint.zone == zone {
        return Ok(false);
    }
    let turned = tx.endpoints().phase_at(endpoint.id).await?;
    let phase = believed(endpoint.phase, told, turned.map(|at| tx.now() - at));
    tx.endpoints()
        .set_phase(
            endpoint.id,
            phase,
            zone.as_deref(),
            is_turn(endpoint.phase, phase),
        )
        .await?;
    // The first one since it started says what it is, too.
    Ok(endpoint.phase != Some(phase))
}

/// Answers a heartbeat that was noted before.
///
/// # Errors
/// If the database does not answer.
pub async fn again(
    tx: &mut Tx,
    watch: &FleetWatch,
    endpoint: &Endpoint,
    body: &[u8],
) -> ApiResult<LinkOutcome> {
    match read(body) {
        Some(heartbeat) => answer(tx, watch, endpoint, &heartbeat).await,
        None => Ok(malformed()),
    }
}

/// The heartbeat in a link's body, if it is one.
fn read(body: &[u8]) -> Option<Heartbeat> {
    // As many bundles as a link's body of 65,536 bytes holds, which are fewer than 2,000; an
    // endpoint with more sends several.
    let heartbeat: Heartbeat = serde_json::from_slice(body).ok()?;
    let mut named = HashSet::new();
    let once = heartbeat.bundles.iter().all(|id| named.insert(*id));
    let goes_on = heartbeat.after.is_none_or(|after| {
        heartbeat.bundles.first() == Some(&after.bundle_id) && u16::try_from(after.lane).is_ok()
    });
    (once && goes_on).then_some(heartbeat)
}

fn malformed() -> LinkOutcome {
    let problem = ApiError::invalid("the heartbeat is malformed");
    LinkOutcome::Items {
        items: vec![ItemOutcome {
            problem: Some(problem.problem()),
        }],
    }
}

async fn answer(
    tx: &mut Tx,
    watch: &FleetWatch,
    endpoint: &Endpoint,
    heartbeat: &Heartbeat,
) -> ApiResult<LinkOutcome> {
    let (known, now) = (tx.bundles().find_many(&heartbeat.bundles).await?, tx.now());
    let own = |id: &Uuid| {
        let bundle = known.get(id)?;
        Some((state(bundle, now), bundle.side(endpoint.id)?))
    };
    let sides = heartbeat.bundles.iter();
    let sides = sides.filter_map(|id| own(id).map(|(_, side)| (*id, side)));
    let sides: Vec<(Uuid, Role)> = sides.collect();
    // What it goes on after is the first bundle's, if that is still its own.
    let after = heartbeat.after.filter(|after| {
        let first = sides.first();
        first.is_some_and(|(id, _)| *id == after.bundle_id)
    });
    let after = after.and_then(|after| u16::try_from(after.lane).ok());
    let (mut heads, last) = tx.lanes().heads(&sides, after, MAX_HEADS).await?;
    let statuses = heartbeat.bundles.iter().map(|id| BundleStatus {
        id: *id,
        // A bundle that is gone, or was another's, is as good as disconnected.
        state: own(id).map_or(BundleState::Disconnected, |(state, _)| state),
        lanes: heads.remove(id).unwrap_or_default(),
    });
    let bundles = statuses.collect();
    let log_behind = match heartbeat.log_size {
        Some(seen) => seen > tx.audit_log().size().await?,
        None => false,
    };
    Ok(LinkOutcome::Heartbeat(HeartbeatAck {
        server_time: tx.now(),
        bundles,
        more: last.map(|(bundle_id, lane)| LaneCursor {
            bundle_id,
            lane: lane.into(),
        }),
        log_behind,
        assignments: match endpoint.role {
            Role::Consumer => watch.number(tx, endpoint).await?,
            Role::Producer => 0,
        },
    }))
}

/// A bundle's state as its ends are told. A superseded one is of no use once its grace is over,
/// and is not disconnected any more: whoever has not heard of it until then retires it at once.
fn state(bundle: &BundleRow, now: DateTime<Utc>) -> BundleState {
    let over = bundle.superseded_at.is_some_and(|at| at < now - MAX_GRACE);
    match bundle.state {
        BundleState::Superseded if over => BundleState::Retired,
        state => state,
    }
}
