//! The authorization code flow with PKCE and a nonce (OpenID Connect Core,
//! section 3.1; RFC 7636), and RP-initiated logout.
//!
//! Between the two redirects everything is in a sealed cookie of the browser that
//! began: no other browser can end the flow, and no replica holds state.

use armour_api::{AccessRole, Issuer};
use armour_storage::Store;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, LogoutRequest, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, RedirectUrl,
    Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
        CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{REMEMBERED, reason};
use crate::{
    problem::{ApiError, ApiResult},
    state::App,
};

/// Where the provider sends the browser back to.
pub const CALLBACK: &str = "v1/auth/callback";
/// Seconds that signing in may take.
pub const MOST_SECONDS: i64 = 600;

/// What is kept in the browser between the redirects.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    pub tenant: Uuid,
    pub issuer: Uuid,
    pub return_to: String,
    state: String,
    nonce: String,
    verifier: String,
    expires: i64,
}

/// A person, as the issuer vouches for them.
pub struct Person {
    pub subject: String,
    pub name: String,
    pub role: AccessRole,
    /// The provider's session.
    pub sid: Option<String>,
    /// The ID token, with which to log out there.
    pub id_token: Zeroizing<String>,
}

/// Claims of the ID token besides the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MoreClaims(Map<String, Value>);
impl AdditionalClaims for MoreClaims {}

type Fields = IdTokenFields<
    MoreClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Client = openidconnect::Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Begins: where to send the browser, and what to keep in it.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn begin(
    app: &App,
    tenant: Uuid,
    issuer: &Issuer,
    return_to: String,
) -> ApiResult<(Url, Flow)> {
    let client = client(app, tenant, issuer).await?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let scopes = issuer.scopes.iter().cloned().map(Scope::new);
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(scopes)
        .set_pkce_challenge(challenge)
        .url();
    let flow = Flow {
        tenant,
        issuer: issuer.id,
        return_to,
        state: state.into_secret(),
        nonce: nonce.secret().clone(),
        verifier: verifier.into_secret(),
        expires: app.now().timestamp() + MOST_SECONDS,
    };
    Ok((url, flow))
}

/// Ends: redeems the code and checks who it is.
///
/// # Errors
/// 403 `not-admitted` if nothing gives the person a role, 502 if the provider
/// refuses or its answer does not hold.
pub async fn finish(app: &App, issuer: &Issuer, flow: Flow, code: String) -> ApiResult<Person> {
    let failed = |why: String| {
        ApiError::new(
            http::StatusCode::BAD_GATEWAY,
            "sign-in-failed",
            format!("signing in failed: {why}"),
        )
    };
    let client = client(app, flow.tenant, issuer).await?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| failed(reason(&error)))?
        .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier))
        .request_async(&app.egress)
        .await
        .map_err(|error| failed(reason(&error)))?;
    let id_token = tokens
        .id_token()
        .ok_or_else(|| failed("the issuer gave no ID token".into()))?;
    let verifier = client.id_token_verifier().set_time_fn(|| app.now());
    let claims = id_token
        .claims(&verifier, &Nonce::new(flow.nonce))
        .map_err(|error| failed(reason(&error)))?;
    // The access token has to belong to the ID token, where it says so
    // (OpenID Connect Core, section 3.1.3.8).
    if let Some(expected) = claims.access_token_hash() {
        let actual = openidconnect::AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg().map_err(|e| failed(reason(&e)))?,
            id_token
                .signing_key(&verifier)
                .map_err(|e| failed(reason(&e)))?,
        )
        .map_err(|error| failed(reason(&error)))?;
        if actual != *expected {
            return Err(failed("the access token is not the ID token's".into()));
        }
    }
    let more = &claims.additional_claims().0;
    let role = role_of(issuer, more).ok_or_else(|| {
        ApiError::new(
            http::StatusCode::FORBIDDEN,
            "not-admitted",
            "you are known, but none of your groups has a role here; ask an administrator",
        )
    })?;
    let name = [
        claims.preferred_username().map(|name| name.to_string()),
        claims.email().map(|email| email.to_string()),
    ];
    let subject = claims.subject().as_str().to_owned();
    if subject.len() > 255 || subject.chars().any(char::is_control) {
        return Err(failed("the issuer's name for you cannot be kept".into()));
    }
    Ok(Person {
        name: match name.into_iter().flatten().next() {
            Some(name) => printable(&name, 100),
            None => subject.clone(),
        },
        subject,
        role,
        sid: more.get("sid").and_then(Value::as_str).map(str::to_owned),
        id_token: Zeroizing::new(id_token.to_string()),
    })
}

/// Where the browser ends the provider's session, if it can.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn logout_url(
    app: &App,
    issuer: &Issuer,
    id_token: Option<&str>,
) -> ApiResult<Option<Url>> {
    let provider = app
        .providers
        .get(&app.egress, &issuer.url, REMEMBERED)
        .await?;
    let end = &provider.metadata.additional_metadata().end_session_endpoint;
    let Some(end) = end.clone() else {
        return Ok(None);
    };
    let back = app.base_url().map_err(ApiError::internal)?;
    let mut url = LogoutRequest::from(end)
        .set_client_id(ClientId::new(issuer.audience.clone()))
        .set_post_logout_redirect_uri(PostLogoutRedirectUrl::from_url(back))
        .http_get_url();
    if let Some(id_token) = id_token {
        url.query_pairs_mut().append_pair("id_token_hint", id_token);
    }
    Ok(Some(url))
}

impl Flow {
    /// Whether the provider's answer is to this flow.
    pub fn answers(&self, state: &str) -> bool {
        use subtle::ConstantTimeEq;
        bool::from(self.state.as_bytes().ct_eq(state.as_bytes()))
    }

    /// Seals the flow for the browser to keep.
    ///
    /// # Errors
    /// If no master key is active.
    pub async fn seal(&self, store: &Store) -> ApiResult<String> {
        let version = store.platform().await?.key_versions().active().await?;
        let key = store
            .keyring()
            .platform_key(version, "sign-in")
            .map_err(ApiError::internal)?;
        let text = Zeroizing::new(serde_json::to_vec(self).map_err(ApiError::internal)?);
        let mut nonce = [0u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let prefix = version.to_be_bytes();
        let sealed = ChaCha20Poly1305::new((&*key).into())
            .encrypt(
                &nonce.into(),
                Payload {
                    msg: &text,
                    aad: &prefix,
                },
            )
            .map_err(|_| ApiError::internal("seal a sign-in"))?;
        Ok(URL_SAFE_NO_PAD.encode([&prefix[..], &nonce, &sealed].concat()))
    }

    /// Opens what [`Flow::seal`] made; `None` if it is none or too old.
    pub fn open(store: &Store, text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (prefix, rest) = bytes.split_first_chunk::<4>()?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        let key = store
            .keyring()
            .platform_key(i32::from_be_bytes(*prefix), "sign-in")
            .ok()?;
        let payload = Payload {
            msg: sealed,
            aad: prefix,
        };
        let text = ChaCha20Poly1305::new((&*key).into())
            .decrypt(&(*nonce).into(), payload)
            .map(Zeroizing::new)
            .ok()?;
        let flow: Self = serde_json::from_slice(&text).ok()?;
        (flow.expires > store.now().timestamp()).then_some(flow)
    }
}

async fn client(app: &App, tenant: Uuid, issuer: &Issuer) -> ApiResult<Client> {
    let provider = app
        .providers
        .get(&app.egress, &issuer.url, REMEMBERED)
        .await?;
    let mut tx = app.store.tenant(tenant).await?;
    let secret = tx
        .secrets()
        .get(&armour_storage::client_secret(issuer.id))
        .await?;
    drop(tx);
    let secret = match secret {
        None => None,
        Some(bytes) => Some(ClientSecret::new(
            String::from_utf8(bytes.to_vec()).map_err(ApiError::internal)?,
        )),
    };
    let redirect = app
        .base_url()
        .and_then(|base| base.join(CALLBACK))
        .map_err(ApiError::internal)?;
    Ok(openidconnect::Client::from_provider_metadata(
        provider.metadata.clone(),
        ClientId::new(issuer.audience.clone()),
        secret,
    )
    .set_redirect_uri(RedirectUrl::from_url(redirect)))
}

/// The most powerful role that the person's groups have.
fn role_of(issuer: &Issuer, claims: &Map<String, Value>) -> Option<AccessRole> {
    let groups = match claims.get(&issuer.groups_claim)? {
        Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
        Value::String(group) => vec![group.as_str()],
        _ => return None,
    };
    groups
        .into_iter()
        .filter_map(|group| issuer.role_map.get(group).copied())
        .max()
}

/// Text from outside as it may be shown and kept: printable and not too long.
pub fn printable(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}
