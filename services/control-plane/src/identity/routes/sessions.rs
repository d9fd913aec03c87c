//! `/v1/whoami`, `/v1/sessions`, `/v1/logout`: who one is, people's sessions and
//! their end.

use std::sync::Arc;

use armour_api::{AccessRole, LoggedOut, Page, ProblemType, Session, Whoami};
use armour_storage::{Actor, IdentityAction, SessionEnd, SessionScope, StorageError, id_token};
use axum::{
    Json as Answer,
    extract::{FromRef, State},
    http::StatusCode,
};
use axum_extra::extract::CookieJar;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::{
        extract::{Cursor, Id, Params},
        problem::{ApiError, ApiResult},
    },
    identity::{
        authn::{Authn, Member, cookie},
        oidc::{Oidc, logout::logout_url},
    },
};

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Authn>: FromRef<S>,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(logout))
        .routes(routes!(list))
        .routes(routes!(end))
}

/// Who the caller is.
#[utoipa::path(get, path = "/v1/whoami", tag = "people",
    responses((status = 200, body = Whoami)))]
async fn whoami(member: Member) -> ApiResult<Answer<Whoami>> {
    Ok(Answer(Whoami {
        tenant_id: member.tx.tenant_id(),
        actor: member.principal.actor.to_string(),
        name: member.principal.name,
        role: member.principal.role,
        csrf_token: member.principal.csrf,
        session_id: member.principal.session,
        expires_at: member.principal.expires_at,
    }))
}

/// Ends the calling session; the answer says where the browser ends the issuer's.
#[utoipa::path(post, path = "/v1/logout", tag = "people",
    extensions(("x-problems" = json!([ProblemType::NoSession, ProblemType::NotFound]))),
    responses((status = 200, body = LoggedOut)))]
async fn logout(
    State(oidc): State<Arc<Oidc>>,
    mut member: Member,
) -> ApiResult<(CookieJar, Answer<LoggedOut>)> {
    let actor = member.actor();
    let (Some(id), Actor::Person { issuer, .. }) = (member.principal.session, &actor) else {
        return Err(ApiError::new(
            ProblemType::NoSession,
            "an API token has no session; revoke it to end it",
        ));
    };
    let tx = &mut member.tx;
    let tenant = tx.tenant_id();
    let issuer = tx.issuers().find(*issuer).await?;
    let hint = tx.secrets().get(&id_token(id)).await?;
    end_one(&mut member, id).await?;
    member.tx.commit().await?;
    let hint = hint
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    // The session has ended whether or not the issuer can be asked.
    let redirect = logout_url(&oidc, tenant, &issuer, hint).await;
    let redirect = redirect.ok().flatten();
    let cookies = CookieJar::new().add(cookie::erase(cookie::SESSION));
    let answer = Answer(LoggedOut {
        redirect: redirect.map(String::from),
    });
    Ok((cookies, answer))
}

/// The caller's sessions, latest first; for an administrator everybody's.
#[utoipa::path(get, path = "/v1/sessions", tag = "people", params(Cursor),
    responses((status = 200, body = Page<Session>)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Session>>> {
    let actor = member.actor();
    let person = own(&actor, member.principal.role)?;
    let mut page = member.tx.sessions().list(person, cursor.cursor).await?;
    for session in &mut page.items {
        session.current = Some(session.id) == member.principal.session;
    }
    Ok(Answer(page))
}

/// Ends a session of the caller's; an administrator ends anybody's.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "people", params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn end(mut member: Member, Id(id): Id) -> ApiResult<StatusCode> {
    end_one(&mut member, id).await?;
    member.tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose sessions a caller sees: an administrator all, others their own.
fn own(actor: &Actor, role: AccessRole) -> ApiResult<Option<(Uuid, &str)>> {
    match (role, actor) {
        (AccessRole::TenantAdmin, _) => Ok(None),
        (_, Actor::Person { issuer, subject }) => Ok(Some((*issuer, subject))),
        // No person is of the nil issuer: an API token has no sessions.
        _ => Ok(Some((Uuid::nil(), ""))),
    }
}

async fn end_one(member: &mut Member, id: Uuid) -> ApiResult<()> {
    let actor = member.actor();
    let person = own(&actor, member.principal.role)?;
    let scope = SessionScope {
        id: Some(id),
        issuer: person.map(|(issuer, _)| issuer),
        subject: person.map(|(_, subject)| subject),
        provider_sid: None,
    };
    if member.tx.sessions().end(&scope).await?.is_empty() {
        return Err(StorageError::NotFound.into());
    }
    member
        .tx
        .audit_log()
        .append(
            &actor,
            IdentityAction::SessionEnd {
                id,
                by: SessionEnd::Caller,
            },
        )
        .await?;
    Ok(())
}
