//! `/v1/issuers`: OpenID providers that a tenant trusts, for its people or for
//! workloads that enrol.

use std::sync::Arc;

use armour_api::{
    AccessRole, ClientAuthentication, Issuer, IssuerKind, NewIssuer, NewWorkloadRule, ProblemType,
    WorkloadRule,
};
use armour_storage::{Counted, IdentityAction, client_secret};
use axum::{
    Json as Answer,
    extract::{FromRef, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        extract::{Id, Ids, Json, check_text},
        problem::{ApiError, ApiResult},
    },
    identity::authn::{Authn, Member},
    platform::egress::{Egresses, Purpose},
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Egresses: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, delete))
        .routes(routes!(create_rule, list_rules))
        .routes(routes!(delete_rule))
}

/// Trusts an issuer.
#[utoipa::path(post, path = "/v1/issuers", tag = "issuers", request_body = NewIssuer,
    extensions(("x-problems" = json!([ProblemType::AlreadyExists, ProblemType::OverQuota]))),
    responses((status = 201, body = Issuer)))]
async fn create(
    State(egresses): State<Egresses>,
    mut member: Member,
    Json(new): Json<NewIssuer>,
) -> ApiResult<(StatusCode, Answer<Issuer>)> {
    check(&new)?;
    egresses
        .of(Purpose::Issuers, member.tx.tenant_id())
        .check(&new.url)
        .map_err(|error| ApiError::invalid(format!("url: {error}")))?;
    let actor = member.actor();
    let tx = &mut member.tx;
    tx.quotas().check(Counted::Issuers).await?;
    let id = tx.new_id();
    let issuer = tx.issuers().create(id, &new).await?;
    if let Some(secret) = &new.client_secret {
        tx.secrets()
            .put(&client_secret(id), secret.as_bytes())
            .await?;
    }
    tx.audit_log()
        .append(&actor, IdentityAction::IssuerCreate { issuer: &issuer })
        .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(issuer)))
}

/// Lists issuers.
#[utoipa::path(get, path = "/v1/issuers", tag = "issuers",
    responses((status = 200, body = Vec<Issuer>)))]
async fn list(mut member: Member) -> ApiResult<Answer<Vec<Issuer>>> {
    Ok(Answer(member.tx.issuers().list(None).await?))
}

/// One issuer.
#[utoipa::path(get, path = "/v1/issuers/{id}", tag = "issuers", params(("id" = Uuid, Path)),
    responses((status = 200, body = Issuer)))]
async fn get(mut member: Member, Id(id): Id) -> ApiResult<Answer<Issuer>> {
    Ok(Answer(member.tx.issuers().find(id).await?))
}

/// Trusts an issuer no more; sessions that it vouched for end.
#[utoipa::path(delete, path = "/v1/issuers/{id}", tag = "issuers", params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn delete(mut member: Member, Id(id): Id) -> ApiResult<StatusCode> {
    let actor = member.actor();
    let tx = &mut member.tx;
    let of_issuer = armour_storage::SessionScope {
        issuer: Some(id),
        ..Default::default()
    };
    let ended = tx.sessions().end(&of_issuer).await?;
    tx.issuers().delete(id).await?;
    tx.secrets().erase(&[client_secret(id)]).await?;
    tx.audit_log()
        .append(
            &actor,
            IdentityAction::IssuerDelete {
                id,
                sessions_ended: &ended,
            },
        )
        .await?;
    member.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets workloads of an issuer enrol.
#[utoipa::path(post, path = "/v1/issuers/{id}/rules", tag = "issuers",
    params(("id" = Uuid, Path)), request_body = NewWorkloadRule,
    extensions(("x-problems" = json!([ProblemType::NotForWorkloads]))),
    responses((status = 201, body = WorkloadRule)))]
async fn create_rule(
    mut member: Member,
    Id(id): Id,
    Json(new): Json<NewWorkloadRule>,
) -> ApiResult<(StatusCode, Answer<WorkloadRule>)> {
    check_text("subject", &new.subject, 255)?;
    if new.claims.len() > 20 {
        return Err(ApiError::invalid("at most 20 claims"));
    }
    for (name, value) in &new.claims {
        check_text("a claim's name", name, 200)?;
        check_text("a claim's value", value, 1000)?;
    }
    let actor = member.actor();
    let tx = &mut member.tx;
    if tx.issuers().find(id).await?.kind != IssuerKind::Workload {
        return Err(ApiError::new(
            ProblemType::NotForWorkloads,
            "the issuer is trusted for people, not for workloads",
        ));
    }
    let rule = tx.new_id();
    let rule = tx.workload_rules().create(rule, id, &new).await?;
    tx.audit_log()
        .append(&actor, IdentityAction::WorkloadRuleCreate { rule: &rule })
        .await?;
    member.tx.commit().await?;
    Ok((StatusCode::CREATED, Answer(rule)))
}

/// Lists an issuer's rules; the first that fits is taken.
#[utoipa::path(get, path = "/v1/issuers/{id}/rules", tag = "issuers",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<WorkloadRule>)))]
async fn list_rules(mut member: Member, Id(id): Id) -> ApiResult<Answer<Vec<WorkloadRule>>> {
    member.tx.issuers().find(id).await?;
    Ok(Answer(member.tx.workload_rules().list(id).await?))
}

/// Deletes a rule; endpoints that enrolled by it stay.
#[utoipa::path(delete, path = "/v1/issuers/{id}/rules/{rule}", tag = "issuers",
    params(("id" = Uuid, Path), ("rule" = Uuid, Path)),
    responses((status = 204)))]
async fn delete_rule(mut member: Member, ids: Ids<2>) -> ApiResult<StatusCode> {
    let [id, rule] = ids.0;
    let actor = member.actor();
    member.tx.workload_rules().delete(id, rule).await?;
    member
        .tx
        .audit_log()
        .append(&actor, IdentityAction::WorkloadRuleDelete { id: rule })
        .await?;
    member.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(new: &NewIssuer) -> ApiResult<()> {
    check_text("name", &new.name, 100)?;
    check_text("url", &new.url, 500)?;
    check_text("audience", &new.audience, 255)?;
    check_text("groups_claim", &new.groups_claim, 100)?;
    if let Some(secret) = &new.client_secret {
        check_text("client_secret", secret, 500)?;
    }
    if new.role_map.len() > 100 || new.scopes.len() > 20 {
        return Err(ApiError::invalid("at most 100 groups and 20 scopes"));
    }
    for scope in &new.scopes {
        check_text("a scope", scope, 100)?;
    }
    for (group, role) in &new.role_map {
        check_text("a group", group, 200)?;
        if matches!(role, AccessRole::PlatformAdmin | AccessRole::Endpoint) {
            return Err(ApiError::invalid(
                "groups have the roles tenant-admin, operator or auditor",
            ));
        }
    }
    match new.client_authentication {
        ClientAuthentication::Auto => {}
        _ if new.client_secret.is_none() => {
            return Err(ApiError::invalid(
                "client_authentication: without client_secret there is nothing to show",
            ));
        }
        // What is before the first one is the id (RFC 7617, section 2).
        ClientAuthentication::BasicRaw if new.audience.contains(':') => {
            return Err(ApiError::invalid(
                "client_authentication: basic-raw takes no id (audience) with a colon",
            ));
        }
        _ => {}
    }
    match new.kind {
        IssuerKind::People if new.role_map.is_empty() => Err(ApiError::invalid(
            "role_map: without a group that has a role nobody could sign in",
        )),
        IssuerKind::Workload if new.client_secret.is_some() || !new.role_map.is_empty() => Err(
            ApiError::invalid("an issuer for workloads has neither client_secret nor role_map"),
        ),
        _ => Ok(()),
    }
}
