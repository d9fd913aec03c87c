//! The ledger: lanes advance by compare-and-swap, and every report is compared
//! with what is recorded.

use armour_api::{RecordedTicket, Role};
use armour_protocol::{
    Suite,
    ledger::{Chain, ENTRY_LEN, Verdict, judge},
    ticket::{SignedTicket, TicketHash},
};
use uuid::Uuid;

use crate::{Result, StorageError, Tx};

/// A report whose signatures have been checked.
pub struct LedgerReport {
    /// The bundle.
    pub bundle: Uuid,
    /// The endpoint that reports, and on which side it is.
    pub reporter: Uuid,
    /// See above.
    pub side: Role,
    /// Its chain of tickets.
    pub chain: Chain,
    /// The chain's tickets, in order.
    pub tickets: Vec<SignedTicket>,
}

impl LedgerReport {
    /// The consumer's and the producer's number after this report up to `last`.
    fn witnessed(&self, last: i64) -> (i64, i64) {
        match self.side {
            Role::Consumer => (last, -1),
            Role::Producer => (-1, last),
        }
    }
}

/// What a report was.
pub type LedgerVerdict = Verdict;

impl Tx {
    /// Compares a report with the record and, where it extends it, advances
    /// the lane. The lane's row is locked, so of two replicas' reports the
    /// second sees the first's.
    ///
    /// # Errors
    /// If the database refuses or holds what cannot be read.
    pub async fn advance_lane(&mut self, report: &LedgerReport) -> Result<LedgerVerdict> {
        let lane = i64::from(report.chain.lane);
        loop {
            let head = sqlx::query_scalar!(
                "SELECT head FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
                 FOR UPDATE",
                self.tenant,
                report.bundle,
                lane
            )
            .fetch_optional(&mut *self.inner)
            .await?;
            let head = head.map(|bytes| decode_ticket(&bytes)).transpose()?;
            let recorded = match &head {
                None => Vec::new(),
                Some(_) => self.recorded(report).await?,
            };
            let verdict = judge(head.as_ref(), &recorded, &report.tickets);
            let Verdict::Extends { from } = verdict else {
                if verdict == Verdict::Known {
                    self.witness(report).await?;
                }
                return Ok(verdict);
            };
            if self.append(report, from, head.as_ref()).await? {
                return Ok(verdict);
            }
            // Another replica opened the lane in between: look again.
        }
    }

    /// Recorded tickets in the report's range and the one before it.
    async fn recorded(&mut self, report: &LedgerReport) -> Result<Vec<SignedTicket>> {
        let (Some(first), Some(last)) = (report.tickets.first(), report.tickets.last()) else {
            return Ok(Vec::new());
        };
        let from = first.ticket.n.saturating_sub(1);
        let rows = sqlx::query!(
            "SELECT first_n, previous, entries FROM ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND first_n <= $5 AND last_n >= $4 ORDER BY first_n",
            self.tenant,
            report.bundle,
            i64::from(report.chain.lane),
            number(from)?,
            number(last.ticket.n)?
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut recorded = Vec::new();
        for row in rows {
            let run = Chain {
                first: u64::try_from(row.first_n).map_err(corrupt)?,
                previous: TicketHash(
                    row.previous
                        .try_into()
                        .map_err(|_| corrupt("a hash of another length"))?,
                ),
                entries: row.entries,
                ..report.chain.clone()
            };
            let tickets = run.tickets().map_err(corrupt)?;
            recorded.extend(
                tickets
                    .into_iter()
                    .filter(|t| (from..=last.ticket.n).contains(&t.ticket.n)),
            );
        }
        Ok(recorded)
    }

    /// Appends the report's tickets from index `from` on. Returns false if the
    /// lane's head was no longer the one compared with.
    async fn append(
        &mut self,
        report: &LedgerReport,
        from: usize,
        head: Option<&SignedTicket>,
    ) -> Result<bool> {
        let (Some(first), Some(last)) = (report.tickets.get(from), report.tickets.last()) else {
            return Ok(true);
        };
        let lane = i64::from(report.chain.lane);
        let (first_n, last_n) = (number(first.ticket.n)?, number(last.ticket.n)?);
        let (consumer_n, producer_n) = report.witnessed(last_n);
        let (previous, entries) = (
            &first.ticket.previous.0[..],
            &report.chain.entries[from * ENTRY_LEN..],
        );
        // The tickets are recorded where the lane was swapped, in one statement.
        let recorded = match head {
            None => {
                sqlx::query!(
                    "WITH swapped AS (
                         INSERT INTO lanes (tenant_id, bundle_id, lane, head_n, head, consumer_n,
                                            producer_n)
                         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
                         RETURNING lane)
                     INSERT INTO ticket_runs (tenant_id, bundle_id, lane, first_n, last_n,
                                              previous, entries, reporter_id)
                     SELECT $1, $2, lane, $8, $4, $9, $10, $11 FROM swapped",
                    self.tenant,
                    report.bundle,
                    lane,
                    last_n,
                    &last.to_bytes()[..],
                    consumer_n,
                    producer_n,
                    first_n,
                    previous,
                    entries,
                    report.reporter
                )
                .execute(&mut *self.inner)
                .await?
            }
            Some(head) => {
                sqlx::query!(
                    "WITH swapped AS (
                         UPDATE lanes SET head_n = $4, head = $5,
                                          consumer_n = greatest(consumer_n, $6),
                                          producer_n = greatest(producer_n, $7)
                         WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND head = $12
                         RETURNING lane)
                     INSERT INTO ticket_runs (tenant_id, bundle_id, lane, first_n, last_n,
                                              previous, entries, reporter_id)
                     SELECT $1, $2, lane, $8, $4, $9, $10, $11 FROM swapped",
                    self.tenant,
                    report.bundle,
                    lane,
                    last_n,
                    &last.to_bytes()[..],
                    consumer_n,
                    producer_n,
                    first_n,
                    previous,
                    entries,
                    report.reporter,
                    &head.to_bytes()[..]
                )
                .execute(&mut *self.inner)
                .await?
            }
        };
        Ok(recorded.rows_affected() == 1)
    }

    /// Notes up to which ticket the reporter vouches for what is recorded already.
    async fn witness(&mut self, report: &LedgerReport) -> Result<()> {
        let Some(last) = report.tickets.last() else {
            return Ok(());
        };
        let (consumer_n, producer_n) = report.witnessed(number(last.ticket.n)?);
        sqlx::query!(
            "UPDATE lanes SET consumer_n = greatest(consumer_n, $4),
                              producer_n = greatest(producer_n, $5)
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3
               AND (consumer_n < $4 OR producer_n < $5)",
            self.tenant,
            report.bundle,
            i64::from(report.chain.lane),
            consumer_n,
            producer_n
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Lets the commit return before it is on disk, for what may be lost in a crash.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn relax(&mut self) -> Result<()> {
        sqlx::query!("SET LOCAL synchronous_commit = off")
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

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
            let run = Chain {
                suite,
                bundle: *bundle.as_bytes(),
                lane,
                first: u64::try_from(row.first_n).map_err(corrupt)?,
                previous: TicketHash(
                    row.previous
                        .try_into()
                        .map_err(|_| corrupt("a hash of another length"))?,
                ),
                entries: row.entries,
            };
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

/// Reads a stored signed ticket.
///
/// # Errors
/// `Corrupt`.
pub fn decode_ticket(bytes: &[u8]) -> Result<SignedTicket> {
    SignedTicket::from_bytes(bytes).map_err(corrupt)
}

fn number(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(corrupt)
}

fn corrupt(error: impl ToString) -> StorageError {
    StorageError::Corrupt(error.to_string())
}
