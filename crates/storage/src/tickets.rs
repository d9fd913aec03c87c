//! Tickets as they are recorded: in runs, each the chain that one report brought.

use std::collections::HashMap;

use armour_api::RecordedTicket;
use armour_protocol::{
    Suite,
    ledger::Chain,
    ticket::{SignedTicket, TicketHash},
};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
    lanes::{LaneId, columns, lane_id},
    tx::Tx,
};

/// Tickets of one lane, from a number to another, both included.
#[derive(Debug, Clone, Copy)]
pub struct TicketRange {
    /// The lane.
    pub lane: LaneId,
    /// Its bundle's suite.
    pub suite: Suite,
    /// The first.
    pub low: u64,
    /// The last.
    pub high: u64,
}

impl Tx {
    /// The tickets that are recorded of the tenant's lanes.
    pub fn tickets(&mut self) -> Tickets<'_> {
        Tickets(self)
    }
}

/// The tickets that are recorded of the tenant's lanes.
pub struct Tickets<'a>(&'a mut Tx);

impl Tickets<'_> {
    /// Tickets of one lane before a number, latest first, at most so many.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(
        &mut self,
        bundle: Uuid,
        suite: Suite,
        lane: u32,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RecordedTicket>> {
        let ends = sqlx::query!(
            "SELECT consumer_n, producer_n, consumer_endpoint_id, producer_endpoint_id
             FROM lanes JOIN bundles USING (tenant_id, bundle_id)
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.0.tenant,
            bundle,
            i64::from(lane)
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        let Some(ends) = ends else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query!(
            "SELECT first_n, previous, entries, reporter_id, recorded_at FROM ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND ($4::bigint IS NULL OR first_n < $4)
             ORDER BY first_n DESC LIMIT $5",
            self.0.tenant,
            bundle,
            i64::from(lane),
            before,
            limit as i64
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let before = before
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(u64::MAX);
        let mut tickets = Vec::new();
        for row in rows {
            let run = chain_of(
                suite,
                (bundle, lane),
                row.first_n,
                row.previous,
                row.entries,
            )?;
            let of_run = run.tickets().map_err(corrupt)?;
            for signed in of_run.iter().rev().filter(|t| t.ticket.n < before) {
                let n = to_i64(signed.ticket.n)?;
                let by = |end: Uuid, to: i64| n <= to || row.reporter_id == Some(end);
                tickets.push(RecordedTicket {
                    lane,
                    n: signed.ticket.n,
                    hash: hex::encode(signed.ticket.hash().0),
                    previous: hex::encode(signed.ticket.previous.0),
                    reporter_id: row.reporter_id,
                    consumer_reported: by(ends.consumer_endpoint_id, ends.consumer_n),
                    producer_reported: by(ends.producer_endpoint_id, ends.producer_n),
                    recorded_at: row.recorded_at,
                });
            }
            if tickets.len() >= limit {
                break;
            }
        }
        tickets.truncate(limit);
        Ok(tickets)
    }

    /// What is recorded in these ranges, in order.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find_ranges(
        &mut self,
        ranges: &[TicketRange],
    ) -> Result<HashMap<LaneId, Vec<SignedTicket>>> {
        let lanes: Vec<LaneId> = ranges.iter().map(|range| range.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let bound = |of: fn(&TicketRange) -> u64| -> Result<Vec<i64>> {
            ranges.iter().map(|range| to_i64(of(range))).collect()
        };
        let (lows, highs) = (bound(|range| range.low)?, bound(|range| range.high)?);
        // Runs follow each other without gaps, so the one that holds the lowest ticket
        // is the last that begins no later: no need to look at those before.
        let rows = sqlx::query!(
            r#"SELECT i.bundle AS "bundle!", i.lane AS "lane!", r.first_n, r.previous, r.entries
             FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
                  AS i(bundle, lane, low, high)
             CROSS JOIN LATERAL (
                 SELECT first_n, previous, entries FROM ticket_runs
                 WHERE tenant_id = $1 AND bundle_id = i.bundle AND ticket_runs.lane = i.lane
                   AND first_n <= i.high
                   AND first_n >= coalesce((
                       SELECT max(first_n) FROM ticket_runs
                       WHERE tenant_id = $1 AND bundle_id = i.bundle
                         AND ticket_runs.lane = i.lane AND first_n <= i.low), i.low)) r
             ORDER BY i.bundle, i.lane, r.first_n"#,
            self.0.tenant,
            &bundles,
            &numbers,
            &lows,
            &highs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let ranges: HashMap<LaneId, &TicketRange> =
            ranges.iter().map(|range| (range.lane, range)).collect();
        let mut recorded: HashMap<LaneId, Vec<SignedTicket>> = HashMap::new();
        for row in rows {
            let lane = lane_id(row.bundle, row.lane)?;
            let Some(range) = ranges.get(&lane) else {
                continue;
            };
            let run = chain_of(range.suite, lane, row.first_n, row.previous, row.entries)?;
            let tickets = run.tickets().map_err(corrupt)?;
            let within = tickets
                .into_iter()
                .filter(|ticket| (range.low..=range.high).contains(&ticket.ticket.n));
            recorded.entry(lane).or_default().extend(within);
        }
        Ok(recorded)
    }
}

/// A stored run.
fn chain_of(
    suite: Suite,
    (bundle, lane): LaneId,
    first: i64,
    previous: Vec<u8>,
    entries: Vec<u8>,
) -> Result<Chain> {
    Ok(Chain {
        suite,
        bundle: *bundle.as_bytes(),
        lane,
        first: to_u64(first)?,
        previous: TicketHash(fixed(previous)?),
        entries,
    })
}
