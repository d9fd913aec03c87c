//! Tickets and receipts as they are recorded: in runs, each what one report added.

use std::collections::HashMap;

use armour_api::RecordedTicket;
use armour_protocol::v2::{
    body::{Body, BodyHash, Kind},
    context::Context,
    ledger::{Exchange, Position, Run, bodies},
    proof::Proof,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
    lane_ids::{LaneId, columns},
    tx::Tx,
};

/// A part of one lane's chain, as it is stored.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// The first place.
    pub first: Position,
    /// What the first body names.
    pub previous: BodyHash,
    /// What is left of each body.
    pub rests: Vec<[u8; 32]>,
    /// Of the last ticket, if it holds one.
    pub ticket: Option<Proof>,
    /// Of the last receipt, if it holds one.
    pub receipt: Option<Proof>,
}

impl RunRow {
    /// The last place. A run has at least one.
    pub fn last(&self) -> Position {
        Position(self.first.0 + (self.rests.len() as u64).saturating_sub(1))
    }

    fn bodies(&self, context: &Context, lane: u16) -> Result<Vec<Body>> {
        bodies(context, lane, self.first, self.previous, &self.rests).map_err(corrupt)
    }
}

/// Most tickets and receipts of one stored run. To know any of them all before it in its run
/// have to be hashed.
pub const MAX_STORED: usize = 64;
/// Most runs that are looked at for a proof: a report adds at most 10,000 tickets and receipts.
pub(crate) const MAX_ROWS: i64 = 320;

/// Exchanges of one lane, from a number to another, both included.
#[derive(Debug, Clone, Copy)]
pub struct TicketRange {
    /// The lane.
    pub lane: LaneId,
    /// The first.
    pub low: u64,
    /// The last.
    pub high: u64,
}

/// The runs that hold a range, as they are stored.
#[derive(Debug)]
pub struct StoredRuns {
    /// The range.
    pub range: TicketRange,
    rows: Vec<RunRow>,
}

impl StoredRuns {
    /// How many bodies have to be hashed to know those of the range.
    pub fn bodies(&self) -> usize {
        self.rows.iter().map(|row| row.rests.len()).sum()
    }

    /// The exchanges in the range, in order.
    ///
    /// # Errors
    /// If what is stored cannot be read.
    pub fn exchanges(&self, context: &Context) -> Result<Vec<Exchange>> {
        let mut all: Vec<Body> = Vec::new();
        for row in &self.rows {
            all.extend(row.bodies(context, self.range.lane.1)?);
        }
        all.retain(|body| (self.range.low..=self.range.high).contains(&body.header.n));
        Ok(exchanges(&all))
    }
}

impl Tx {
    /// The tickets that are recorded of the tenant's lanes.
    pub fn tickets(&mut self) -> Tickets<'_> {
        Tickets(self)
    }
}

/// The tickets and receipts that are recorded of the tenant's lanes.
pub struct Tickets<'a>(&'a mut Tx);

impl Tickets<'_> {
    /// Tickets of one lane before a number, latest first, at most so many, each with its
    /// receipt.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(
        &mut self,
        context: &Context,
        lane: u16,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RecordedTicket>> {
        let bundle = Uuid::from_bytes(context.binding().bundle);
        let ends = sqlx::query!(
            "SELECT consumer_n, producer_n, consumer_endpoint_id, producer_endpoint_id, sub_n
             FROM lanes JOIN bundles USING (tenant_id, bundle_id)
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.0.tenant,
            bundle,
            i32::from(lane)
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        let Some(ends) = ends else {
            return Ok(Vec::new());
        };
        // The ticket of that number, too, for what it names.
        let end = before.and_then(|n| n.checked_mul(2)?.checked_add(1));
        // Each holds at least one place, and two are an exchange.
        let rows = sqlx::query!(
            "SELECT first_at, previous, rests, reporter_id, recorded_at FROM ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND ($4::bigint IS NULL OR first_at < $4)
             ORDER BY first_at DESC LIMIT $5",
            self.0.tenant,
            bundle,
            i32::from(lane),
            end,
            2 * limit as i64 + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let before = before.and_then(|n| u64::try_from(n).ok());
        let before = before.unwrap_or(u64::MAX);
        let mut tickets: Vec<RecordedTicket> = Vec::new();
        let mut receipts: HashMap<u64, Body> = HashMap::new();
        // What the ticket after the one at hand names, which may include a sub-receipt.
        let mut named: Option<BodyHash> = None;
        for row in rows {
            let run = RunRow {
                first: Position(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: None,
                receipt: None,
            };
            for body in run.bodies(context, lane)?.into_iter().rev() {
                let n = body.header.n;
                if n >= before {
                    if body.header.kind == Kind::Ticket {
                        named = (n == before).then_some(body.previous);
                    }
                    continue;
                }
                if body.header.kind == Kind::Receipt {
                    receipts.insert(n, body);
                    continue;
                }
                let number = to_i64(n)?;
                let by = |end: Uuid, to: i64| number <= to || row.reporter_id == end;
                let receipt = receipts.remove(&n);
                let follows = named.replace(body.previous);
                let plain = receipt.filter(|_| ends.sub_n != Some(number));
                tickets.push(recorded(
                    &body,
                    receipt,
                    follows.or_else(|| plain.as_ref().map(BodyHash::after)),
                    row.reporter_id,
                    by(ends.consumer_endpoint_id, ends.consumer_n),
                    by(ends.producer_endpoint_id, ends.producer_n),
                    row.recorded_at,
                ));
            }
            if tickets.len() >= limit {
                break;
            }
        }
        tickets.truncate(limit);
        Ok(tickets)
    }

    /// What is recorded in these ranges, in their order.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find_ranges(&mut self, ranges: &[TicketRange]) -> Result<Vec<StoredRuns>> {
        let lanes: Vec<LaneId> = ranges.iter().map(|range| range.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let place = |n: u64, of: u64| -> Result<i64> { to_i64(n.saturating_mul(2) + of) };
        let lows = ranges.iter().map(|range| place(range.low, 0));
        let lows = lows.collect::<Result<Vec<_>>>()?;
        let highs = ranges.iter().map(|range| place(range.high, 1));
        let highs = highs.collect::<Result<Vec<_>>>()?;
        // Runs follow each other without gaps from 0 on, so the one that holds the lowest place
        // is the last that begins no later. It is found first, and compared with as it is: behind
        // a row's policy an expression or a query would be no condition of the index, but be
        // evaluated for each run from the lane's beginning on.
        let rows = sqlx::query!(
            r#"SELECT i.place AS "place!", r.first_at AS "first_at!", r.previous AS "previous!",
                      r.rests AS "rests!"
             FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[])
                  WITH ORDINALITY AS i(bundle, lane, low, high, place)
             CROSS JOIN LATERAL (
                 SELECT max(first_at) AS first_at FROM ticket_runs
                 WHERE tenant_id = $1 AND bundle_id = i.bundle AND ticket_runs.lane = i.lane
                   AND first_at <= i.low) AS lowest
             CROSS JOIN LATERAL (
                 SELECT first_at, previous, rests FROM ticket_runs
                 WHERE tenant_id = $1 AND bundle_id = i.bundle AND ticket_runs.lane = i.lane
                   AND first_at >= lowest.first_at AND first_at <= i.high
                 ORDER BY first_at OFFSET 0) r
             ORDER BY i.place, r.first_at"#,
            self.0.tenant,
            &bundles,
            &numbers,
            &lows,
            &highs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let stored = ranges.iter().map(|range| StoredRuns {
            range: *range,
            rows: Vec::new(),
        });
        let mut stored: Vec<StoredRuns> = stored.collect();
        for row in rows {
            // They are numbered from 1.
            let place = usize::try_from(row.place - 1).map_err(corrupt)?;
            let of = stored.get_mut(place);
            let of = of.ok_or_else(|| corrupt("a range that was not asked for"))?;
            of.rows.push(RunRow {
                first: Position(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: None,
                receipt: None,
            });
        }
        Ok(stored)
    }

    /// What is recorded of a lane from exchange `n` to the nearest proof that vouches for its
    /// ticket, or for its receipt; `None` if that is not recorded.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn proven_from(
        &mut self,
        context: &Context,
        lane: u16,
        n: u64,
        kind: Kind,
    ) -> Result<Option<Run>> {
        let bundle = Uuid::from_bytes(context.binding().bundle);
        let Some(first) = Position::of_ticket(n) else {
            return Ok(None);
        };
        let wanted = first.0 + u64::from(kind == Kind::Receipt);
        // Runs follow each other without gaps, so none before the one that holds the first
        // place is looked at, and none after what the next reports after it can have added.
        let rows = sqlx::query!(
            "SELECT first_at, previous, rests, ticket_proof, receipt_proof FROM ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND first_at >= (SELECT max(first_at) FROM ticket_runs
                   WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND first_at <= $4)
             ORDER BY first_at LIMIT $5",
            self.0.tenant,
            bundle,
            i32::from(lane),
            to_i64(first.0)?,
            MAX_ROWS
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut rest_of: Option<(BodyHash, Vec<[u8; 32]>)> = None;
        // Of the last body of either kind so far; a later one needs its own.
        let (mut ticket, mut receipt): (Option<Proof>, Option<Proof>) = (None, None);
        for row in rows {
            let row = RunRow {
                first: Position(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: proof(row.ticket_proof)?,
                receipt: proof(row.receipt_proof)?,
            };
            let (from, last) = (first.0.max(row.first.0), row.last().0);
            let has = |kind: Kind| (from..=last).any(|at| Position(at).kind() == kind);
            let (has_ticket, has_receipt) = (has(Kind::Ticket), has(Kind::Receipt));
            let skip = (from - row.first.0) as usize;
            let left = row.rests.get(skip..).unwrap_or_default();
            match &mut rest_of {
                Some((_, rests)) => rests.extend_from_slice(left),
                None => match row.bodies(context, lane)?.get(skip) {
                    Some(start) => rest_of = Some((start.previous, left.to_vec())),
                    None => return Ok(None),
                },
            }
            if has_ticket {
                ticket = row.ticket;
            }
            if has_receipt {
                receipt = row.receipt;
            }
            let receipts = rest_of.as_ref().is_some_and(|(_, rests)| rests.len() > 1);
            if last >= wanted && ticket.is_some() && (receipt.is_some() || !receipts) {
                break;
            }
        }
        let made = rest_of.zip(ticket);
        Ok(made.map(|((previous, rests), ticket)| Run {
            lane,
            first: n,
            previous,
            before: None,
            rests,
            ticket,
            receipt,
        }))
    }
}

fn recorded(
    ticket: &Body,
    receipt: Option<Body>,
    next: Option<BodyHash>,
    reporter: Uuid,
    consumer: bool,
    producer: bool,
    at: DateTime<Utc>,
) -> RecordedTicket {
    RecordedTicket {
        lane: ticket.header.lane.into(),
        n: ticket.header.n,
        hash: hex::encode(ticket.hash().0),
        previous: hex::encode(ticket.previous.0),
        receipt: receipt.map(|body| hex::encode(body.hash().0)),
        next: next.map(|next| hex::encode(next.0)),
        reporter_id: reporter,
        consumer_reported: consumer,
        producer_reported: producer,
        recorded_at: at,
    }
}

/// Bodies without holes as exchanges; a receipt at the beginning, whose ticket is not there, is
/// left out.
fn exchanges(bodies: &[Body]) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for body in bodies {
        match body.header.kind {
            Kind::Receipt => {
                if let Some(last) = exchanges.last_mut() {
                    last.receipt = Some(*body);
                }
            }
            _ => exchanges.push(Exchange {
                ticket: *body,
                receipt: None,
            }),
        }
    }
    exchanges
}

pub(crate) fn rests(bytes: &[u8]) -> Result<Vec<[u8; 32]>> {
    let (rests, left) = bytes.as_chunks::<32>();
    match left.is_empty() && !rests.is_empty() {
        true => Ok(rests.to_vec()),
        false => Err(corrupt("no whole number of hashes")),
    }
}

pub(crate) fn proof(bytes: Option<Vec<u8>>) -> Result<Option<Proof>> {
    let read = bytes.map(|bytes| Proof::from_bytes(&bytes));
    read.transpose().map_err(corrupt)
}
