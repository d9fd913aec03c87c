//! The second redirect: back from the issuer.

use std::sync::Arc;

use armour_api::{Issuer, ProblemType};
use armour_storage::{Actor, IdentityAction, NewSession, id_token};
use axum::{
    extract::State,
    http::{header, request::Parts},
    response::Response,
};
use axum_extra::extract::CookieJar;
use chrono::Duration;
use serde::Deserialize;
use uuid::Uuid;

use super::browser::{FLOW_COOKIE, for_people, redirect};
use crate::{
    http::{extract::Params, problem::ApiResult},
    identity::{
        authn::cookie,
        oidc::{
            Oidc,
            flow::Flow,
            login::{self, Person, SignInError},
            printable,
        },
        token::{self, Kind},
    },
};

/// Comes back from the issuer: a session begins.
#[utoipa::path(get, path = "/v1/auth/callback", tag = "people", params(Redirected),
    security(()),
    extensions(("x-problems" = json!([
        ProblemType::SignInStale, ProblemType::SignInRefused, ProblemType::SignInFailed,
        ProblemType::NotAdmitted, ProblemType::NotFound, ProblemType::IssuerUnreachable
    ]))),
    responses((status = 303, description = "To the console.")))]
pub(super) async fn callback(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Params(answer): Params<Redirected>,
) -> ApiResult<Response> {
    let ended = finish(&oidc, &parts, answer).await;
    ended.or_else(|error| for_people(&parts, error))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Redirected {
    /// As the flow began.
    state: Option<String>,
    /// What is redeemed for tokens.
    code: Option<String>,
    /// Why the issuer refuses (RFC 6749, section 4.1.2.1).
    error: Option<String>,
    /// The issuer that answers (RFC 9207).
    iss: Option<String>,
}

async fn finish(oidc: &Oidc, parts: &Parts, answer: Redirected) -> ApiResult<Response> {
    let (flow, issuer) = begun(oidc, parts, &answer).await?;
    let code = granted(answer)?;
    let (tenant, return_to) = (flow.tenant, flow.return_to.clone());
    let person = match login::finish(oidc, &issuer, flow, code).await {
        Ok(person) => person,
        Err(error) => {
            note_denied(oidc, tenant, &issuer, error.detail()).await?;
            return Err(error);
        }
    };
    let agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let session = begin_session(oidc, tenant, &issuer, person, agent).await?;
    let kept = cookie::set(cookie::SESSION, session, oidc.session_life_s.into());
    let cookies = CookieJar::new().add(cookie::erase(FLOW_COOKIE)).add(kept);
    redirect(&return_to, cookies)
}

/// The sign-in that this browser began with the issuer that answers.
async fn begun(oidc: &Oidc, parts: &Parts, answer: &Redirected) -> ApiResult<(Flow, Issuer)> {
    let flow = cookie::value(parts, FLOW_COOKIE)
        .and_then(|text| Flow::open(&oidc.store, &text))
        .filter(|flow| flow.answers(answer.state.as_deref().unwrap_or_default()))
        .ok_or(SignInError::Stale)?;
    let issuer = oidc.people_issuer(flow.tenant, flow.issuer).await?;
    // Another issuer's answer is not this one's (RFC 9207).
    if answer.iss.as_ref().is_some_and(|iss| *iss != issuer.url) {
        return Err(SignInError::Stale.into());
    }
    Ok((flow, issuer))
}

/// What the issuer gives to be redeemed, unless it refuses.
fn granted(answer: Redirected) -> ApiResult<String> {
    match (answer.code, answer.error) {
        (Some(code), None) => Ok(code),
        (_, error) => {
            let why = printable(&error.unwrap_or_else(|| "no code".into()), 100);
            Err(SignInError::Refused(why).into())
        }
    }
}

async fn note_denied(oidc: &Oidc, tenant: Uuid, issuer: &Issuer, why: &str) -> ApiResult<()> {
    let mut tx = oidc.store.tenant(tenant).await?;
    let action = IdentityAction::SignInDeny {
        issuer: issuer.id,
        why,
    };
    tx.audit_log().append(&Actor::Service, action).await?;
    Ok(tx.commit().await?)
}

/// Begins a person's session; returns the token that its cookie holds.
async fn begin_session(
    oidc: &Oidc,
    tenant: Uuid,
    issuer: &Issuer,
    person: Person,
    user_agent: &str,
) -> ApiResult<String> {
    let life = Duration::seconds(oidc.session_life_s.into());
    let mut tx = oidc.store.tenant(tenant).await?;
    let (text, token) = token::mint(Kind::Session, &tx);
    tx.sessions()
        .create(&NewSession {
            id: token.id,
            issuer: issuer.id,
            hash: &token.hash,
            subject: &person.subject,
            name: &person.name,
            role: person.role,
            provider_sid: person.sid.as_deref(),
            user_agent: &printable(user_agent, 300),
            expires_at: oidc.now() + life,
        })
        .await?;
    tx.secrets()
        .put(&id_token(token.id), person.id_token.as_bytes())
        .await?;
    let actor = Actor::Person {
        issuer: issuer.id,
        subject: person.subject,
    };
    let action = IdentityAction::SessionBegin {
        id: token.id,
        name: &person.name,
        role: person.role,
    };
    tx.audit_log().append(&actor, action).await?;
    tx.commit().await?;
    Ok(text)
}
