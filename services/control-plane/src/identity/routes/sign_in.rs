//! `/v1/auth/…`: people sign in with their tenant's issuers, and are signed out by
//! them.

use armour_api::{Issuer, IssuerKind, Problem, SignInChoice};
use armour_storage::{Actor, NewSession, SessionScope, id_token};
use axum::extract::FromRef;
use axum::{
    Form, Json as Answer,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::Duration;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    http::extract::{Ids, Params},
    http::problem::{ApiError, ApiResult},
    identity::authn::cookie,
    identity::oidc::{
        Oidc,
        login::{self, Flow},
    },
    identity::token::{self, Kind},
};

/// The cookie that holds a sign-in between its two redirects.
const FLOW_COOKIE: &str = "__Host-armour-sign-in";
/// `events` of a logout token (OpenID Connect Back-Channel Logout, section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, in seconds.
const LOGOUT_TOKEN_AGE: i64 = 300;

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<Oidc>: FromRef<S>,
{
    OpenApiRouter::new()
        .routes(routes!(choices))
        .routes(routes!(login))
        .routes(routes!(callback))
        .routes(routes!(back_channel_logout))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OfTenant {
    /// The tenant.
    tenant: Uuid,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Login {
    /// The tenant.
    tenant: Uuid,
    /// The issuer to sign in with.
    issuer: Uuid,
    /// The console's page to come back to, a path of this host; `/` if absent.
    return_to: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Redirected {
    /// As the flow began.
    state: Option<String>,
    /// What is redeemed for tokens.
    code: Option<String>,
    /// Why the issuer refuses (RFC 6749, section 4.1.2.1).
    error: Option<String>,
    /// The issuer that answers (RFC 9207).
    iss: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
struct LogoutForm {
    /// A signed logout token.
    logout_token: String,
}

/// Issuers that people of a tenant may sign in with. Of a tenant that does not
/// exist there are none.
#[utoipa::path(get, path = "/v1/auth/choices", tag = "people", params(OfTenant), security(()),
    responses((status = 200, body = Vec<SignInChoice>), (status = "4XX", body = Problem)))]
async fn choices(
    State(oidc): State<Arc<Oidc>>,
    Params(of): Params<OfTenant>,
) -> ApiResult<Answer<Vec<SignInChoice>>> {
    let mut tx = oidc.store.tenant(of.tenant).await?;
    let issuers = tx.issuers().list(Some(IssuerKind::People)).await?;
    let choices = issuers.into_iter().map(|issuer| SignInChoice {
        issuer_id: issuer.id,
        name: issuer.name,
    });
    Ok(Answer(choices.collect()))
}

/// Begins to sign in: sends the browser to the issuer.
#[utoipa::path(get, path = "/v1/auth/login", tag = "people", params(Login), security(()),
    responses((status = 303, description = "To the issuer."), (status = "4XX", body = Problem),
              (status = 502, body = Problem)))]
async fn login(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Params(ask): Params<Login>,
) -> ApiResult<Response> {
    let begun = begin(&oidc, ask).await;
    begun.or_else(|error| for_people(&parts, error))
}

async fn begin(oidc: &Oidc, ask: Login) -> ApiResult<Response> {
    let return_to = ask.return_to.unwrap_or_else(|| "/".into());
    check_return(&return_to)?;
    let issuer = people_issuer(oidc, ask.tenant, ask.issuer).await?;
    let (url, flow) = login::begin(oidc, ask.tenant, &issuer, return_to).await?;
    let sealed = flow.seal(&oidc.store).await?;
    let cookie = cookie::set(FLOW_COOKIE, Some(&sealed), login::MAX_SECONDS)?;
    redirect(url.as_str(), &[cookie])
}

/// Comes back from the issuer: a session begins.
#[utoipa::path(get, path = "/v1/auth/callback", tag = "people", params(Redirected),
    security(()),
    responses((status = 303, description = "To the console."), (status = "4XX", body = Problem),
              (status = 502, body = Problem)))]
async fn callback(
    State(oidc): State<Arc<Oidc>>,
    parts: Parts,
    Params(answer): Params<Redirected>,
) -> ApiResult<Response> {
    let ended = finish(&oidc, &parts, answer).await;
    ended.or_else(|error| for_people(&parts, error))
}

async fn finish(oidc: &Oidc, parts: &Parts, answer: Redirected) -> ApiResult<Response> {
    let stale = || {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "sign-in-stale",
            "this browser began no such sign-in, or took longer than ten minutes; begin again",
        )
    };
    let flow = cookie::value(parts, FLOW_COOKIE)
        .and_then(|text| Flow::open(&oidc.store, text))
        .filter(|flow| flow.answers(answer.state.as_deref().unwrap_or_default()))
        .ok_or_else(stale)?;
    let issuer = people_issuer(oidc, flow.tenant, flow.issuer).await?;
    // Another issuer's answer is not this one's (RFC 9207).
    if answer.iss.is_some_and(|iss| iss != issuer.url) {
        return Err(stale());
    }
    let code = match (answer.code, answer.error) {
        (Some(code), None) => code,
        (_, error) => {
            let why = login::printable(&error.unwrap_or_else(|| "no code".into()), 100);
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "sign-in-refused",
                format!("the issuer refused: {why}"),
            ));
        }
    };
    let (tenant, return_to) = (flow.tenant, flow.return_to.clone());
    let person = match login::finish(oidc, &issuer, flow, code).await {
        Ok(person) => person,
        Err(error) => {
            let mut tx = oidc.store.tenant(tenant).await?;
            let detail = json!({ "why": error.detail() });
            tx.audit_log()
                .append(&Actor::Service, "sign-in.deny", issuer.id, detail)
                .await?;
            tx.commit().await?;
            return Err(error);
        }
    };
    let (text, token) = token::mint(Kind::Session, tenant);
    let life = Duration::seconds(oidc.session_life_s.into());
    let agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut tx = oidc.store.tenant(tenant).await?;
    tx.sessions()
        .create(&NewSession {
            id: token.id,
            issuer: issuer.id,
            hash: &token.hash,
            subject: &person.subject,
            name: &person.name,
            role: person.role,
            provider_sid: person.sid.as_deref(),
            user_agent: &login::printable(agent, 300),
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
    let detail = json!({ "name": person.name, "role": person.role });
    tx.audit_log()
        .append(&actor, "session.begin", token.id, detail)
        .await?;
    tx.commit().await?;
    let cookies = [
        cookie::set(FLOW_COOKIE, None, 0)?,
        cookie::set(cookie::SESSION, Some(&text), life.num_seconds())?,
    ];
    redirect(&return_to, &cookies)
}

/// The issuer says that a person has logged out there (OpenID Connect Back-Channel
/// Logout 1.0).
#[utoipa::path(post, path = "/v1/auth/back-channel-logout/{tenant}/{issuer}", tag = "people",
    params(("tenant" = Uuid, Path), ("issuer" = Uuid, Path)), security(()),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = "4XX", body = Problem), (status = 502, body = Problem)))]
async fn back_channel_logout(
    State(oidc): State<Arc<Oidc>>,
    ids: Ids<2>,
    form: Result<Form<LogoutForm>, axum::extract::rejection::FormRejection>,
) -> ApiResult<Response> {
    let [tenant, issuer] = ids.0;
    let issuer = people_issuer(&oidc, tenant, issuer).await?;
    let Form(form) =
        form.map_err(|error| ApiError::new(error.status(), "invalid-body", error.body_text()))?;
    let claims = oidc
        .providers
        .check(&oidc.egress, &issuer, &form.logout_token)
        .await?;
    let invalid = |why: &str| ApiError::invalid(format!("not a logout token: {why}"));
    if !claims
        .get("events")
        .and_then(|events| events.get(LOGOUT_EVENT))
        .is_some_and(Value::is_object)
    {
        return Err(invalid("no logout event"));
    }
    if claims.contains_key("nonce") {
        return Err(invalid("it has a nonce, as an ID token has"));
    }
    let now = oidc.now();
    let issued = claims.get("iat").and_then(Value::as_i64).unwrap_or(0);
    if (now.timestamp() - issued).abs() > LOGOUT_TOKEN_AGE {
        return Err(invalid("it is too old"));
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let (subject, sid) = (text("sub"), text("sid"));
    if subject.is_none() && sid.is_none() {
        return Err(invalid("neither sub nor sid"));
    }
    let jti = text("jti").ok_or_else(|| invalid("no jti"))?;
    let hash = Sha256::new()
        .chain_update(b"logout")
        .chain_update(issuer.id)
        .chain_update(jti)
        .finalize();
    let mut tx = oidc.store.tenant(tenant).await?;
    let until = now + Duration::seconds(2 * LOGOUT_TOKEN_AGE);
    if !tx.proofs().consume(&hash, until).await? {
        return Err(invalid("it was used before"));
    }
    let ended = tx
        .sessions()
        .end(&SessionScope {
            issuer: Some(issuer.id),
            subject,
            provider_sid: sid,
            id: None,
        })
        .await?;
    for session in &ended {
        tx.audit_log()
            .append(
                &Actor::Service,
                "session.end",
                session,
                json!({ "by": "the issuer", "issuer": issuer.id }),
            )
            .await?;
    }
    tx.commit().await?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, no_store).into_response())
}

/// The tenant's issuer for people; what does not exist and what is another's are
/// one.
async fn people_issuer(oidc: &Oidc, tenant: Uuid, id: Uuid) -> ApiResult<Issuer> {
    let mut tx = oidc.store.tenant(tenant).await?;
    let issuers = tx.issuers().list(Some(IssuerKind::People)).await?;
    issuers
        .into_iter()
        .find(|issuer| issuer.id == id)
        .ok_or_else(|| ApiError::not_found("no such issuer"))
}

/// Only a path of this host: anything else would make us redirect to strangers.
fn check_return(path: &str) -> ApiResult<()> {
    let plain = path.len() <= 500
        && path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match plain {
        true => Ok(()),
        false => Err(ApiError::invalid("return_to must be a path of this host")),
    }
}

/// A person's browser is sent back to the console, which says what went wrong; a
/// program gets the problem as it is.
fn for_people(parts: &Parts, error: ApiError) -> ApiResult<Response> {
    let accept = parts.headers.get(header::ACCEPT);
    let is_page = accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    if !is_page {
        return Err(error);
    }
    tracing::info!(
        kind = error.kind(),
        detail = error.detail(),
        "a sign-in failed"
    );
    let cookie = cookie::set(FLOW_COOKIE, None, 0)?;
    redirect(&format!("/?failed={}", error.kind()), &[cookie])
}

fn redirect(to: &str, cookies: &[HeaderValue]) -> ApiResult<Response> {
    let mut headers = HeaderMap::new();
    let to = HeaderValue::from_str(to).map_err(ApiError::internal)?;
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
