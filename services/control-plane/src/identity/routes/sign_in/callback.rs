//! The second redirect: back from the issuer.

use std::sync::Arc;

use armour_api::{Issuer, ProblemType};
use armour_storage::{Actor, IdentityAction, NewSession, StorageError, Urgency, id_token};
use axum::{
    extract::State,
    http::{header, request::Parts},
    response::Response,
};
use axum_extra::extract::CookieJar;
use chrono::Duration;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    browser::{for_people, redirect},
    flow_cookie::FlowCookie,
};
use crate::{
    http::{
        extract::{Ids, Params},
        problem::ApiResult,
    },
    identity::{
        authn::{cookie, denial::Attempt},
        oidc::{
            Oidc, REMEMBERED,
            flow::Flow,
            login::{self, Person},
            printable,
            refusal::{NotSignedIn, SignInError},
        },
        token::{self, Kind},
    },
};

/// Comes back from the issuer: a session begins.
#[utoipa::path(get, path = "/v1/auth/callback/{tenant}/{issuer}", tag = "people",
    params(("tenant" = Uuid, Path), ("issuer" = Uuid, Path), Redirected), security(()),
    extensions(("x-problems" = json!([
        ProblemType::SignInStale, ProblemType::SignInRefused, ProblemType::SignInFailed,
        ProblemType::NotAdmitted, ProblemType::NotFound, ProblemType::IssuerUnreachable
    ]))),
    responses((status = 303, description = "To the console.")))]
pub(super) async fn callback(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    ids: Ids<2>,
    Params(answer): Params<Redirected>,
) -> ApiResult<Response> {
    let flow = FlowCookie::of(answer.state.as_deref().unwrap_or_default());
    match finish(&oidc, &parts, ids.0, &flow, answer).await {
        // Reloaded, or come to by the button that goes back: its sign-in has ended well.
        Err(error)
            if error.kind() == ProblemType::SignInStale
                && is_signed_in(&oidc, &parts, ids.0[0]).await? =>
        {
            redirect("/", CookieJar::new().add(flow.erase()))
        }
        ended => ended.or_else(|error| for_people(&parts, Some(flow), error)),
    }
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
    /// More of why.
    error_description: Option<String>,
    /// The issuer that answers (RFC 9207).
    iss: Option<String>,
}

impl Redirected {
    /// Whether the issuer has lost the thread, as Keycloak has in a tab whose person signed in in
    /// another one meanwhile: it asks to begin anew.
    fn has_expired_there(&self) -> bool {
        self.error.as_deref() == Some("temporarily_unavailable")
            && self.error_description.as_deref() == Some("authentication_expired")
    }
}

/// Goes on to where a sign-in was to return to, if the browser is signed in by now; else begins
/// anew.
async fn go_on(
    oidc: &Oidc,
    parts: &Parts,
    kept: &FlowCookie,
    issuer: &Issuer,
    flow: Flow,
) -> ApiResult<Response> {
    let cookies = CookieJar::new().add(kept.clone().erase());
    if is_signed_in(oidc, parts, flow.tenant).await? {
        return redirect(&flow.return_to, cookies);
    }
    let (url, mut flow) = login::begin(oidc, flow.tenant, issuer, flow.return_to).await?;
    flow.again = true;
    let sealed = flow.seal(&oidc.store).await?;
    let kept = FlowCookie::of(flow.state()).set(sealed);
    redirect(url.as_str(), cookies.add(kept))
}

/// Whether the browser has a session of the tenant's.
async fn is_signed_in(oidc: &Oidc, parts: &Parts, tenant: Uuid) -> ApiResult<bool> {
    let Some(token) = cookie::session(parts).filter(|token| token.tenant == tenant) else {
        return Ok(false);
    };
    let now = oidc.now();
    let mut tx = oidc.store.tenant_unproven(tenant, Urgency::Members).await?;
    let live = tx
        .sessions()
        .find_live(token.id, now, now - oidc.session_idle)
        .await;
    match live {
        Ok(row) => Ok(bool::from(row.hash.ct_eq(&token.hash))),
        Err(StorageError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn finish(
    oidc: &Oidc,
    parts: &Parts,
    at: [Uuid; 2],
    kept: &FlowCookie,
    answer: Redirected,
) -> ApiResult<Response> {
    let (flow, issuer) = begun(oidc, parts, at, kept, &answer).await?;
    if answer.has_expired_there() && !flow.again {
        return go_on(oidc, parts, kept, &issuer, flow).await;
    }
    let code = granted(answer)?;
    let (tenant, return_to) = (flow.tenant, flow.return_to.clone());
    let person = match login::finish(oidc, &issuer, flow, code).await {
        Ok(person) => person,
        Err(NotSignedIn { error, why }) => {
            let action = IdentityAction::SignInDeny {
                issuer: issuer.id,
                why: &why,
            };
            oidc.denials
                .write(tenant, Attempt::SignIn, &Actor::Service, action)
                .await;
            return Err(error);
        }
    };
    let agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let session = begin_session(oidc, tenant, &issuer, person, agent).await?;
    let session = cookie::set(cookie::SESSION, session, oidc.session_life_s.into());
    let cookies = CookieJar::new().add(kept.clone().erase()).add(session);
    redirect(&return_to, cookies)
}

/// The sign-in that this browser began with the issuer that answers.
async fn begun(
    oidc: &Oidc,
    parts: &Parts,
    at: [Uuid; 2],
    kept: &FlowCookie,
    answer: &Redirected,
) -> ApiResult<(Flow, Issuer)> {
    let flow = kept
        .open(parts, &oidc.store)
        .filter(|flow| flow.answers(answer.state.as_deref().unwrap_or_default()))
        // Another issuer's answer is not this one's.
        .filter(|flow| [flow.tenant, flow.issuer] == at)
        .ok_or(SignInError::Stale)?;
    let issuer = oidc.people_issuer(flow.tenant, flow.issuer).await?;
    let named = match &answer.iss {
        Some(iss) => *iss == issuer.url,
        // One that names itself always does (RFC 9207, section 2.4).
        None => {
            let provider = oidc.provider(flow.tenant, &issuer, REMEMBERED).await?;
            !provider.names_itself()
        }
    };
    match named {
        true => Ok((flow, issuer)),
        false => Err(SignInError::Stale.into()),
    }
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
