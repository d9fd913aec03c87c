//! `/v1/endpoint/reports`: both ends report the exchanges that they made.

use std::sync::Arc;

use armour_api::{LaneReport, ProblemType, ReportExchanges, ReportVerdict, ReportedExchanges};
use armour_protocol::v2::{
    body::BodyHash,
    ledger::{Before, Run, SubRun},
    proof::Proof,
};
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
    ledger::record::{Call, Ledger, Report, ReportOutcome, Said},
    platform::{group_commit::GroupCommit, instruments::METRICS},
};

/// Most reports of one call.
const MAX_REPORTS: usize = 1000;
/// Most tickets and receipts of one call.
const MAX_BODIES: usize = 10_000;

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<GroupCommit<Ledger>>: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(report))
}

/// Reports exchanges. Verdicts come in the order of the reports.
#[utoipa::path(post, path = "/v1/endpoint/reports", tag = "endpoint",
    request_body = ReportExchanges,
    extensions(("x-problems" = json!([ProblemType::IdentityCollided]))),
    responses((status = 200, body = ReportedExchanges)))]
async fn report(
    State(ledger): State<Arc<GroupCommit<Ledger>>>,
    token: EndpointToken,
    Json(body): Json<ReportExchanges>,
) -> ApiResult<Answer<ReportedExchanges>> {
    let bytes: usize = body.reports.iter().map(|report| report.rests.len()).sum();
    if body.reports.len() > MAX_REPORTS || bytes / 4 * 3 / 32 > MAX_BODIES {
        return Err(ApiError::invalid(format!(
            "at most {MAX_REPORTS} reports and {MAX_BODIES} tickets and receipts a call"
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
        ReportOutcome::Revoked => return Err(authn::revoked()),
        ReportOutcome::Collided => {
            return Err(ApiError::new(
                ProblemType::IdentityCollided,
                "somebody else holds this endpoint's keys; enrol it anew",
            ));
        }
    };
    for verdict in &verdicts {
        METRICS
            .reports
            .add(1, &[KeyValue::new("verdict", name(verdict))]);
    }
    Ok(Answer(ReportedExchanges { verdicts }))
}

fn read(report: &LaneReport) -> Report {
    let said = match report.exchange {
        None => run(report).map(Said::Run),
        Some(n) => line(report, n).map(Said::Line),
    };
    Report {
        bundle: report.bundle_id,
        said,
    }
}

fn run(report: &LaneReport) -> Option<Run> {
    let before = match &report.before {
        None => None,
        Some(text) => Some(Before::from_bytes(&bytes(text)?).ok()?),
    };
    Some(Run {
        lane: report.lane,
        first: report.first,
        previous: BodyHash(bytes(&report.previous)?.try_into().ok()?),
        before,
        rests: rests(report)?,
        ticket: proof(&report.ticket)?,
        receipt: receipt(report)?,
    })
}

fn line(report: &LaneReport, n: u64) -> Option<SubRun> {
    if report.before.is_some() {
        return None;
    }
    Some(SubRun {
        lane: report.lane,
        n,
        first: report.first.try_into().ok()?,
        previous: BodyHash(bytes(&report.previous)?.try_into().ok()?),
        rests: rests(report)?,
        ticket: proof(&report.ticket)?,
        receipt: receipt(report)?,
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn proof(text: &str) -> Option<Proof> {
    Proof::from_bytes(&bytes(text)?).ok()
}

/// The last receipt's proof, if there is one; `None` if it is none.
fn receipt(report: &LaneReport) -> Option<Option<Proof>> {
    match &report.receipt {
        None => Some(None),
        Some(text) => proof(text).map(Some),
    }
}

fn rests(report: &LaneReport) -> Option<Vec<[u8; 32]>> {
    let rests = bytes(&report.rests)?;
    match rests.as_chunks::<32>() {
        (rests, []) => Some(rests.to_vec()),
        _ => None,
    }
}

fn name(verdict: &ReportVerdict) -> &'static str {
    match verdict {
        ReportVerdict::Accepted => "accepted",
        ReportVerdict::Gap { .. } => "gap",
        ReportVerdict::Collision => "collision",
        ReportVerdict::ShowReceipt { .. } => "show-receipt",
        ReportVerdict::Disconnected => "disconnected",
        ReportVerdict::Refused { .. } => "refused",
    }
}
