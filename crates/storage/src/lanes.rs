//! What is recorded of lanes, for people and for endpoints that disown it.

use armour_api::RecordedTicket;
use armour_protocol::{Suite, ticket::SignedTicket};
use uuid::Uuid;

use crate::{
    Result, Tx,
    ledger::{chain_of, corrupt, decode_ticket, number},
};

impl Tx {
    /// Tickets of one lane before a number, latest first, at most so many.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lane_tickets(
        &mut self,
        bundle: Uuid,
        suite: Suite,
        lane: u32,
        before: Option<i64>,
        most: usize,
    ) -> Result<Vec<RecordedTicket>> {
        let ends = sqlx::query!(
            "SELECT consumer_n, producer_n, consumer_endpoint_id, producer_endpoint_id
             FROM lanes JOIN bundles USING (tenant_id, bundle_id)
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.tenant,
            bundle,
            i64::from(lane)
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(ends) = ends else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query!(
            "SELECT first_n, previous, entries, reporter_id, recorded_at FROM ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND ($4::bigint IS NULL OR first_n < $4)
             ORDER BY first_n DESC LIMIT $5",
            self.tenant,
            bundle,
            i64::from(lane),
            before,
            most as i64
        )
        .fetch_all(&mut *self.inner)
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
                let n = number(signed.ticket.n)?;
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
            if tickets.len() >= most {
                break;
            }
        }
        tickets.truncate(most);
        Ok(tickets)
    }

    /// The head of one lane.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lane_head(&mut self, bundle: Uuid, lane: u32) -> Result<Option<SignedTicket>> {
        let head = sqlx::query_scalar!(
            "SELECT head FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.tenant,
            bundle,
            i64::from(lane)
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        head.map(|bytes| decode_ticket(&bytes)).transpose()
    }
}
