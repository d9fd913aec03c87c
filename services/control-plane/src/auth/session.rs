//! People's sessions: a cookie that scripts cannot read, and a token against
//! forged cross-site calls that only the page itself can know.

use armour_storage::{Actor, Tx};
use axum::http::{HeaderValue, header, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Refusal, Route, Used, Who, invalid, touch};
use crate::{
    problem::{ApiError, ApiResult},
    state::App,
    token::{self, Kind, Token},
};

/// The session's cookie. The prefix has browsers take it over TLS and for this
/// host and all paths only.
pub const COOKIE: &str = "__Host-armour-session";

/// The session cookie's token, if the request has one.
pub fn cookie(parts: &Parts) -> Option<Token> {
    token::parse(value(parts, COOKIE)?).filter(|token| token.kind == Kind::Session)
}

/// A cookie's value.
pub fn value<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A `Set-Cookie` for this host, out of reach of scripts; `None` erases it.
///
/// # Errors
/// If the value cannot be in a header.
pub fn set(name: &str, value: Option<&str>, max_age: i64) -> ApiResult<HeaderValue> {
    let max_age = if value.is_some() { max_age } else { 0 };
    let value = value.unwrap_or_default();
    // Lax: the provider's redirect back is a navigation from another site.
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax"
    ))
    .map_err(ApiError::internal)
}

/// What the page has to send along with calls that change something.
pub fn csrf_token(hash: &[u8; 32]) -> String {
    hex::encode(
        Sha256::new()
            .chain_update(b"armour/1 csrf")
            .chain_update(hash)
            .finalize(),
    )
}

/// Checks a session, and that a call which changes something is the page's own.
pub(super) async fn check(
    parts: &Parts,
    app: &App,
    tx: &mut Tx,
    token: &Token,
    route: &Route,
) -> Result<Who, Refusal> {
    let now = app.now();
    let idle_since = now - app.config.session_idle();
    let row = tx.sessions().find_live(token.id, now, idle_since).await?;
    if !bool::from(row.hash.ct_eq(&token.hash)) {
        return Err(invalid().into());
    }
    let csrf = csrf_token(&token.hash);
    if !route.is_safe() {
        check_origin(parts, &csrf)?;
    }
    if now - row.last_used_at > app.config.session_idle() / 20 {
        touch(app, token.tenant, Used::Session(token.id), now);
    }
    Ok(Who {
        actor: Actor::Person {
            issuer: row.issuer,
            subject: row.subject,
        },
        name: row.name,
        role: row.role,
        session: Some(row.id),
        expires_at: Some(row.expires_at),
        csrf: Some(csrf),
    })
}

fn check_origin(parts: &Parts, csrf: &str) -> ApiResult<()> {
    let sent = parts.headers.get("x-csrf-token");
    let same = sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(csrf.as_bytes())));
    // Browsers say where a call comes from; programs need not.
    let site = parts.headers.get("sec-fetch-site");
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if same && !foreign {
        return Ok(());
    }
    Err(ApiError::new(
        axum::http::StatusCode::FORBIDDEN,
        "csrf",
        "calls of a session that change something need the X-CSRF-Token that /v1/whoami tells",
    ))
}
