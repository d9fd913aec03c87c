//! `/v1/endpoint/reports`: both ends report the tickets they issued or accepted.

use armour_api::{
    BundleState, CollisionKind, Problem, ReportTickets, ReportVerdict, ReportedTickets, Role,
    TicketReport,
};
use armour_protocol::{
    Suite,
    ledger::{Chain, ENTRY_LEN, Verdict},
    ticket::TicketHash,
};
use armour_storage::{BundleRow, LedgerReport, StorageError};
use axum::{Json as Answer, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Duration;
use opentelemetry::KeyValue;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::endpoint::stored_key;
use crate::{
    auth::Caller,
    collision::{Found, declare},
    extract::Json,
    metrics::METRICS,
    problem::{ApiError, ApiResult},
    state::App,
};

/// Most reports of one call.
const MOST_REPORTS: usize = 1000;
/// Most tickets of one call.
const MOST_TICKETS: usize = 5000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report))
}

/// Reports tickets. Verdicts come in the order of the reports.
#[utoipa::path(post, path = "/v1/endpoint/reports", tag = "endpoint",
    request_body = ReportTickets,
    responses((status = 200, body = ReportedTickets), (status = "4XX", body = Problem)))]
async fn report(
    State(app): State<App>,
    mut caller: Caller,
    Json(body): Json<ReportTickets>,
) -> ApiResult<Answer<ReportedTickets>> {
    let bytes: usize = body.reports.iter().map(|report| report.entries.len()).sum();
    if body.reports.len() > MOST_REPORTS || bytes / 4 * 3 / ENTRY_LEN > MOST_TICKETS {
        return Err(ApiError::invalid(format!(
            "at most {MOST_REPORTS} reports and {MOST_TICKETS} tickets a call"
        )));
    }
    // In the order of their locks, whatever order they came in.
    let mut order: Vec<usize> = (0..body.reports.len()).collect();
    order.sort_by_key(|&index| {
        let report = &body.reports[index];
        (report.bundle_id, report.lane, report.first)
    });
    let tenant = caller.tx.tenant_id();
    let mut verdicts = vec![ReportVerdict::Accepted; body.reports.len()];
    loop {
        let mut collisions = Vec::new();
        let mut news = false;
        for &index in &order {
            let judged = judge(&mut caller, &body.reports[index]).await?;
            let verdict = match judged {
                Judged::Plain(verdict) => verdict,
                Judged::Recorded => {
                    news = true;
                    ReportVerdict::Accepted
                }
                Judged::Collision(found) => {
                    collisions.push((index, found));
                    ReportVerdict::Collision
                }
            };
            // What was found a collision before stays one, though its bundle is
            // disconnected by now.
            if verdicts[index] != ReportVerdict::Collision {
                verdicts[index] = verdict;
            }
        }
        // Tickets of a superseded bundle are evidence only while they are new: if
        // they were recorded and we died before the collision was, it would be
        // missed. So it is declared first, and the reports are judged again.
        let superseded = collisions
            .iter()
            .any(|(_, found)| found.kind == CollisionKind::Superseded);
        if superseded {
            // What was recorded is undone, and its locks let go of.
            caller.tx.rollback().await?;
        } else {
            // Who vouches for known tickets may be lost in a crash.
            if !news {
                caller.tx.relax().await?;
            }
            caller.tx.commit().await?;
        }
        // Transactions of their own: the locks of the reports have to be free. A
        // fork is found again whenever it is reported again.
        for (_, found) in &collisions {
            let mut tx = app.store.tenant(tenant).await?;
            declare(&mut tx, found).await?;
            tx.commit().await?;
        }
        if !superseded {
            for verdict in &verdicts {
                METRICS
                    .reports
                    .add(1, &[KeyValue::new("verdict", name(verdict))]);
            }
            return Ok(Answer(ReportedTickets { verdicts }));
        }
        caller.tx = app.store.tenant(tenant).await?;
    }
}

fn name(verdict: &ReportVerdict) -> &'static str {
    match verdict {
        ReportVerdict::Accepted => "accepted",
        ReportVerdict::Gap { .. } => "gap",
        ReportVerdict::Collision => "collision",
        ReportVerdict::Disconnected => "disconnected",
        ReportVerdict::Refused { .. } => "refused",
    }
}

enum Judged {
    Plain(ReportVerdict),
    /// Tickets were recorded that the ledger did not know.
    Recorded,
    Collision(Box<Found>),
}

async fn judge(caller: &mut Caller, report: &TicketReport) -> ApiResult<Judged> {
    let refused = |detail: &str| {
        Ok(Judged::Plain(ReportVerdict::Refused {
            detail: detail.to_owned(),
        }))
    };
    let bundle = match caller.tx.bundle_for_share(report.bundle_id).await {
        Ok(bundle) => bundle,
        Err(StorageError::NotFound) => return refused("no such bundle"),
        Err(error) => return Err(error.into()),
    };
    let me = caller.endpoint.id;
    if bundle.consumer != me && bundle.producer != me {
        return refused("no such bundle");
    }
    if bundle.state == BundleState::Disconnected {
        return Ok(Judged::Plain(ReportVerdict::Disconnected));
    }
    let Some(checked) = check(caller, &bundle, report)? else {
        return refused("the tickets are malformed or not signed by the bundle's consumer");
    };
    let found = |kind, lane, n, recorded, reported| {
        Ok(Judged::Collision(Box::new(Found {
            bundle: bundle.clone(),
            kind,
            lane,
            n,
            recorded,
            reported,
            reporter: me,
        })))
    };
    let verdict = caller.tx.advance_lane(&checked).await?;
    // What the ledger knew already was used before; only new tickets show that
    // a superseded bundle is still in use.
    if let (Verdict::Extends { .. }, Some(superseded_at)) = (&verdict, bundle.superseded_at) {
        let grace = caller
            .tx
            .find_pair(bundle.pair)
            .await?
            .policy
            .supersede_grace_ms;
        let age = i64::try_from(report.age_ms)
            .unwrap_or(i64::MAX / 2)
            .min(86_400_000 * 365);
        let used_at = caller.tx.now() - Duration::milliseconds(age);
        if used_at > superseded_at + Duration::milliseconds(grace.into()) {
            let last = checked.tickets.last().copied();
            let n = last.map_or(report.first, |ticket| ticket.ticket.n);
            return found(CollisionKind::Superseded, report.lane, n, None, last);
        }
    }
    match verdict {
        Verdict::Known => Ok(Judged::Plain(ReportVerdict::Accepted)),
        Verdict::Extends { .. } => Ok(Judged::Recorded),
        Verdict::Gap { expected } => Ok(Judged::Plain(ReportVerdict::Gap { expected })),
        Verdict::Collision { recorded, reported } => found(
            CollisionKind::Fork,
            report.lane,
            reported.ticket.n,
            Some(*recorded),
            Some(*reported),
        ),
    }
}

/// Reads a report and checks each ticket's signature.
fn check(
    caller: &Caller,
    bundle: &BundleRow,
    report: &TicketReport,
) -> ApiResult<Option<LedgerReport>> {
    let decoded = STANDARD
        .decode(&report.entries)
        .ok()
        .zip(STANDARD.decode(&report.previous).ok());
    let Some((entries, previous)) = decoded else {
        return Ok(None);
    };
    let Ok(previous) = previous.try_into() else {
        return Ok(None);
    };
    let chain = Chain {
        suite: Suite::from_u8(bundle.suite).map_err(ApiError::internal)?,
        bundle: *bundle.id.as_bytes(),
        lane: report.lane,
        first: report.first,
        previous: TicketHash(previous),
        entries,
    };
    let key = stored_key(&bundle.consumer_key)?;
    let Ok(tickets) = chain.tickets() else {
        return Ok(None);
    };
    let last_fits = tickets
        .last()
        .is_some_and(|last| i64::try_from(last.ticket.n).is_ok());
    if !last_fits || tickets.iter().any(|ticket| ticket.verify(&key).is_err()) {
        return Ok(None);
    }
    Ok(Some(LedgerReport {
        bundle: bundle.id,
        reporter: caller.endpoint.id,
        side: match bundle.consumer == caller.endpoint.id {
            true => Role::Consumer,
            false => Role::Producer,
        },
        chain,
        tickets,
    }))
}
