//! The authorization code flow with PKCE and a nonce (OpenID Connect Core,
//! section 3.1; RFC 7636).

use armour_api::{AccessRole, Issuer, ProblemType};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, CsrfToken, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, Scope, TokenResponse, core::CoreAuthenticationFlow,
};
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    client::client,
    flow::{Flow, MAX_SECONDS},
    state::Oidc,
    text::{printable, reason},
};
use crate::http::problem::{ApiError, ApiResult, OperationError};

/// Why somebody is not signed in.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The answer is to no flow that this browser holds.
    #[error("this browser began no such sign-in, or took longer than ten minutes; begin again")]
    Stale,
    /// The issuer does not vouch for the person.
    #[error("the issuer refused: {0}")]
    Refused(String),
    /// What the issuer answers does not hold.
    #[error("signing in failed: {0}")]
    Failed(String),
    /// The issuer vouches for the person, but nothing gives them a role.
    #[error("you are known, but none of your groups has a role here; ask an administrator")]
    NotAdmitted,
}

impl OperationError for SignInError {
    fn problem_type(&self) -> ProblemType {
        match self {
            Self::Stale => ProblemType::SignInStale,
            Self::Refused(_) => ProblemType::SignInRefused,
            Self::Failed(_) => ProblemType::SignInFailed,
            Self::NotAdmitted => ProblemType::NotAdmitted,
        }
    }
}

/// A person, as the issuer vouches for them.
pub struct Person {
    /// The issuer's name for them.
    pub subject: String,
    /// For people to read.
    pub name: String,
    /// What their groups may do.
    pub role: AccessRole,
    /// The provider's session.
    pub sid: Option<String>,
    /// The ID token, with which to log out there.
    pub id_token: Zeroizing<String>,
}

/// Begins: where to send the browser, and what to keep in it.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn begin(
    oidc: &Oidc,
    tenant: Uuid,
    issuer: &Issuer,
    return_to: String,
) -> ApiResult<(Url, Flow)> {
    let client = client(oidc, tenant, issuer).await?;
    let random = oidc.store.random();
    let state = CsrfToken::new(URL_SAFE_NO_PAD.encode(random.bytes::<16>()));
    let nonce = Nonce::new(URL_SAFE_NO_PAD.encode(random.bytes::<16>()));
    let verifier = PkceCodeVerifier::new(URL_SAFE_NO_PAD.encode(random.bytes::<32>()));
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let scopes = issuer.scopes.iter().cloned().map(Scope::new);
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            || state,
            || nonce,
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
        expires: oidc.now().timestamp() + MAX_SECONDS,
    };
    Ok((url, flow))
}

/// Ends: redeems the code and checks who it is.
///
/// # Errors
/// [`SignInError`], or if the issuer cannot be asked.
pub async fn finish(oidc: &Oidc, issuer: &Issuer, flow: Flow, code: String) -> ApiResult<Person> {
    let client = client(oidc, flow.tenant, issuer).await?;
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| failed(reason(&error)))?
        .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier))
        .request_async(&oidc.egress)
        .await
        .map_err(|error| failed(reason(&error)))?;
    let id_token = tokens
        .id_token()
        .ok_or_else(|| failed("the issuer gave no ID token"))?;
    let verifier = client.id_token_verifier().set_time_fn(|| oidc.now());
    let claims = id_token
        .claims(&verifier, &Nonce::new(flow.nonce))
        .map_err(|error| failed(reason(&error)))?;
    // The access token has to belong to the ID token, where it says so
    // (OpenID Connect Core, section 3.1.3.8).
    if let Some(expected) = claims.access_token_hash() {
        let actual = AccessTokenHash::from_token(
            tokens.access_token(),
            id_token.signing_alg().map_err(|e| failed(reason(&e)))?,
            id_token
                .signing_key(&verifier)
                .map_err(|e| failed(reason(&e)))?,
        )
        .map_err(|error| failed(reason(&error)))?;
        if actual != *expected {
            return Err(failed("the access token is not the ID token's"));
        }
    }
    let more = &claims.additional_claims().0;
    let role = role_of(issuer, more).ok_or(SignInError::NotAdmitted)?;
    let name = [
        claims.preferred_username().map(|name| name.to_string()),
        claims.email().map(|email| email.to_string()),
    ];
    let subject = claims.subject().as_str().to_owned();
    if subject.len() > 255 || subject.chars().any(char::is_control) {
        return Err(failed("the issuer's name for you cannot be kept"));
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

fn failed(why: impl Into<String>) -> ApiError {
    SignInError::Failed(why.into()).into()
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
