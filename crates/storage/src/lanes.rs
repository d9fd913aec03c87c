//! Lanes advance by compare-and-swap. Every statement serves many lanes at once, so
//! that one transaction records what many calls report.

use std::collections::{HashMap, HashSet};

use armour_api::{LaneHead, Role};
use armour_protocol::{ledger::Chain, ticket::SignedTicket};
use uuid::Uuid;

use crate::{
    decode::{corrupt, decode_ticket, to_i64},
    error::Result,
    tx::Tx,
};

/// A bundle and one of its lanes.
pub type LaneId = (Uuid, u32);

/// Up to which ticket of a lane its two ends vouch for what is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Number of the last ticket that the consumer's endpoint has reported.
    pub consumer: Option<u64>,
    /// Of the last that the producer's has.
    pub producer: Option<u64>,
}

impl Witnessed {
    /// Records a report by one side.
    pub fn record(&mut self, side: Role, n: u64) {
        let of_side = match side {
            Role::Consumer => &mut self.consumer,
            Role::Producer => &mut self.producer,
        };
        *of_side = (*of_side).max(Some(n));
    }

    fn columns(&self) -> Result<(i64, i64)> {
        let column = |n: Option<u64>| n.map_or(Ok(-1), to_i64);
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
    /// The lanes of the tenant's bundles.
    pub fn lanes(&mut self) -> Lanes<'_> {
        Lanes(self)
    }
}

/// The lanes of the tenant's bundles.
pub struct Lanes<'a>(&'a mut Tx);

impl Lanes<'_> {
    /// The head of one lane.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn head(&mut self, bundle: Uuid, lane: u32) -> Result<Option<SignedTicket>> {
        let head = sqlx::query_scalar!(
            "SELECT head FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3",
            self.0.tenant,
            bundle,
            i64::from(lane)
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        head.map(|bytes| decode_ticket(&bytes)).transpose()
    }

    /// The heads of a bundle's lanes.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heads(&mut self, bundle: Uuid) -> Result<Vec<LaneHead>> {
        let rows = sqlx::query!(
            "SELECT lane, head FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 ORDER BY lane",
            self.0.tenant,
            bundle
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.iter()
            .map(|row| {
                let ticket = decode_ticket(&row.head)?.ticket;
                Ok(LaneHead {
                    lane: ticket.lane,
                    n: ticket.n,
                    hash: hex::encode(ticket.hash().0),
                })
            })
            .collect()
    }

    /// The heads of those of these lanes that have one. They stay locked until the
    /// transaction ends: of two replicas' reports the second sees the first's. They
    /// are locked in order, so two transactions never wait for each other.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lock(&mut self, lanes: &[LaneId]) -> Result<HashMap<LaneId, SignedTicket>> {
        let (bundles, numbers) = columns(lanes);
        let rows = sqlx::query!(
            "SELECT bundle_id, lane, head FROM lanes
             WHERE tenant_id = $1
               AND (bundle_id, lane) IN (SELECT * FROM unnest($2::uuid[], $3::bigint[]))
             ORDER BY bundle_id, lane FOR UPDATE OF lanes",
            self.0.tenant,
            &bundles,
            &numbers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| Ok((lane_id(row.bundle_id, row.lane)?, decode_ticket(&row.head)?)))
            .collect()
    }

    /// Swaps heads and records the tickets that led there, where the head still is
    /// what it was compared with and the bundle is not disconnected. Returns for
    /// which lanes it was so. The steps must be in order of their lanes.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance(&mut self, steps: &[LaneAdvance]) -> Result<HashSet<LaneId>> {
        let lanes: Vec<LaneId> = steps.iter().map(|step| step.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let mut heads = Vec::with_capacity(steps.len());
        let mut before = Vec::with_capacity(steps.len());
        let mut head_ns = Vec::with_capacity(steps.len());
        let (mut consumers, mut producers) = (Vec::new(), Vec::new());
        let mut runs = Runs::default();
        for step in steps {
            let (consumer, producer) = step.witnessed.columns()?;
            head_ns.push(to_i64(step.to.ticket.n)?);
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
            self.0.tenant,
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
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| lane_id(row.bundle, row.lane))
            .collect()
    }

    /// Records who vouches for what is recorded already; the lanes must be locked.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn witness(&mut self, seen: &[(LaneId, Witnessed)]) -> Result<()> {
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
            self.0.tenant,
            &bundles,
            &numbers,
            &consumers,
            &producers
        )
        .execute(&mut *self.0.inner)
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
        self.firsts.push(to_i64(run.first)?);
        self.lasts.push(to_i64(last)?);
        self.previous.push(run.previous.0.to_vec());
        self.entries.push(run.entries.clone());
        self.reporters.push(reporter);
        Ok(())
    }
}

/// The columns that name lanes.
pub(crate) fn columns(lanes: &[LaneId]) -> (Vec<Uuid>, Vec<i64>) {
    lanes
        .iter()
        .map(|(bundle, lane)| (*bundle, i64::from(*lane)))
        .unzip()
}

/// A lane, from the columns that name it.
pub(crate) fn lane_id(bundle: Uuid, lane: i64) -> Result<LaneId> {
    Ok((bundle, u32::try_from(lane).map_err(corrupt)?))
}
