//! Lanes advance by compare-and-swap. Every statement serves many lanes at once, so
//! that one transaction records what many calls report.

use std::collections::{HashMap, HashSet};

use armour_api::{LaneHead, Role};
use armour_protocol::v2::{
    body::Kind,
    enclave::LaneMark,
    ledger::{Position, Testimony},
    message::Evidence,
    rekey::SubEvidence,
};
use uuid::Uuid;

use crate::{
    decode::{corrupt, to_i64, to_u64},
    error::Result,
    lane_ids::{LaneId, columns, lane_id},
    tickets::RunRow,
    tx::Tx,
};

/// Up to which exchange of a lane its two ends vouch for what is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Number of the last exchange that the consumer's endpoint has reported.
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

/// How far a lane came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneState {
    /// The last recorded place.
    pub last: Position,
    /// The last ticket.
    pub ticket: Evidence,
    /// The last receipt.
    pub receipt: Option<Evidence>,
    /// The last line of sub-tickets, whichever exchange's.
    pub line: Option<LineState>,
}

/// How far the line of an exchange's sub-tickets came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineState {
    /// The last sub-ticket.
    pub ticket: SubEvidence,
    /// The last sub-receipt.
    pub receipt: Option<SubEvidence>,
}

impl LineState {
    /// The exchange.
    pub fn n(&self) -> u64 {
        self.ticket.body.n
    }
}

/// A lane's step from one state to another.
pub struct LaneAdvance {
    /// The lane.
    pub lane: LaneId,
    /// The last place that it was compared with; none if it had not been opened.
    pub from: Option<Position>,
    /// Its new state.
    pub to: LaneState,
    /// Who vouches for what.
    pub witnessed: Witnessed,
    /// The bodies in between, as they were reported and by whom.
    pub runs: Vec<(RunRow, Uuid)>,
}

/// A lane of which another receipt is named than the recorded one.
#[derive(Debug, Clone)]
pub struct Dispute {
    /// The lane.
    pub lane: LaneId,
    /// The exchange.
    pub n: u64,
    /// The sub-receipt of it; 0 if it is the receipt.
    pub k: u32,
    /// What names it, as a testimony's bytes.
    pub run: Vec<u8>,
    /// The endpoint that reported it.
    pub by: Uuid,
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
    /// How far the lanes of these bundles came, in their order: to a bundle's consumer's
    /// endpoint their last tickets, to its producer's their last receipts; and behind each the
    /// last sub-ticket or sub-receipt of the lane's last exchange, if there is one. Of the first bundle
    /// only lanes above `after`. At most `limit` lanes are looked at, however many there are;
    /// if it is as many, the last of them comes with the heads.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn heads(
        &mut self,
        bundles: &[(Uuid, Role)],
        after: Option<u16>,
        limit: usize,
    ) -> Result<(HashMap<Uuid, Vec<LaneHead>>, Option<LaneId>)> {
        let ids: Vec<Uuid> = bundles.iter().map(|(id, _)| *id).collect();
        let sides = bundles.iter().map(|(_, side)| *side == Role::Consumer);
        let sides: Vec<bool> = sides.collect();
        let mut lows = vec![-1; ids.len()];
        if let (Some(low), Some(after)) = (lows.first_mut(), after) {
            *low = i32::from(after);
        }
        // Without a sort: the bundles come in order, and the lanes of each do, so that no lane
        // is read beyond the limit.
        let rows = sqlx::query!(
            r#"SELECT i.bundle AS "bundle!", l.lane AS "lane!",
                      CASE WHEN i.consumer THEN l.ticket ELSE l.receipt END AS head,
                      CASE WHEN l.sub_n IS DISTINCT FROM l.head_n THEN NULL
                           WHEN i.consumer THEN l.sub_ticket ELSE l.sub_receipt END AS sub_head
             FROM unnest($2::uuid[], $3::boolean[], $4::integer[])
                  WITH ORDINALITY AS i(bundle, consumer, low, place)
             CROSS JOIN LATERAL (
                 SELECT lane, ticket, receipt, head_n, sub_n, sub_ticket, sub_receipt FROM lanes
                 WHERE tenant_id = $1 AND bundle_id = i.bundle AND lanes.lane > i.low
                 ORDER BY lane LIMIT $5) l
             ORDER BY i.place LIMIT $5"#,
            self.0.tenant,
            &ids,
            &sides,
            &lows,
            to_i64(limit as u64)?
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let last = last.map(|row| lane_id(row.bundle, row.lane)).transpose()?;
        let mut found: HashMap<Uuid, Vec<LaneHead>> = HashMap::new();
        for row in rows {
            let Some(head) = row.head else { continue };
            let body = evidence(&head)?.body;
            let lane = u32::try_from(row.lane).map_err(corrupt)?;
            let heads = found.entry(row.bundle).or_default();
            heads.push(LaneHead {
                lane,
                n: body.header.n,
                k: 0,
                hash: hex::encode(body.hash().0),
            });
            if let Some(head) = row.sub_head {
                let body = sub_evidence(&head)?.body;
                heads.push(LaneHead {
                    lane,
                    n: body.n,
                    k: body.k,
                    hash: hex::encode(body.hash().0),
                });
            }
        }
        Ok((found, last))
    }

    /// What is recorded last of each of a bundle's lanes, with its proof: tickets and
    /// sub-tickets of a consumer's, receipts and sub-receipts of a producer's.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn last_signed(&mut self, bundle: Uuid, side: Role) -> Result<Vec<Testimony>> {
        let rows = sqlx::query!(
            r#"SELECT CASE WHEN $3 THEN ticket ELSE receipt END AS head,
                      CASE WHEN sub_n IS DISTINCT FROM head_n THEN NULL
                           WHEN $3 THEN sub_ticket ELSE sub_receipt END AS sub_head
               FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 ORDER BY lane"#,
            self.0.tenant,
            bundle,
            side == Role::Consumer
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut signed = Vec::new();
        for row in rows {
            if let Some(head) = row.head {
                signed.push(Testimony::Alone(evidence(&head)?));
            }
            if let Some(head) = row.sub_head {
                signed.push(Testimony::SubAlone(sub_evidence(&head)?));
            }
        }
        Ok(signed)
    }

    /// The last ticket or receipt of a lane, or sub-ticket or sub-receipt, with its proof, if it
    /// is the one of this mark: the consumer's halves for a consumer's, the producer's for a
    /// producer's.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find(
        &mut self,
        bundle: Uuid,
        side: Role,
        mark: &LaneMark,
    ) -> Result<Option<Vec<u8>>> {
        let row = sqlx::query!(
            r#"SELECT CASE WHEN $5 THEN CASE WHEN $4 THEN sub_ticket ELSE sub_receipt END
                           WHEN $4 THEN ticket ELSE receipt END AS head
               FROM lanes WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3"#,
            self.0.tenant,
            bundle,
            i32::from(mark.lane),
            side == Role::Consumer,
            mark.k > 0
        )
        .fetch_optional(&mut *self.0.inner)
        .await?;
        let Some(head) = row.and_then(|row| row.head) else {
            return Ok(None);
        };
        let recorded = match mark.k > 0 {
            true => LaneMark::of_sub(&sub_evidence(&head)?.body),
            false => LaneMark::of(&evidence(&head)?.body),
        };
        Ok((recorded == *mark).then_some(head))
    }

    /// The states of those of these lanes that have one. They stay locked until the
    /// transaction ends: of two replicas' reports the second sees the first's. They
    /// are locked in order, so two transactions never wait for each other.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn lock(&mut self, lanes: &[LaneId]) -> Result<HashMap<LaneId, LaneState>> {
        let (bundles, numbers) = columns(lanes);
        let rows = sqlx::query!(
            "SELECT bundle_id, lane, last_at, ticket, receipt, sub_ticket, sub_receipt FROM lanes
             WHERE tenant_id = $1
               AND (bundle_id, lane) IN (SELECT * FROM unnest($2::uuid[], $3::integer[]))
             ORDER BY bundle_id, lane FOR UPDATE OF lanes",
            self.0.tenant,
            &bundles,
            &numbers
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let state = LaneState {
                    last: Position(to_u64(row.last_at)?),
                    ticket: evidence(&row.ticket)?,
                    receipt: row.receipt.as_deref().map(evidence).transpose()?,
                    line: match row.sub_ticket {
                        None => None,
                        Some(ticket) => Some(LineState {
                            ticket: sub_evidence(&ticket)?,
                            receipt: row.sub_receipt.as_deref().map(sub_evidence).transpose()?,
                        }),
                    },
                };
                Ok((lane_id(row.bundle_id, row.lane)?, state))
            })
            .collect()
    }

    /// Swaps states and records the bodies that led there, where the state still is
    /// what it was compared with and the bundle is not disconnected. Returns for
    /// which lanes it was so. The steps must be in order of their lanes.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance(&mut self, steps: &[LaneAdvance]) -> Result<HashSet<LaneId>> {
        let lanes: Vec<LaneId> = steps.iter().map(|step| step.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let (mut lasts, mut head_ns, mut before) = (Vec::new(), Vec::new(), Vec::new());
        let (mut tickets, mut receipts) = (Vec::new(), Vec::new());
        let (mut consumers, mut producers) = (Vec::new(), Vec::new());
        let (mut runs, mut more) = (Runs::default(), Vec::new());
        for step in steps {
            let (consumer, producer) = step.witnessed.columns()?;
            let before_n = step.from.map_or(0, |place| place.n() + 1);
            more.push(to_i64((step.to.last.n() + 1).saturating_sub(before_n))?);
            lasts.push(to_i64(step.to.last.0)?);
            head_ns.push(to_i64(step.to.last.n())?);
            before.push(step.from.map(|place| to_i64(place.0)).transpose()?);
            tickets.push(step.to.ticket.to_bytes());
            receipts.push(step.to.receipt.as_ref().map(Evidence::to_bytes));
            consumers.push(consumer);
            producers.push(producer);
            for (run, reporter) in &step.runs {
                runs.push(step.lane, run, *reporter)?;
            }
        }
        let rows = sqlx::query!(
            r#"WITH steps AS (
                 SELECT i.* FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[],
                                        $6::bigint[], $7::bytea[], $8::bytea[], $9::bigint[],
                                        $10::bigint[], $20::bigint[])
                      AS i(bundle, lane, last_at, head_n, before, ticket, receipt, consumer_n,
                           producer_n, more)
                 JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = i.bundle
                               AND b.state <> 'disconnected'),
             swapped AS (
                 UPDATE lanes SET last_at = s.last_at, head_n = s.head_n, ticket = s.ticket,
                        receipt = s.receipt,
                        consumer_n = greatest(lanes.consumer_n, s.consumer_n),
                        producer_n = greatest(lanes.producer_n, s.producer_n),
                        unseen_since = CASE
                            WHEN greatest(lanes.producer_n, s.producer_n) >= s.head_n THEN NULL
                            WHEN s.producer_n > lanes.producer_n THEN now()
                            ELSE coalesce(lanes.unseen_since, now()) END,
                        sub_unseen_since = CASE
                            WHEN greatest(lanes.producer_n, s.producer_n) > lanes.sub_n THEN NULL
                            ELSE lanes.sub_unseen_since END
                 FROM steps s
                 WHERE tenant_id = $1 AND bundle_id = s.bundle AND lanes.lane = s.lane
                   AND lanes.last_at = s.before
                 RETURNING bundle_id, lanes.lane),
             opened AS (
                 INSERT INTO lanes (tenant_id, bundle_id, lane, last_at, head_n, ticket, receipt,
                                    consumer_n, producer_n, unseen_since)
                 SELECT $1, bundle, lane, last_at, head_n, ticket, receipt, consumer_n, producer_n,
                        CASE WHEN producer_n >= head_n THEN NULL ELSE now() END
                 FROM steps WHERE before IS NULL ON CONFLICT DO NOTHING
                 RETURNING bundle_id, lane),
             advanced AS (SELECT * FROM swapped UNION ALL SELECT * FROM opened),
             counted AS (
                 INSERT INTO exchange_counts AS c (tenant_id, part, exchanges)
                 SELECT $1, pg_backend_pid() % 32, sum(more) FROM steps s
                 JOIN advanced a ON a.bundle_id = s.bundle AND a.lane = s.lane
                 HAVING sum(more) > 0
                 ON CONFLICT (tenant_id, part)
                 DO UPDATE SET exchanges = c.exchanges + excluded.exchanges),
             recorded AS (
                 INSERT INTO ticket_runs (tenant_id, bundle_id, lane, first_at, last_at, previous,
                                          rests, ticket_proof, receipt_proof, reporter_id)
                 SELECT $1, r.bundle, r.lane, first_at, last_at, previous, rests, ticket_proof,
                        receipt_proof, reporter
                 FROM unnest($11::uuid[], $12::integer[], $13::bigint[], $14::bigint[],
                             $15::bytea[], $16::bytea[], $17::bytea[], $18::bytea[], $19::uuid[])
                      AS r(bundle, lane, first_at, last_at, previous, rests, ticket_proof,
                           receipt_proof, reporter)
                 JOIN advanced a ON a.bundle_id = r.bundle AND a.lane = r.lane)
             SELECT bundle_id AS "bundle!", lane AS "lane!" FROM advanced"#,
            self.0.tenant,
            &bundles,
            &numbers,
            &lasts,
            &head_ns,
            &before as &[Option<i64>],
            &tickets,
            &receipts as &[Option<Vec<u8>>],
            &consumers,
            &producers,
            &runs.bundles,
            &runs.lanes,
            &runs.firsts,
            &runs.lasts,
            &runs.previous,
            &runs.rests,
            &runs.ticket_proofs as &[Option<Vec<u8>>],
            &runs.receipt_proofs as &[Option<Vec<u8>>],
            &runs.reporters,
            &more
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
                              producer_n = greatest(lanes.producer_n, s.producer_n),
                              unseen_since = CASE
                                  WHEN greatest(lanes.producer_n, s.producer_n) >= lanes.head_n
                                  THEN NULL ELSE lanes.unseen_since END,
                              sub_unseen_since = CASE
                                  WHEN greatest(lanes.producer_n, s.producer_n) > lanes.sub_n
                                  THEN NULL ELSE lanes.sub_unseen_since END
             FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[])
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

    /// Notes that another receipt is named than the recorded one, unless one is disputed
    /// already.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn dispute(&mut self, dispute: &Dispute) -> Result<()> {
        sqlx::query!(
            "UPDATE lanes SET disputed_n = $4, disputed_k = $7, disputed_run = $5,
                              disputed_by = $6, disputed_since = now()
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND disputed_n IS NULL",
            self.0.tenant,
            dispute.lane.0,
            i32::from(dispute.lane.1),
            to_i64(dispute.n)?,
            dispute.run,
            dispute.by,
            i64::from(dispute.k)
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
    lanes: Vec<i32>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    previous: Vec<Vec<u8>>,
    rests: Vec<Vec<u8>>,
    ticket_proofs: Vec<Option<Vec<u8>>>,
    receipt_proofs: Vec<Option<Vec<u8>>>,
    reporters: Vec<Uuid>,
}

impl Runs {
    fn push(&mut self, lane: LaneId, run: &RunRow, reporter: Uuid) -> Result<()> {
        self.bundles.push(lane.0);
        self.lanes.push(lane.1.into());
        self.firsts.push(to_i64(run.first.0)?);
        self.lasts.push(to_i64(run.last().0)?);
        self.previous.push(run.previous.0.to_vec());
        self.rests.push(run.rests.concat());
        let has = |kind: Kind| {
            let mut places = (run.first.0..=run.last().0).map(Position);
            places.any(|place| place.kind() == kind)
        };
        self.ticket_proofs.push(
            run.ticket
                .as_ref()
                .filter(|_| has(Kind::Ticket))
                .map(|proof| proof.to_bytes()),
        );
        self.receipt_proofs.push(
            run.receipt
                .as_ref()
                .filter(|_| has(Kind::Receipt))
                .map(|proof| proof.to_bytes()),
        );
        self.reporters.push(reporter);
        Ok(())
    }
}

fn sub_evidence(bytes: &[u8]) -> Result<SubEvidence> {
    SubEvidence::from_bytes(bytes).map_err(corrupt)
}

fn evidence(bytes: &[u8]) -> Result<Evidence> {
    Evidence::from_bytes(bytes).map_err(corrupt)
}
