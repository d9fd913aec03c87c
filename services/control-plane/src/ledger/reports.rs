//! `/v1/endpoint/reports`: both ends report the tickets they issued or accepted.

use std::sync::Arc;

use armour_api::{ReportTickets, ReportVerdict, ReportedTickets, TicketReport};
use armour_protocol::{ledger::ENTRY_LEN, ticket::TicketHash};
use axum::{
    Json as Answer,
    extract::{FromRef, State},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry::KeyValue;
use tracing::Instrument;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::{self, Authn, EndpointToken},
    ledger::record::{Call, Ledger, Report, ReportOutcome},
    platform::{group_commit::GroupCommit, instruments::METRICS},
};

/// Most reports of one call.
const MAX_REPORTS: usize = 1000;
/// Most tickets of one call.
const MAX_TICKETS: usize = 5000;

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<GroupCommit<Ledger>>: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(report))
}

/// Reports tickets. Verdicts come in the order of the reports.
#[utoipa::path(post, path = "/v1/endpoint/reports", tag = "endpoint",
    request_body = ReportTickets,
    responses((status = 200, body = ReportedTickets)))]
async fn report(
    State(ledger): State<Arc<GroupCommit<Ledger>>>,
    State(authn): State<Arc<Authn>>,
    token: EndpointToken,
    Json(body): Json<ReportTickets>,
) -> ApiResult<Answer<ReportedTickets>> {
    let bytes: usize = body.reports.iter().map(|report| report.entries.len()).sum();
    if body.reports.len() > MAX_REPORTS || bytes / 4 * 3 / ENTRY_LEN > MAX_TICKETS {
        return Err(ApiError::invalid(format!(
            "at most {MAX_REPORTS} reports and {MAX_TICKETS} tickets a call"
        )));
    }
    let call = Call {
        endpoint: token.endpoint,
        reports: body.reports.iter().map(read).collect(),
    };
    let span = tracing::info_span!("armour.ledger", armour.reports = body.reports.len());
    let outcome = ledger.submit(token.tenant, call).instrument(span);
    let verdicts = match outcome.await? {
        ReportOutcome::Verdicts(verdicts) => verdicts,
        ReportOutcome::Unknown => return Err(authn::invalid()),
        ReportOutcome::Revoked => return Err(token.revoked(&authn).await),
    };
    for verdict in &verdicts {
        METRICS
            .reports
            .add(1, &[KeyValue::new("verdict", name(verdict))]);
    }
    Ok(Answer(ReportedTickets { verdicts }))
}

fn read(report: &TicketReport) -> Report {
    let bytes = |text: &str| STANDARD.decode(text).ok();
    let previous = bytes(&report.previous).and_then(|hash| hash.try_into().ok());
    Report {
        bundle: report.bundle_id,
        lane: report.lane,
        first: report.first,
        age_ms: report.age_ms,
        tickets: previous.map(TicketHash).zip(bytes(&report.entries)),
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
