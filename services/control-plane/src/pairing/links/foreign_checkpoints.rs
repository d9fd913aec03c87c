//! Checkpoints that an endpoint found in a stream, which an end's key signed and not that end. The
//! endpoint has ended its bundle; people are told, and whose key it was. No identity ends by it:
//! that the checkpoint contradicts what its end said is its finder's word.

use armour_api::{Endpoint, ForeignCheckpoint};
use armour_protocol::v2::{body::Direction, checkpoint::SignedCheckpoint};
use armour_storage::{Actor, BundleRow, CheckpointAlarm, LedgerAction, NewEvent, Tx};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::http::problem::ApiResult;

/// Most that are taken of one heartbeat.
const MAX_ALARMS: usize = 16;
/// Most characters of a checkpoint: the longest proof of a signature that 64 share is shorter.
const MAX_CHECKPOINT: usize = 1_024;

/// One that its side had not told of before.
pub struct Alarm<'a> {
    bundle: BundleRow,
    told: &'a ForeignCheckpoint,
    /// None if it was not told, or cannot be read, or its signature does not hold.
    signed: Option<Signed>,
}

/// What a checkpoint shows by itself.
struct Signed {
    by: Uuid,
    n: u64,
    k: u32,
}

/// Notes which of the bundles that an endpoint is an end of it has not told of before.
///
/// # Errors
/// If the database refuses.
pub async fn note<'a>(
    tx: &mut Tx,
    endpoint: &Endpoint,
    told: &'a [ForeignCheckpoint],
) -> ApiResult<Vec<Alarm<'a>>> {
    let told = told.get(..MAX_ALARMS).unwrap_or(told);
    let ids: Vec<Uuid> = told.iter().map(|one| one.bundle_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let bundles = tx.bundles().find_many(&ids).await?;
    let mut news = Vec::new();
    for told in told {
        let bundle = bundles.get(&told.bundle_id);
        let Some((bundle, side)) = bundle.and_then(|one| Some((one, one.side(endpoint.id)?)))
        else {
            continue;
        };
        if tx.bundles().alarm(bundle.id, side).await? {
            let signed = read(tx, bundle, told).await?;
            news.push(Alarm {
                bundle: bundle.clone(),
                told,
                signed,
            });
        }
    }
    Ok(news)
}

/// Tells people.
///
/// # Errors
/// If the database refuses.
pub async fn tell(tx: &mut Tx, endpoint: &Endpoint, news: &[Alarm<'_>]) -> ApiResult<()> {
    for one in news {
        let (pair, bundle) = (one.bundle.pair, one.bundle.id);
        let checkpoint = one.told.checkpoint.as_deref();
        let alarm = CheckpointAlarm {
            reporter_id: endpoint.id,
            lane: one.told.lane,
            n: one.signed.as_ref().map(|signed| signed.n),
            k: one.signed.as_ref().map(|signed| signed.k),
            signed_by: one.signed.as_ref().map(|signed| signed.by),
            // Text that is no checkpoint is nothing to keep.
            checkpoint: checkpoint.filter(|_| one.signed.is_some()),
        };
        let event = NewEvent::BundleForeignCheckpoint {
            pair,
            bundle,
            alarm,
        };
        tx.events().record(event).await?;
        let action = LedgerAction::BundleForeignCheckpoint { id: bundle, alarm };
        tx.audit_log()
            .append(&Actor::Endpoint(endpoint.id), action)
            .await?;
    }
    Ok(())
}

async fn read(
    tx: &mut Tx,
    bundle: &BundleRow,
    told: &ForeignCheckpoint,
) -> ApiResult<Option<Signed>> {
    let text = told.checkpoint.as_deref();
    let text = text.filter(|text| text.len() <= MAX_CHECKPOINT);
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    let read = bytes.and_then(|bytes| SignedCheckpoint::from_evidence(&bytes).ok());
    let Some(checkpoint) = read else {
        return Ok(None);
    };
    let context = tx.context(bundle.id).await?;
    let said = checkpoint.unverified();
    let (n, k) = said.place();
    let by = match said.direction() {
        Direction::Request => bundle.consumer,
        Direction::Response => bundle.producer,
    };
    let signed = checkpoint.is_signed(&context);
    Ok(signed.then_some(Signed { by, n, k }))
}
