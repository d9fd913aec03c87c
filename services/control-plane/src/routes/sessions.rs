//! `/v1/whoami`, `/v1/sessions`, `/v1/logout`: who one is, people's sessions and
//! their end.

use armour_api::{AccessRole, LoggedOut, Page, Problem, Session, Whoami};
use armour_storage::{Actor, SessionScope, StorageError, id_token};
use axum::{
    Json as Answer,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    auth::{Member, session},
    extract::{Cursor, Id, Params},
    oidc::login,
    problem::{ApiError, ApiResult},
    state::App,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(logout))
        .routes(routes!(list))
        .routes(routes!(end))
}

/// Who the caller is.
#[utoipa::path(get, path = "/v1/whoami", tag = "people",
    responses((status = 200, body = Whoami), (status = "4XX", body = Problem)))]
async fn whoami(member: Member) -> ApiResult<Answer<Whoami>> {
    Ok(Answer(Whoami {
        tenant_id: member.tx.tenant_id(),
        actor: member.who.actor.to_string(),
        name: member.who.name,
        role: member.who.role,
        csrf_token: member.who.csrf,
        session_id: member.who.session,
        expires_at: member.who.expires_at,
    }))
}

/// Ends the calling session; the answer says where the browser ends the issuer's.
#[utoipa::path(post, path = "/v1/logout", tag = "people",
    responses((status = 200, body = LoggedOut), (status = "4XX", body = Problem)))]
async fn logout(State(app): State<App>, mut member: Member) -> ApiResult<Response> {
    let actor = member.actor();
    let (Some(id), Actor::Person { issuer, .. }) = (member.who.session, &actor) else {
        return Err(ApiError::conflict(
            "no-session",
            "an API token has no session; revoke it to end it",
        ));
    };
    let tx = &mut member.tx;
    let issuer = tx.issuers().find(*issuer).await?;
    let hint = tx.secrets().get(&id_token(id)).await?;
    end_one(&mut member, id).await?;
    member.tx.commit().await?;
    let hint = hint
        .as_ref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    // The session has ended whether or not the issuer can be asked.
    let redirect = login::logout_url(&app, &issuer, hint).await.ok().flatten();
    let mut answer = Answer(LoggedOut {
        redirect: redirect.map(String::from),
    })
    .into_response();
    let cookie = session::set(session::COOKIE, None, 0)?;
    answer.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// The caller's sessions, latest first; for an administrator everybody's.
#[utoipa::path(get, path = "/v1/sessions", tag = "people", params(Cursor),
    responses((status = 200, body = Page<Session>), (status = "4XX", body = Problem)))]
async fn list(
    mut member: Member,
    Params(cursor): Params<Cursor>,
) -> ApiResult<Answer<Page<Session>>> {
    let actor = member.actor();
    let person = own(&actor, member.who.role)?;
    let mut page = member.tx.sessions().list(person, cursor.cursor).await?;
    for session in &mut page.items {
        session.current = Some(session.id) == member.who.session;
    }
    Ok(Answer(page))
}

/// Ends a session of the caller's; an administrator ends anybody's.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "people", params(("id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
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
    let person = own(&actor, member.who.role)?;
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
        .append(&actor, "session.end", id, json!({ "by": "the caller" }))
        .await?;
    Ok(())
}
