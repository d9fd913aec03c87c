//! Enrolment of a workload that an issuer vouches for.

use std::sync::Arc;

use armour_api::{Endpoint, Enrol, ProblemType};
use armour_storage::Actor;
use axum::{
    Json as Answer,
    extract::State,
    http::{StatusCode, request::Parts},
};

use super::admission::{Admission, Keys, admit};
use crate::{
    http::{
        extract::{Id, Json},
        problem::ApiResult,
    },
    identity::{
        authn,
        oidc::{Oidc, workload},
    },
};

/// Enrols a workload in a tenant; the bearer token is one of an issuer that the
/// tenant trusts, a Kubernetes service account's for example.
#[utoipa::path(post, path = "/v1/enrol/workload/{id}", tag = "enrolment",
    params(("id" = Uuid, Path, description = "The tenant")), request_body = Enrol,
    extensions(("x-problems" = json!([
        ProblemType::Unauthenticated, ProblemType::NotAdmitted, ProblemType::AlreadyExists,
        ProblemType::OverQuota, ProblemType::IssuerUnreachable
    ]))),
    responses((status = 201, body = Endpoint)))]
pub(super) async fn enrol_workload(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Id(tenant): Id,
    Json(new): Json<Enrol>,
) -> ApiResult<(StatusCode, Answer<Endpoint>)> {
    let keys = Keys::read(&new)?;
    let workload = workload::identify(&oidc, tenant, authn::bearer(&parts)?.token()).await?;
    let admission = Admission {
        actor: Actor::Workload {
            issuer: workload.issuer,
            subject: workload.subject,
        },
        role: workload.rule.role,
        party: workload.rule.party_id,
    };
    let mut tx = oidc.store.tenant(tenant).await?;
    let endpoint = admit(&mut tx, &admission, &new, &keys).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(endpoint)))
}
