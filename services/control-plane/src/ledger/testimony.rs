//! What the record holds that contradicts a report, as evidence that stands alone.

use armour_api::Role;
use armour_protocol::v2::{
    body::{BodyHash, Kind},
    context::Context,
    ledger::{Before, Run, Testimony},
    rekey::SubKind,
};
use armour_storage::{TicketRange, Tx};
use uuid::Uuid;

use crate::http::problem::ApiResult;

/// The recorded ticket or, of a producer, receipt.
///
/// # Errors
/// If the database does not answer or holds what cannot be read.
pub async fn of_exchange(
    tx: &mut Tx,
    context: &Context,
    (lane, n): (u16, u64),
    role: Role,
) -> ApiResult<Option<Testimony>> {
    let kind = match role {
        Role::Consumer => Kind::Ticket,
        Role::Producer => Kind::Receipt,
    };
    let run = tx.tickets().proven_from(context, lane, n, kind).await?;
    match run {
        Some(run) => Ok(Some(Testimony::Within(apart(tx, context, run).await?))),
        None => Ok(None),
    }
}

/// What is recorded beside what was reported of a line: the sub-ticket or sub-receipt of this
/// place; or, if none is recorded there, the ticket that the line does not begin with, or the one
/// that it ends before.
///
/// # Errors
/// If the database does not answer or holds what cannot be read.
pub async fn of_line(
    tx: &mut Tx,
    context: &Context,
    (lane, n, k): (u16, u64, u32),
    role: Role,
    reported: &Testimony,
) -> ApiResult<Option<Testimony>> {
    let kind = match role {
        Role::Consumer => SubKind::Ticket,
        Role::Producer => SubKind::Receipt,
    };
    let place = (lane, n, k);
    let run = tx.sub_tickets().proven_from(context, place, kind).await?;
    if let Some(run) = run {
        return Ok(Some(Testimony::SubWithin(run)));
    }
    let ticket = of_exchange(tx, context, (lane, n), Role::Consumer).await?;
    let body = ticket
        .as_ref()
        .and_then(|said| said.body(context, lane, Kind::Ticket, n).ok());
    let begun = reported.sub_body(context, lane, SubKind::Ticket, (n, k));
    if let (Some(body), Ok(begun)) = (body, begun)
        && k == 1
        && begun.previous != body.hash()
    {
        return Ok(ticket);
    }
    match n.checked_add(1) {
        Some(next) => of_exchange(tx, context, (lane, next), Role::Consumer).await,
        None => Ok(None),
    }
}

/// A reported run with what its first ticket names, if the record tells.
///
/// # Errors
/// If the database does not answer or holds what cannot be read.
pub async fn taken_apart(
    tx: &mut Tx,
    context: &Context,
    reported: Testimony,
) -> ApiResult<Testimony> {
    match reported {
        Testimony::Within(run) => Ok(Testimony::Within(apart(tx, context, run).await?)),
        other => Ok(other),
    }
}

async fn apart(tx: &mut Tx, context: &Context, run: Run) -> ApiResult<Run> {
    let Some(n) = run.first.checked_sub(1).filter(|_| run.before.is_none()) else {
        return Ok(run);
    };
    let range = TicketRange {
        lane: (Uuid::from_bytes(context.binding().bundle), run.lane),
        low: n,
        high: n,
    };
    let stored = tx.tickets().find_ranges(&[range]).await?;
    let Some(stored) = stored.first() else {
        return Ok(run);
    };
    let exchanges = stored.exchanges(context)?;
    let Some(receipt) = exchanges.last().and_then(|one| one.receipt) else {
        return Ok(run);
    };
    let end = tx.sub_tickets().end(context, run.lane, n).await?;
    let last = end.and_then(|end| end.receipt);
    let named = [None, last].into_iter().find(|last| {
        let line = last.map(|last| last.hash());
        BodyHash::after_rekeyed(&receipt, line) == run.previous
    });
    Ok(Run {
        before: named.map(|last| Before::of(&receipt, last.as_ref())),
        ..run
    })
}
