//! Logouts that issuers tell of.

use std::sync::Arc;

use armour_api::ProblemType;
use armour_storage::{Actor, IdentityAction, SessionEnd, SessionScope};
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    http::{
        extract::Ids,
        problem::{ApiError, ApiResult},
    },
    identity::oidc::{Oidc, logout},
};

/// The issuer says that a person has logged out there (OpenID Connect Back-Channel
/// Logout 1.0).
#[utoipa::path(post, path = "/v1/auth/back-channel-logout/{tenant}/{issuer}", tag = "people",
    params(("tenant" = Uuid, Path), ("issuer" = Uuid, Path)), security(()),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    extensions(("x-problems" = json!([
        ProblemType::Unauthenticated, ProblemType::IssuerUnreachable
    ]))),
    responses((status = 200)))]
pub(super) async fn back_channel_logout(
    State(oidc): State<Arc<Oidc>>,
    ids: Ids<2>,
    form: Result<Form<LogoutForm>, FormRejection>,
) -> ApiResult<Response> {
    let [tenant, issuer] = ids.0;
    let issuer = oidc.people_issuer(tenant, issuer).await?;
    let Form(form) = form.map_err(|error| {
        ApiError::new(ProblemType::InvalidBody, error.body_text()).with_status(error.status())
    })?;
    let logout = logout::check(&oidc, tenant, &issuer, &form.logout_token).await?;
    let mut tx = oidc.store.tenant(tenant).await?;
    if !tx.proofs().consume(&logout.hash, logout.until).await? {
        return Err(logout::invalid("it was used before"));
    }
    let ended = tx
        .sessions()
        .end(&SessionScope {
            issuer: Some(issuer.id),
            subject: logout.subject.as_deref(),
            provider_sid: logout.sid.as_deref(),
            id: None,
        })
        .await?;
    for session in &ended {
        tx.audit_log()
            .append(
                &Actor::Service,
                IdentityAction::SessionEnd {
                    id: *session,
                    by: SessionEnd::Issuer { issuer: issuer.id },
                },
            )
            .await?;
    }
    tx.commit().await?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, no_store).into_response())
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct LogoutForm {
    /// A signed logout token.
    logout_token: String,
}
