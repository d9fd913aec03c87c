//! The authorization code flow with PKCE and a nonce (OpenID Connect Core,
//! section 3.1; RFC 7636).

use armour_api::{AccessRole, Issuer};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClaimsVerificationError, CsrfToken, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreJwsSigningAlgorithm},
};
use serde_json::Value;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    client::{Client, IdClaims, TokenEndpoint, Tokens, client, client_at},
    flow::{Flow, MAX_SECONDS},
    groups,
    provider::REMEMBERED,
    refusal::{NotSignedIn, failed},
    state::Oidc,
    text::{printable, reason},
};
use crate::http::problem::ApiResult;

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
    let client = client(oidc, tenant, issuer, REMEMBERED).await?;
    let random = oidc.store.random();
    let state = CsrfToken::new(URL_SAFE_NO_PAD.encode(random.bytes::<16>()));
    let nonce = Nonce::new(URL_SAFE_NO_PAD.encode(random.bytes::<16>()));
    let verifier = PkceCodeVerifier::new(URL_SAFE_NO_PAD.encode(random.bytes::<32>()));
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let scopes = issuer.scopes.iter().cloned().map(Scope::new);
    let (url, state, nonce) = client
        .oidc
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
        again: false,
    };
    Ok((url, flow))
}

/// Ends: redeems the code and checks who it is.
///
/// # Errors
/// [`NotSignedIn`], or if the issuer cannot be asked.
pub async fn finish(
    oidc: &Oidc,
    issuer: &Issuer,
    flow: Flow,
    code: String,
) -> Result<Person, NotSignedIn> {
    let mut client = client(oidc, flow.tenant, issuer, REMEMBERED).await?;
    let endpoint = TokenEndpoint {
        egress: oidc.egress(flow.tenant),
        basic: client.basic.take(),
    };
    let tokens = client
        .oidc
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| failed(reason(&error)))?
        .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier))
        .request_async(&endpoint)
        .await
        .map_err(|error| failed(reason(&error)))?;
    let nonce = Nonce::new(flow.nonce);
    let claims = match verify(oidc, &client.oidc, &tokens, &nonce) {
        Err(Unverified::Signature(_)) => {
            // Issuers rotate their keys. The code is redeemed, so whoever signs in waits for them.
            let provider = oidc.provider_anew(flow.tenant, issuer).await?;
            client = client_at(oidc, flow.tenant, issuer, &provider).await?;
            verify(oidc, &client.oidc, &tokens, &nonce)
        }
        done => done,
    };
    let claims = claims.map_err(|why| match why {
        Unverified::Signature(why) | Unverified::Other(why) => failed(why),
    })?;
    let more = &claims.additional_claims().0;
    let subject = claims.subject();
    let access_token = tokens.access_token();
    let role = groups::role(
        oidc.egress(flow.tenant),
        issuer,
        &client.oidc,
        access_token,
        subject,
        more,
    )
    .await?;
    let name = [
        claims.preferred_username().map(|name| name.to_string()),
        claims.email().map(|email| email.to_string()),
    ];
    let subject = subject.as_str().to_owned();
    if subject.len() > 255 || subject.chars().any(char::is_control) {
        return Err(failed("the issuer's name for you cannot be kept").into());
    }
    let id_token = tokens.id_token().map(ToString::to_string);
    Ok(Person {
        name: match name.into_iter().flatten().next() {
            Some(name) => printable(&name, 100),
            None => subject.clone(),
        },
        subject,
        role,
        sid: more.get("sid").and_then(Value::as_str).map(str::to_owned),
        id_token: Zeroizing::new(id_token.unwrap_or_default()),
    })
}

/// Why an ID token does not hold.
enum Unverified {
    /// No key that is known has signed it.
    Signature(String),
    /// Anything else.
    Other(String),
}

/// Checks the ID token (OpenID Connect Core, sections 3.1.3.7 and 3.1.3.8).
fn verify(
    oidc: &Oidc,
    client: &Client,
    tokens: &Tokens,
    nonce: &Nonce,
) -> Result<IdClaims, Unverified> {
    let other = |why: &str| Unverified::Other(why.to_owned());
    let id_token = tokens
        .id_token()
        .ok_or_else(|| other("the issuer gave no ID token"))?;
    let algorithm = id_token
        .signing_alg()
        .map_err(|error| Unverified::Other(reason(&error)))?;
    use CoreJwsSigningAlgorithm as Alg;
    if matches!(
        algorithm,
        Alg::HmacSha256 | Alg::HmacSha384 | Alg::HmacSha512 | Alg::None
    ) {
        return Err(other(
            "the ID token has no signature, or one with a shared secret (HS256): \
             have the issuer sign with a public key, RS256 or ES256",
        ));
    }
    let verifier = client
        .id_token_verifier()
        .set_time_fn(|| oidc.now())
        // Others may be meant too, if it was issued to us: see below.
        .set_other_audience_verifier_fn(|_| true);
    let claims = id_token
        .claims(&verifier, nonce)
        .map_err(|error| match &error {
            ClaimsVerificationError::SignatureVerification(_) => {
                Unverified::Signature(reason(&error))
            }
            _ => Unverified::Other(reason(&error)),
        })?;
    let issued_to = claims.authorized_party().map(|party| party.as_str());
    match issued_to {
        Some(party) if party != client.client_id().as_str() => {
            return Err(other("the ID token was issued to another client (azp)"));
        }
        None if claims.audiences().len() > 1 => {
            return Err(other(
                "the ID token has several audiences and does not say to whom it was issued (azp)",
            ));
        }
        _ => {}
    }
    // The access token has to belong to the ID token, where it says so.
    if let Some(expected) = claims.access_token_hash() {
        let key = id_token
            .signing_key(&verifier)
            .map_err(|error| Unverified::Other(reason(&error)))?;
        let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
            .map_err(|error| Unverified::Other(reason(&error)))?;
        if actual != *expected {
            return Err(other("the access token is not the ID token's"));
        }
    }
    Ok(claims.clone())
}
