//! Receipts that a ticket names and that are not the recorded ones. Their consumers are asked
//! to show them; here it is decided what it means that they did not.

use std::time::Duration as StdDuration;

use armour_api::{CollisionKind, Role};
use armour_protocol::v2::{
    context::Context,
    ledger::{Run, Testimony},
    rekey::SubKind,
};
use armour_storage::{Actor, DueDispute, PLATFORM, Store, TicketRange, Tx};
use chrono::Duration;
use uuid::Uuid;

use super::{
    collision::{Found, record_collision},
    disconnect::{Scope, disconnect},
    testimony,
};
use crate::{
    http::problem::{ApiError, ApiResult},
    jobs::{Job, acquire_lease},
};

/// How long a consumer has to show a receipt, as long as it is heard of.
const PATIENCE: Duration = Duration::minutes(2);
/// Most disputes of one round of a tenant.
const BATCH: u16 = 500;

/// Decides disputes about receipts.
pub fn job(store: Store) -> Job {
    Job::new("receipt-disputes", StdDuration::from_secs(5), store, find)
}

async fn find(store: Store) -> ApiResult<()> {
    if !acquire_lease(&store, "receipt-disputes", 4.0).await? {
        return Ok(());
    }
    let mut at = PLATFORM;
    while let Some(tenant) = store.next_tenant(at).await? {
        at = tenant;
        let mut tx = store.tenant(tenant).await?;
        let closed = tx.receipt_disputes().close_ended(BATCH.into()).await?;
        let due = tx.receipt_disputes().due(PATIENCE, BATCH.into()).await?;
        if closed > 0 {
            tx.commit().await?;
        }
        // Each in a transaction of its own: each locks endpoints first.
        for dispute in due {
            let mut tx = store.tenant(tenant).await?;
            decide(&mut tx, &dispute).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Ends the identity of a consumer that named a receipt and cannot show it. Of one that has
/// ended meanwhile nobody can tell which side was copied: then only the bundle ends. If the
/// ticket in question is recorded meanwhile, whoever reported it first did not say what it
/// names, and there is nothing to decide.
async fn decide(tx: &mut Tx, due: &DueDispute) -> ApiResult<()> {
    let (bundle, lane) = due.dispute.lane;
    let context = tx.context(bundle).await?;
    let said = said(&due.dispute.run)?;
    if is_recorded(tx, &context, lane, &said).await? {
        tx.receipt_disputes().close(due.dispute.lane).await?;
    } else if due.has_ended {
        let scope = Scope::Bundle(bundle);
        disconnect(tx, &Actor::Service, scope, "foreign-receipt").await?;
    } else {
        let found = found(tx, due, &context, said).await?;
        record_collision(tx, &found).await?;
    }
    Ok(())
}

fn said(bytes: &[u8]) -> ApiResult<Testimony> {
    // Earlier versions kept the run alone.
    let run = |_| Run::from_bytes(bytes).map(Testimony::Within);
    let said = Testimony::from_bytes(bytes).or_else(run);
    said.map_err(ApiError::internal)
}

/// Whether the disputed run begins with the ticket that is recorded in its place.
async fn is_recorded(
    tx: &mut Tx,
    context: &Context,
    lane: u16,
    said: &Testimony,
) -> ApiResult<bool> {
    let Testimony::Within(run) = said else {
        return Ok(false);
    };
    let range = TicketRange {
        lane: (Uuid::from_bytes(context.binding().bundle), lane),
        low: run.first,
        high: run.first,
    };
    let recorded = tx.tickets().find_ranges(&[range]).await?;
    let Some(recorded) = recorded.first() else {
        return Ok(false);
    };
    let ticket = recorded.exchanges(context)?.first().map(|one| one.ticket);
    let disputed = run.verified(context).map_err(ApiError::internal)?;
    Ok(ticket.is_some() && ticket == disputed.first().map(|one| one.ticket))
}

async fn found(
    tx: &mut Tx,
    due: &DueDispute,
    context: &Context,
    said: Testimony,
) -> ApiResult<Found> {
    let dispute = &due.dispute;
    let (id, lane) = dispute.lane;
    let mut bundles = tx.bundles().find_many(&[id]).await?;
    let bundle = bundles.remove(&id);
    let bundle = bundle.ok_or_else(|| ApiError::internal("a dispute of no bundle"))?;
    let place = (lane, dispute.n);
    let recorded = match dispute.k {
        0 => testimony::of_exchange(tx, context, place, Role::Producer).await?,
        k => {
            let place = (lane, dispute.n, k);
            let run = tx
                .sub_tickets()
                .proven_from(context, place, SubKind::Receipt)
                .await?;
            run.map(Testimony::SubWithin)
        }
    };
    Ok(Found {
        endpoint: bundle.consumer,
        role: Role::Consumer,
        start: bundle.consumer_start,
        kind: CollisionKind::ForeignReceipt,
        n: dispute.n,
        k: (dispute.k > 0).then_some(dispute.k),
        recorded: recorded.map(|said| said.to_bytes()),
        reported: Some(said.to_bytes()),
        reporter: dispute.by,
        place: Some((bundle, lane)),
    })
}
