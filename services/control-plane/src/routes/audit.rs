//! `/v1/audit`: who did what.

use armour_api::{AuditEntry, Page, Problem};
use axum::Json as Answer;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{auth::Operator, extract::Params, problem::ApiResult, state::App};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Before {
    /// `next` of the page before.
    cursor: Option<i64>,
}

/// Lists audit entries, latest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Before),
    responses((status = 200, body = Page<AuditEntry>), (status = "4XX", body = Problem)))]
async fn list(
    mut operator: Operator,
    Params(before): Params<Before>,
) -> ApiResult<Answer<Page<AuditEntry>>> {
    Ok(Answer(operator.tx.list_audit(before.cursor).await?))
}
