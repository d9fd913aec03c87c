//! Lists of entries.

use armour_api::{AuditEntry, Page};
use armour_storage::AuditFilter;
use axum::Json as Answer;
use serde::Deserialize;

use crate::{
    http::{
        extract::Params,
        problem::{ApiError, ApiResult},
    },
    identity::authn::Member,
};

/// Lists audit entries, latest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Filter),
    responses((status = 200, body = Page<AuditEntry>)))]
pub(super) async fn list(
    mut member: Member,
    Params(filter): Params<Filter>,
) -> ApiResult<Answer<Page<AuditEntry>>> {
    let texts = [&filter.actor, &filter.action, &filter.target];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(ApiError::invalid("a filter must not hold a NUL character"));
    }
    let filter = AuditFilter {
        before: filter.cursor,
        actor: filter.actor.as_deref(),
        action: filter.action.as_deref(),
        target: filter.target.as_deref(),
    };
    Ok(Answer(member.tx.audit_log().list(&filter).await?))
}

/// Where a page of entries begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Before {
    /// `next` of the page before.
    pub cursor: Option<i64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// `next` of the page before.
    cursor: Option<i64>,
    /// Only of this actor, for example `token:<id>`.
    actor: Option<String>,
    /// Only actions that begin so, for example `pair.`.
    action: Option<String>,
    /// Only on this target.
    target: Option<String>,
}
