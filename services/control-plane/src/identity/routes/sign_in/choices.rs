//! Whom one may sign in with.

use std::sync::Arc;

use armour_api::{IssuerKind, SignInChoice};
use armour_storage::Urgency;
use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    http::{extract::Params, problem::ApiResult},
    identity::oidc::Oidc,
};

/// Issuers that people of a tenant may sign in with. Of a tenant that does not
/// exist there are none.
#[utoipa::path(get, path = "/v1/auth/choices", tag = "people", params(OfTenant), security(()),
    responses((status = 200, body = Vec<SignInChoice>)))]
pub(super) async fn choices(
    State(oidc): State<Arc<Oidc>>,
    Params(of): Params<OfTenant>,
) -> ApiResult<Answer<Vec<SignInChoice>>> {
    let mut tx = oidc
        .store
        .tenant_unproven(of.tenant, Urgency::Members)
        .await?;
    let issuers = tx.issuers().list(Some(IssuerKind::People)).await?;
    let choices = issuers.into_iter().map(|issuer| SignInChoice {
        issuer_id: issuer.id,
        name: issuer.name,
    });
    Ok(Answer(choices.collect()))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfTenant {
    /// The tenant.
    tenant: Uuid,
}
