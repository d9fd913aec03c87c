//! The ledger: lanes advance by compare-and-swap. Every statement serves many
//! lanes at once, so that one transaction records what many calls report.

use std::collections::{HashMap, HashSet};

use armour_api::{BundleState, EndpointState, Role};
use armour_protocol::{
    Suite,
    ledger::Chain,
    ticket::{SignedTicket, TicketHash},
};
use uuid::Uuid;

use crate::{BundleRow, Result, StorageError, Tx, error::word};

/// A bundle and one of its lanes.
pub type LaneId = (Uuid, u32);

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

/// Up to which ticket of a lane its two ends vouch for what is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Number of the last ticket that the consumer's endpoint has reported.
    pub consumer: Option<u64>,
    /// Of the last that the producer's has.
    pub producer: Option<u64>,
}

impl Witnessed {
    /// Notes a report by one side.
    pub fn note(&mut self, side: Role, n: u64) {
        let of_side = match side {
            Role::Consumer => &mut self.consumer,
            Role::Producer => &mut self.producer,
        };
        *of_side = (*of_side).max(Some(n));
    }

    fn columns(&self) -> Result<(i64, i64)> {
        let column = |n: Option<u64>| n.map_or(Ok(-1), number);
        Ok((column(self.consumer)?, column(self.producer)?))
    }
}

/// A lane's step from one head to another.
pub struct LaneAdvance {
    /// The lane.
    pub lane: LaneId,
    /// The head it was compared with; none if it had not been opened.
    pub from: Option<SignedTicket>,
    /// Its new head.
    pub to: SignedTicket,
    /// Who vouches for what.
    pub witnessed: Witnessed,
    /// The tickets in between, as they were reported and by whom.
    pub runs: Vec<(Chain, Uuid)>,
}

impl Tx {
    /// Those of these bundles that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn reported_bundles(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, BundleRow>> {
        let rows = sqlx::query!(
            "SELECT bundle_id, pair_id, consumer_endpoint_id, producer_endpoint_id, suite,
                    bundles.state, superseded_at, signing_key
             FROM bundles JOIN endpoints c
               ON c.tenant_id = bundles.tenant_id AND c.endpoint_id = consumer_endpoint_id
             WHERE bundles.tenant_id = $1 AND c.tenant_id = $1 AND bundle_id = ANY($2)",
            self.tenant,
            ids
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let bundle = BundleRow {
                    id: row.bundle_id,
                    pair: row.pair_id,
                    consumer: row.consumer_endpoint_id,
                    producer: row.producer_endpoint_id,
                    suite: u8::try_from(row.suite).map_err(corrupt)?,
                    state: word(BundleState::parse, &row.state)?,
                    superseded_at: row.superseded_at,
                    consumer_key: row.signing_key,
                };
                Ok((bundle.id, bundle))
            })
            .collect()
    }

    /// The states of those of these endpoints that exist.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn endpoint_states(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, EndpointState>> {
        let rows = sqlx::query!(
            "SELECT endpoint_id, state FROM endpoints
             WHERE tenant_id = $1 AND endpoint_id = ANY($2)",
            self.tenant,
            ids
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.endpoint_id, word(EndpointState::parse, &row.state)?)))
            .collect()
    }

    /// The heads of those of these lanes that have one. They stay locked until the
    /// transaction ends: of two replicas' reports the second sees the first's. They
    /// are locked in order, so two transactions never wait for each other.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lock_lanes(&mut self, lanes: &[LaneId]) -> Result<HashMap<LaneId, SignedTicket>> {
        let (bundles, numbers) = columns(lanes);
        let rows = sqlx::query!(
            "SELECT bundle_id, lane, head FROM lanes
             WHERE tenant_id = $1
               AND (bundle_id, lane) IN (SELECT * FROM unnest($2::uuid[], $3::bigint[]))
             ORDER BY bundle_id, lane FOR UPDATE OF lanes",
            self.tenant,
            &bundles,
            &numbers
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((lane_id(row.bundle_id, row.lane)?, decode_ticket(&row.head)?)))
            .collect()
    }

    /// What is recorded in these ranges, in order.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn recorded_tickets(
        &mut self,
        ranges: &[TicketRange],
    ) -> Result<HashMap<LaneId, Vec<SignedTicket>>> {
        let lanes: Vec<LaneId> = ranges.iter().map(|range| range.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let bound = |of: fn(&TicketRange) -> u64| -> Result<Vec<i64>> {
            ranges.iter().map(|range| number(of(range))).collect()
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
            self.tenant,
            &bundles,
            &numbers,
            &lows,
            &highs
        )
        .fetch_all(&mut *self.inner)
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

    /// Swaps heads and records the tickets that led there, where the head still is
    /// what it was compared with and the bundle is not disconnected. Returns for
    /// which lanes it was so. The steps must be in order of their lanes.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance_lanes(&mut self, steps: &[LaneAdvance]) -> Result<HashSet<LaneId>> {
        let lanes: Vec<LaneId> = steps.iter().map(|step| step.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let mut heads = Vec::with_capacity(steps.len());
        let mut before = Vec::with_capacity(steps.len());
        let mut head_ns = Vec::with_capacity(steps.len());
        let (mut consumers, mut producers) = (Vec::new(), Vec::new());
        let mut runs = Runs::default();
        for step in steps {
            let (consumer, producer) = step.witnessed.columns()?;
            head_ns.push(number(step.to.ticket.n)?);
            heads.push(step.to.to_bytes().to_vec());
            before.push(step.from.map(|head| head.to_bytes().to_vec()));
            consumers.push(consumer);
            producers.push(producer);
            for (run, reporter) in &step.runs {
                runs.push(step.lane, run, *reporter)?;
            }
        }
        let rows = sqlx::query!(
            r#"WITH steps AS (
                 SELECT i.* FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bytea[],
                                        $6::bytea[], $7::bigint[], $8::bigint[])
                      AS i(bundle, lane, head_n, head, before, consumer_n, producer_n)
                 JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = i.bundle
                               AND b.state <> 'disconnected'),
             swapped AS (
                 UPDATE lanes SET head_n = s.head_n, head = s.head,
                        consumer_n = greatest(lanes.consumer_n, s.consumer_n),
                        producer_n = greatest(lanes.producer_n, s.producer_n)
                 FROM steps s
                 WHERE tenant_id = $1 AND bundle_id = s.bundle AND lanes.lane = s.lane
                   AND lanes.head = s.before
                 RETURNING bundle_id, lanes.lane),
             opened AS (
                 INSERT INTO lanes (tenant_id, bundle_id, lane, head_n, head, consumer_n,
                                    producer_n)
                 SELECT $1, bundle, lane, head_n, head, consumer_n, producer_n
                 FROM steps WHERE before IS NULL ON CONFLICT DO NOTHING
                 RETURNING bundle_id, lane),
             advanced AS (SELECT * FROM swapped UNION ALL SELECT * FROM opened),
             recorded AS (
                 INSERT INTO ticket_runs (tenant_id, bundle_id, lane, first_n, last_n,
                                          previous, entries, reporter_id)
                 SELECT $1, r.bundle, r.lane, first_n, last_n, previous, entries, reporter
                 FROM unnest($9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[],
                             $13::bytea[], $14::bytea[], $15::uuid[])
                      AS r(bundle, lane, first_n, last_n, previous, entries, reporter)
                 JOIN advanced a ON a.bundle_id = r.bundle AND a.lane = r.lane)
             SELECT bundle_id AS "bundle!", lane AS "lane!" FROM advanced"#,
            self.tenant,
            &bundles,
            &numbers,
            &head_ns,
            &heads,
            &before as &[Option<Vec<u8>>],
            &consumers,
            &producers,
            &runs.bundles,
            &runs.lanes,
            &runs.firsts,
            &runs.lasts,
            &runs.previous,
            &runs.entries,
            &runs.reporters
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| lane_id(row.bundle, row.lane))
            .collect()
    }

    /// Notes who vouches for what is recorded already; the lanes must be locked.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn witness_lanes(&mut self, seen: &[(LaneId, Witnessed)]) -> Result<()> {
        let lanes: Vec<LaneId> = seen.iter().map(|(lane, _)| *lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let (mut consumers, mut producers) = (Vec::new(), Vec::new());
        for (_, witnessed) in seen {
            let (consumer, producer) = witnessed.columns()?;
            consumers.push(consumer);
            producers.push(producer);
        }
        sqlx::query!(
            "UPDATE lanes SET consumer_n = greatest(lanes.consumer_n, s.consumer_n),
                              producer_n = greatest(lanes.producer_n, s.producer_n)
             FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
                  AS s(bundle, lane, consumer_n, producer_n)
             WHERE tenant_id = $1 AND bundle_id = s.bundle AND lanes.lane = s.lane
               AND (lanes.consumer_n < s.consumer_n OR lanes.producer_n < s.producer_n)",
            self.tenant,
            &bundles,
            &numbers,
            &consumers,
            &producers
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
}

/// The columns of runs to be inserted.
#[derive(Default)]
struct Runs {
    bundles: Vec<Uuid>,
    lanes: Vec<i64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    previous: Vec<Vec<u8>>,
    entries: Vec<Vec<u8>>,
    reporters: Vec<Uuid>,
}

impl Runs {
    fn push(&mut self, lane: LaneId, run: &Chain, reporter: Uuid) -> Result<()> {
        let last = run.last_n().map_err(corrupt)?;
        self.bundles.push(lane.0);
        self.lanes.push(lane.1.into());
        self.firsts.push(number(run.first)?);
        self.lasts.push(number(last)?);
        self.previous.push(run.previous.0.to_vec());
        self.entries.push(run.entries.clone());
        self.reporters.push(reporter);
        Ok(())
    }
}

fn columns(lanes: &[LaneId]) -> (Vec<Uuid>, Vec<i64>) {
    lanes
        .iter()
        .map(|(bundle, lane)| (*bundle, i64::from(*lane)))
        .unzip()
}

fn lane_id(bundle: Uuid, lane: i64) -> Result<LaneId> {
    Ok((bundle, u32::try_from(lane).map_err(corrupt)?))
}

/// A stored run.
pub(crate) fn chain_of(
    suite: Suite,
    (bundle, lane): LaneId,
    first: i64,
    previous: Vec<u8>,
    entries: Vec<u8>,
) -> Result<Chain> {
    let previous = previous
        .try_into()
        .map_err(|_| corrupt("a hash of another length"))?;
    Ok(Chain {
        suite,
        bundle: *bundle.as_bytes(),
        lane,
        first: u64::try_from(first).map_err(corrupt)?,
        previous: TicketHash(previous),
        entries,
    })
}

/// Reads a stored signed ticket.
///
/// # Errors
/// `Corrupt`.
pub fn decode_ticket(bytes: &[u8]) -> Result<SignedTicket> {
    SignedTicket::from_bytes(bytes).map_err(corrupt)
}

pub(crate) fn number(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(corrupt)
}

pub(crate) fn corrupt(error: impl ToString) -> StorageError {
    StorageError::Corrupt(error.to_string())
}
