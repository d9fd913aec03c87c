//! `/v1/endpoint/reports`: both ends report the tickets they issued or accepted.

use armour_api::{Problem, ReportTickets, ReportVerdict, ReportedTickets, TicketReport};
use armour_protocol::{ledger::ENTRY_LEN, ticket::TicketHash};
use axum::{Json as Answer, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry::KeyValue;
use tracing::Instrument;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    http::extract::Json,
    http::problem::{ApiError, ApiResult},
    identity::authn::{self, Proven},
    ledger::record::{Call, Report, Told},
    platform::instruments::METRICS,
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
    proven: Proven,
    Json(body): Json<ReportTickets>,
) -> ApiResult<Answer<ReportedTickets>> {
    let bytes: usize = body.reports.iter().map(|report| report.entries.len()).sum();
    if body.reports.len() > MOST_REPORTS || bytes / 4 * 3 / ENTRY_LEN > MOST_TICKETS {
        return Err(ApiError::invalid(format!(
            "at most {MOST_REPORTS} reports and {MOST_TICKETS} tickets a call"
        )));
    }
    let call = Call {
        endpoint: proven.endpoint,
        reports: body.reports.iter().map(read).collect(),
    };
    let span = tracing::info_span!("armour.ledger", armour.reports = body.reports.len());
    let told = app.ledger.ask(proven.tenant, call).instrument(span);
    let verdicts = match told.await? {
        Told::Verdicts(verdicts) => verdicts,
        Told::Unknown => return Err(authn::invalid()),
        Told::Revoked => return Err(proven.revoked(&app).await),
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
