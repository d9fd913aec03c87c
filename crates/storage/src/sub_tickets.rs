//! Sub-tickets and sub-receipts as they are recorded: in runs, each what one report added to the
//! line of an exchange.

use armour_api::RecordedSubTicket;
use armour_protocol::v2::{
    body::BodyHash,
    context::Context,
    ledger::{SubExchange, SubPosition, SubRun, sub_bodies},
    proof::Proof,
    rekey::{SubBody, SubEvidence, SubKind},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::{corrupt, fixed, to_i64, to_u64},
    error::Result,
    lane_ids::{LaneId, columns, lane_id},
    lanes::LineState,
    tickets::{MAX_ROWS, proof, rests},
    tx::Tx,
};

/// A part of one line, as it is stored.
#[derive(Debug, Clone)]
pub struct SubRunRow {
    /// The exchange.
    pub n: u64,
    /// The first place.
    pub first: SubPosition,
    /// What the first body names.
    pub previous: BodyHash,
    /// What is left of each body.
    pub rests: Vec<[u8; 32]>,
    /// Of the last sub-ticket, if it holds one.
    pub ticket: Option<Proof>,
    /// Of the last sub-receipt, if it holds one.
    pub receipt: Option<Proof>,
}

impl SubRunRow {
    /// The last place. A run has at least one.
    pub fn last(&self) -> SubPosition {
        SubPosition(self.first.0 + (self.rests.len() as u64).saturating_sub(1))
    }

    fn bodies(&self, context: &Context, lane: u16) -> Result<Vec<SubBody>> {
        let place = (lane, self.n);
        sub_bodies(context, place, self.first, self.previous, &self.rests).map_err(corrupt)
    }
}

/// Sub-tickets of one exchange, from a number to another, both included.
#[derive(Debug, Clone, Copy)]
pub struct SubRange {
    /// The lane.
    pub lane: LaneId,
    /// The exchange.
    pub n: u64,
    /// The first.
    pub low: u32,
    /// The last.
    pub high: u32,
}

/// A line's step.
#[derive(Debug)]
pub struct LineAdvance {
    /// The lane, which is locked.
    pub lane: LaneId,
    /// Its new state.
    pub to: LineState,
    /// The bodies in between, as they were reported and by whom.
    pub runs: Vec<(SubRunRow, Uuid)>,
    /// The last sub-ticket that the producer's endpoint has reported just now.
    pub witnessed: Option<SubWitness>,
}

/// A sub-ticket that a producer's endpoint has reported: up to there both ends vouch for what is
/// recorded of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubWitness {
    /// The exchange.
    pub n: u64,
    /// The sub-ticket.
    pub k: u32,
}

impl Tx {
    /// The sub-tickets that are recorded of the tenant's lanes.
    pub fn sub_tickets(&mut self) -> SubTickets<'_> {
        SubTickets(self)
    }
}

/// The sub-tickets and sub-receipts that are recorded of the tenant's lanes.
pub struct SubTickets<'a>(&'a mut Tx);

impl SubTickets<'_> {
    /// What is recorded in these ranges, in their order; each sub-ticket with its sub-receipt. A
    /// range costs what it holds, however long its line is.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn find_ranges(
        &mut self,
        ranges: &[(SubRange, &Context)],
    ) -> Result<Vec<Vec<SubExchange>>> {
        let lanes: Vec<LaneId> = ranges.iter().map(|(range, _)| range.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let ns = ranges.iter().map(|(range, _)| to_i64(range.n));
        let ns = ns.collect::<Result<Vec<_>>>()?;
        let place = |k: u32, of: u64| to_i64(SubPosition::of_ticket(k).0 + of);
        let lows = ranges.iter().map(|(range, _)| place(range.low, 0));
        let lows = lows.collect::<Result<Vec<_>>>()?;
        let highs = ranges.iter().map(|(range, _)| place(range.high, 1));
        let highs = highs.collect::<Result<Vec<_>>>()?;
        // As of tickets: the run that holds the lowest place is the last that begins no later,
        // and is found first.
        let rows = sqlx::query!(
            r#"SELECT i.place AS "place!", r.first_at AS "first_at!", r.previous AS "previous!",
                      r.rests AS "rests!"
             FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])
                  WITH ORDINALITY AS i(bundle, lane, n, low, high, place)
             CROSS JOIN LATERAL (
                 SELECT max(first_at) AS first_at FROM sub_ticket_runs s
                 WHERE s.tenant_id = $1 AND s.bundle_id = i.bundle AND s.lane = i.lane
                   AND s.n = i.n AND s.first_at <= i.low) AS lowest
             CROSS JOIN LATERAL (
                 SELECT s.first_at, s.previous, s.rests FROM sub_ticket_runs s
                 WHERE s.tenant_id = $1 AND s.bundle_id = i.bundle AND s.lane = i.lane
                   AND s.n = i.n AND s.first_at >= lowest.first_at AND s.first_at <= i.high
                 ORDER BY s.first_at OFFSET 0) r
             ORDER BY i.place, r.first_at"#,
            self.0.tenant,
            &bundles,
            &numbers,
            &ns,
            &lows,
            &highs
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut bodies: Vec<Vec<SubBody>> = vec![Vec::new(); ranges.len()];
        for row in rows {
            // They are numbered from 1.
            let place = usize::try_from(row.place - 1).map_err(corrupt)?;
            let of = ranges.get(place).zip(bodies.get_mut(place));
            let ((range, context), bodies) =
                of.ok_or_else(|| corrupt("a range that was not asked for"))?;
            let run = SubRunRow {
                n: range.n,
                first: SubPosition(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: None,
                receipt: None,
            };
            let within = |body: &SubBody| (range.low..=range.high).contains(&body.k);
            bodies.extend(
                run.bodies(context, range.lane.1)?
                    .into_iter()
                    .filter(within),
            );
        }
        Ok(bodies.iter().map(|bodies| exchanges(bodies)).collect())
    }

    /// What is recorded of an exchange's line from sub-ticket `k` to the nearest proof that
    /// vouches for it, or for its sub-receipt; `None` if that is not recorded.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn proven_from(
        &mut self,
        context: &Context,
        (lane, n, k): (u16, u64, u32),
        kind: SubKind,
    ) -> Result<Option<SubRun>> {
        let first = SubPosition::of_ticket(k);
        let wanted = first.0 + u64::from(kind == SubKind::Receipt);
        let rows = sqlx::query!(
            "SELECT first_at, previous, rests, ticket_proof, receipt_proof FROM sub_ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND n = $4
               AND first_at >= (SELECT max(first_at) FROM sub_ticket_runs
                   WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND n = $4
                     AND first_at <= $5)
             ORDER BY first_at LIMIT $6",
            self.0.tenant,
            Uuid::from_bytes(context.binding().bundle),
            i32::from(lane),
            to_i64(n)?,
            to_i64(first.0)?,
            MAX_ROWS
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut run: Option<(BodyHash, Vec<[u8; 32]>)> = None;
        // Of the last body of either kind so far; a later one needs its own.
        let (mut ticket, mut receipt): (Option<Proof>, Option<Proof>) = (None, None);
        for row in rows {
            let row = SubRunRow {
                n,
                first: SubPosition(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: proof(row.ticket_proof)?,
                receipt: proof(row.receipt_proof)?,
            };
            let (from, last) = (first.0.max(row.first.0), row.last().0);
            let has = |kind: SubKind| (from..=last).any(|at| SubPosition(at).kind() == kind);
            let (has_ticket, has_receipt) = (has(SubKind::Ticket), has(SubKind::Receipt));
            let skip = (from - row.first.0) as usize;
            let left = row.rests.get(skip..).unwrap_or_default();
            match &mut run {
                Some((_, rests)) => rests.extend_from_slice(left),
                None => match row.bodies(context, lane)?.get(skip) {
                    Some(start) => run = Some((start.previous, left.to_vec())),
                    None => return Ok(None),
                },
            }
            if has_ticket {
                ticket = row.ticket;
            }
            if has_receipt {
                receipt = row.receipt;
            }
            let receipts = run.as_ref().is_some_and(|(_, rests)| rests.len() > 1);
            if last >= wanted && ticket.is_some() && (receipt.is_some() || !receipts) {
                break;
            }
        }
        Ok(run.zip(ticket).map(|((previous, rests), ticket)| SubRun {
            lane,
            n,
            first: k,
            previous,
            rests,
            ticket,
            receipt,
        }))
    }

    /// The recorded end of an exchange's line: its last sub-ticket, with its sub-receipt.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn end(
        &mut self,
        context: &Context,
        lane: u16,
        n: u64,
    ) -> Result<Option<SubExchange>> {
        let last = sqlx::query_scalar!(
            r#"SELECT max(last_at) AS "last" FROM sub_ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND n = $4
               AND first_at = (SELECT max(first_at) FROM sub_ticket_runs
                   WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND n = $4)"#,
            self.0.tenant,
            Uuid::from_bytes(context.binding().bundle),
            i32::from(lane),
            to_i64(n)?
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        let Some(last) = last else { return Ok(None) };
        let k = SubPosition(to_u64(last)?).k();
        let k = k.ok_or_else(|| corrupt("no place of a line"))?;
        let range = SubRange {
            lane: (Uuid::from_bytes(context.binding().bundle), lane),
            n,
            low: k,
            high: k,
        };
        let found = self.find_ranges(&[(range, context)]).await?;
        Ok(found.into_iter().flatten().next())
    }

    /// Sub-tickets of one exchange before a number, latest first, at most so many, each with its
    /// sub-receipt.
    ///
    /// # Errors
    /// If the database does not answer or holds what cannot be read.
    pub async fn list(
        &mut self,
        context: &Context,
        (lane, n): (u16, u64),
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<RecordedSubTicket>> {
        let before = before.unwrap_or(u32::MAX);
        let rows = sqlx::query!(
            "SELECT first_at, previous, rests, reporter_id, recorded_at FROM sub_ticket_runs
             WHERE tenant_id = $1 AND bundle_id = $2 AND lane = $3 AND n = $4 AND first_at < $5
             ORDER BY first_at DESC LIMIT $6",
            self.0.tenant,
            Uuid::from_bytes(context.binding().bundle),
            i32::from(lane),
            to_i64(n)?,
            to_i64(SubPosition::of_ticket(before).0)?,
            2 * limit as i64
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let mut listed: Vec<RecordedSubTicket> = Vec::new();
        let mut receipt: Option<SubBody> = None;
        for row in rows {
            let run = SubRunRow {
                n,
                first: SubPosition(to_u64(row.first_at)?),
                previous: BodyHash(fixed(row.previous)?),
                rests: rests(&row.rests)?,
                ticket: None,
                receipt: None,
            };
            for body in run.bodies(context, lane)?.into_iter().rev() {
                match body.kind {
                    _ if body.k >= before => {}
                    SubKind::Receipt => receipt = Some(body),
                    SubKind::Ticket => {
                        let answer = receipt.take().filter(|receipt| receipt.k == body.k);
                        listed.push(recorded(&body, answer, row.reporter_id, row.recorded_at));
                    }
                }
            }
            if listed.len() >= limit {
                break;
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// Swaps the states of lines and records the bodies that led there, where the bundle is not
    /// disconnected. Returns for which lanes it was so; they must be locked, and in order.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn advance(&mut self, steps: &[LineAdvance]) -> Result<Vec<LaneId>> {
        let lanes: Vec<LaneId> = steps.iter().map(|step| step.lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let ns = steps.iter().map(|step| to_i64(step.to.n()));
        let ns = ns.collect::<Result<Vec<_>>>()?;
        let answered = steps.iter().map(|step| step.to.receipt.as_ref());
        let ks = answered.map(|answer| answer.map_or(0, |answer| answer.body.k.into()));
        let ks: Vec<i64> = ks.collect();
        let (witness_ns, witness_ks) = witness_columns(steps.iter().map(|step| step.witnessed))?;
        let tickets = steps.iter().map(|step| step.to.ticket.to_bytes());
        let tickets: Vec<Vec<u8>> = tickets.collect();
        let receipts = steps.iter().map(|step| {
            let receipt = step.to.receipt.as_ref();
            receipt.map(SubEvidence::to_bytes)
        });
        let receipts: Vec<Option<Vec<u8>>> = receipts.collect();
        let mut runs = Runs::default();
        for step in steps {
            for (run, reporter) in &step.runs {
                runs.push(step.lane, run, *reporter)?;
            }
        }
        let rows = sqlx::query!(
            r#"WITH steps AS (
                 SELECT i.* FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bytea[],
                                        $6::bytea[], $17::bigint[], $18::bigint[], $19::bigint[])
                      AS i(bundle, lane, n, ticket, receipt, k, seen_n, seen_k)
                 JOIN bundles b ON b.tenant_id = $1 AND b.bundle_id = i.bundle
                               AND b.state <> 'disconnected'),
             advanced AS (
                 UPDATE lanes SET sub_n = s.n, sub_k = s.k, sub_ticket = s.ticket,
                        sub_receipt = s.receipt,
                        (producer_sub_n, producer_sub_k) = (
                            SELECT n, k FROM (VALUES
                                (lanes.producer_sub_n, lanes.producer_sub_k),
                                (s.seen_n, s.seen_k)) AS seen(n, k)
                            ORDER BY n DESC, k DESC LIMIT 1),
                        sub_unseen_since = CASE
                            WHEN s.k = 0 OR lanes.producer_n > s.n
                                OR (s.seen_n, s.seen_k) >= (s.n, s.k)
                                OR (lanes.producer_sub_n, lanes.producer_sub_k) >= (s.n, s.k)
                                THEN NULL
                            WHEN (s.seen_n, s.seen_k)
                                > (lanes.producer_sub_n, lanes.producer_sub_k) THEN now()
                            ELSE coalesce(lanes.sub_unseen_since, now()) END
                 FROM steps s
                 WHERE tenant_id = $1 AND bundle_id = s.bundle AND lanes.lane = s.lane
                 RETURNING bundle_id, lanes.lane),
             recorded AS (
                 INSERT INTO sub_ticket_runs (tenant_id, bundle_id, lane, n, first_at, last_at,
                                              previous, rests, ticket_proof, receipt_proof,
                                              reporter_id)
                 SELECT $1, r.bundle, r.lane, n, first_at, last_at, previous, rests, ticket_proof,
                        receipt_proof, reporter
                 FROM unnest($7::uuid[], $8::integer[], $9::bigint[], $10::bigint[],
                             $11::bigint[], $12::bytea[], $13::bytea[], $14::bytea[],
                             $15::bytea[], $16::uuid[])
                      AS r(bundle, lane, n, first_at, last_at, previous, rests, ticket_proof,
                           receipt_proof, reporter)
                 JOIN advanced a ON a.bundle_id = r.bundle AND a.lane = r.lane)
             SELECT bundle_id AS "bundle!", lane AS "lane!" FROM advanced"#,
            self.0.tenant,
            &bundles,
            &numbers,
            &ns,
            &tickets,
            &receipts as &[Option<Vec<u8>>],
            &runs.bundles,
            &runs.lanes,
            &runs.ns,
            &runs.firsts,
            &runs.lasts,
            &runs.previous,
            &runs.rests,
            &runs.tickets as &[Option<Vec<u8>>],
            &runs.receipts as &[Option<Vec<u8>>],
            &runs.reporters,
            &ks,
            &witness_ns,
            &witness_ks
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let advanced = rows.into_iter().map(|row| lane_id(row.bundle, row.lane));
        advanced.collect()
    }

    /// Records that producers' endpoints vouch for what is recorded of these lanes' lines already;
    /// the lanes must be locked.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn witness(&mut self, seen: &[(LaneId, SubWitness)]) -> Result<()> {
        let lanes: Vec<LaneId> = seen.iter().map(|(lane, _)| *lane).collect();
        let (bundles, numbers) = columns(&lanes);
        let (ns, ks) = witness_columns(seen.iter().map(|(_, seen)| Some(*seen)))?;
        sqlx::query!(
            "UPDATE lanes SET producer_sub_n = s.n, producer_sub_k = s.k,
                              sub_unseen_since = CASE
                                  WHEN (s.n, s.k) >= (lanes.sub_n, lanes.sub_k)
                                  THEN NULL ELSE lanes.sub_unseen_since END
             FROM unnest($2::uuid[], $3::integer[], $4::bigint[], $5::bigint[])
                  AS s(bundle, lane, n, k)
             WHERE tenant_id = $1 AND bundle_id = s.bundle AND lanes.lane = s.lane
               AND (lanes.producer_sub_n, lanes.producer_sub_k) < (s.n, s.k)",
            self.0.tenant,
            &bundles,
            &numbers,
            &ns,
            &ks
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

/// Exchanges and sub-tickets; -1 and 0 where there is none.
fn witness_columns(seen: impl Iterator<Item = Option<SubWitness>>) -> Result<(Vec<i64>, Vec<i64>)> {
    let both = seen.map(|seen| match seen {
        Some(seen) => Ok((to_i64(seen.n)?, i64::from(seen.k))),
        None => Ok((-1, 0)),
    });
    let both = both.collect::<Result<Vec<_>>>()?;
    Ok(both.into_iter().unzip())
}

/// The columns of runs to be inserted.
#[derive(Default)]
struct Runs {
    bundles: Vec<Uuid>,
    lanes: Vec<i32>,
    ns: Vec<i64>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    previous: Vec<Vec<u8>>,
    rests: Vec<Vec<u8>>,
    tickets: Vec<Option<Vec<u8>>>,
    receipts: Vec<Option<Vec<u8>>>,
    reporters: Vec<Uuid>,
}

impl Runs {
    fn push(&mut self, lane: LaneId, run: &SubRunRow, reporter: Uuid) -> Result<()> {
        self.bundles.push(lane.0);
        self.lanes.push(lane.1.into());
        self.ns.push(to_i64(run.n)?);
        self.firsts.push(to_i64(run.first.0)?);
        self.lasts.push(to_i64(run.last().0)?);
        self.previous.push(run.previous.0.to_vec());
        self.rests.push(run.rests.concat());
        self.tickets.push(run.ticket.as_ref().map(Proof::to_bytes));
        self.receipts
            .push(run.receipt.as_ref().map(Proof::to_bytes));
        self.reporters.push(reporter);
        Ok(())
    }
}

fn recorded(
    ticket: &SubBody,
    receipt: Option<SubBody>,
    reporter: Uuid,
    at: DateTime<Utc>,
) -> RecordedSubTicket {
    RecordedSubTicket {
        lane: ticket.lane.into(),
        n: ticket.n,
        k: ticket.k,
        hash: hex::encode(ticket.hash().0),
        previous: hex::encode(ticket.previous.0),
        receipt: receipt.map(|receipt| hex::encode(receipt.hash().0)),
        reporter_id: reporter,
        recorded_at: at,
    }
}

/// Bodies without holes as exchanges; a sub-receipt at the beginning, whose sub-ticket is not
/// there, is left out.
fn exchanges(bodies: &[SubBody]) -> Vec<SubExchange> {
    let mut exchanges: Vec<SubExchange> = Vec::new();
    for body in bodies {
        match body.kind {
            SubKind::Receipt => {
                if let Some(last) = exchanges.last_mut() {
                    last.receipt = Some(*body);
                }
            }
            SubKind::Ticket => exchanges.push(SubExchange {
                ticket: *body,
                receipt: None,
            }),
        }
    }
    exchanges
}
