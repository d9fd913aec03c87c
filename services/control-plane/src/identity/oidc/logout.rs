//! Ends of sessions: here, told by the issuer (OpenID Connect Back-Channel Logout 1.0),
//! and there, asked for by us (RP-Initiated Logout 1.0).

use armour_api::Issuer;
use chrono::{DateTime, Duration, Utc};
use openidconnect::{ClientId, LogoutRequest, PostLogoutRedirectUrl};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::{provider::REMEMBERED, state::Oidc};
use crate::http::problem::{ApiError, ApiResult};

/// `events` of a logout token (OpenID Connect Back-Channel Logout, section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, in seconds.
const LOGOUT_TOKEN_AGE: i64 = 300;

/// What a logout token says: whose sessions end.
pub struct Logout {
    /// Those of this person.
    pub subject: Option<String>,
    /// That which the provider names so.
    pub sid: Option<String>,
    /// What to remember, so that the token is taken once only.
    pub hash: [u8; 32],
    /// Until when.
    pub until: DateTime<Utc>,
}

/// Checks a logout token, but not whether it was used before.
///
/// # Errors
/// 400 if it is none, 401 if it is not the issuer's, 502 if the issuer cannot be asked.
pub async fn check(oidc: &Oidc, tenant: Uuid, issuer: &Issuer, token: &str) -> ApiResult<Logout> {
    let claims = oidc.check(tenant, issuer, token).await?;
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
        .finalize()
        .into();
    Ok(Logout {
        subject: subject.map(str::to_owned),
        sid: sid.map(str::to_owned),
        hash,
        until: now + Duration::seconds(2 * LOGOUT_TOKEN_AGE),
    })
}

/// 400: the token says nothing that ends a session.
pub fn invalid(why: &str) -> ApiError {
    ApiError::invalid(format!("not a logout token: {why}"))
}

/// Where the browser ends the provider's session, if it can.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn logout_url(
    oidc: &Oidc,
    tenant: Uuid,
    issuer: &Issuer,
    id_token: Option<&str>,
) -> ApiResult<Option<Url>> {
    let provider = oidc.provider(tenant, issuer, REMEMBERED).await?;
    let end = &provider.metadata.additional_metadata().end_session_endpoint;
    // The page follows it: a `javascript:` address would be the issuer's script in the console.
    let end = end.clone().filter(|end| {
        let scheme = end.url().scheme();
        scheme == "https" || scheme == "http"
    });
    let Some(end) = end else {
        return Ok(None);
    };
    let back = oidc.base_url.clone();
    let mut url = LogoutRequest::from(end)
        .set_client_id(ClientId::new(issuer.audience.clone()))
        .set_post_logout_redirect_uri(PostLogoutRedirectUrl::from_url(back))
        .http_get_url();
    if let Some(id_token) = id_token {
        url.query_pairs_mut().append_pair("id_token_hint", id_token);
    }
    Ok(Some(url))
}
