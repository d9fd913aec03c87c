//! This service as a client of an issuer.

use std::time::Duration;

use armour_api::{ClientAuthentication, Issuer};
use armour_storage::Urgency;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::BoxFuture;
use http::{HeaderValue, header::AUTHORIZATION};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthType, ClientId, ClientSecret, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenClaims,
    IdTokenFields, RedirectUrl, StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType,
        CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::{provider::Provider, state::Oidc};
use crate::{
    http::problem::{ApiError, ApiResult},
    platform::egress::{Egress, EgressError},
};

/// This service as an issuer's client.
pub struct AtIssuer {
    /// As the standards have it.
    pub oidc: Client,
    /// What is shown in the header in place of what they say.
    pub basic: Option<HeaderValue>,
}

/// The way to an issuer's token endpoint.
pub struct TokenEndpoint<'a> {
    /// How the issuer is called.
    pub egress: &'a Egress,
    /// As in [`AtIssuer`].
    pub basic: Option<HeaderValue>,
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = EgressError;
    type Future = BoxFuture<'c, Result<HttpResponse, EgressError>>;

    fn call(&'c self, mut request: HttpRequest) -> Self::Future {
        if let Some(basic) = &self.basic {
            request.headers_mut().insert(AUTHORIZATION, basic.clone());
        }
        Box::pin(self.egress.send(request))
    }
}

/// Where the issuer sends the browser back to. Each issuer has an address of its own: one
/// issuer's answer is not taken for another's, whatever either of them says (RFC 9700,
/// section 4.4).
fn callback(oidc: &Oidc, tenant: Uuid, issuer: Uuid) -> ApiResult<Url> {
    let path = format!("v1/auth/callback/{tenant}/{issuer}");
    oidc.base_url.join(&path).map_err(ApiError::internal)
}

/// A client with the tenant's secret at the issuer, if it has one; what the issuer says of
/// itself is asked anew if it is older than that.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn client(
    oidc: &Oidc,
    tenant: Uuid,
    issuer: &Issuer,
    older_than: Duration,
) -> ApiResult<AtIssuer> {
    let provider = oidc.provider(tenant, issuer, older_than).await?;
    client_at(oidc, tenant, issuer, &provider).await
}

/// A client at an issuer that says this of itself.
///
/// # Errors
/// If its secret cannot be read.
pub async fn client_at(
    oidc: &Oidc,
    tenant: Uuid,
    issuer: &Issuer,
    provider: &Provider,
) -> ApiResult<AtIssuer> {
    let mut tx = oidc.store.tenant_unproven(tenant, Urgency::Members).await?;
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
    let is_plain = secret
        .iter()
        .map(|secret| secret.secret().as_str())
        .chain([&*issuer.audience])
        .all(is_plain);
    let redirect = callback(oidc, tenant, issuer.id)?;
    let methods = provider.metadata.token_endpoint_auth_methods_supported();
    let how = how_to_authenticate(issuer.client_authentication, methods, is_plain);
    let basic = match (issuer.client_authentication, &secret) {
        (ClientAuthentication::BasicRaw, Some(secret)) => {
            Some(raw(&issuer.audience, secret.secret())?)
        }
        _ => None,
    };
    let oidc = openidconnect::Client::from_provider_metadata(
        provider.metadata.clone(),
        ClientId::new(issuer.audience.clone()),
        secret,
    )
    .set_auth_type(how)
    .set_redirect_uri(RedirectUrl::from_url(redirect));
    Ok(AtIssuer { oidc, basic })
}

/// HTTP Basic as RFC 7617 has it, without RFC 6749's encoding before.
fn raw(id: &str, secret: &str) -> ApiResult<HeaderValue> {
    let shown = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let mut value = HeaderValue::try_from(shown).map_err(ApiError::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a client's id or secret is the same once it is encoded for the header (RFC 6749,
/// section 2.3.1): some issuers expect it there as it is.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte))
}

/// How the secret is shown: as somebody chose; else in a header, unless the issuer takes it in the
/// body alone (OpenID Connect Discovery 1.0, section 3), or there too and it would be encoded in
/// the header.
fn how_to_authenticate(
    chosen: ClientAuthentication,
    listed: Option<&Vec<CoreClientAuthMethod>>,
    is_plain: bool,
) -> AuthType {
    match chosen {
        ClientAuthentication::Auto => {}
        ClientAuthentication::Basic | ClientAuthentication::BasicRaw => {
            return AuthType::BasicAuth;
        }
        ClientAuthentication::Post => return AuthType::RequestBody,
    }
    let lists = |method| listed.is_some_and(|listed| listed.contains(&method));
    let header = lists(CoreClientAuthMethod::ClientSecretBasic) && is_plain;
    match !header && lists(CoreClientAuthMethod::ClientSecretPost) {
        true => AuthType::RequestBody,
        false => AuthType::BasicAuth,
    }
}

/// Claims of the ID token besides the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoreClaims(pub Map<String, Value>);

impl AdditionalClaims for MoreClaims {}

type Fields = IdTokenFields<
    MoreClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
/// What a code is redeemed for.
pub type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
/// What an ID token says.
pub type IdClaims = IdTokenClaims<MoreClaims, CoreGenderClaim>;
/// A client that knows where to send people.
pub type Client = openidconnect::Client<
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_a_secret_is_shown_as_the_issuer_takes_it() {
        use CoreClientAuthMethod::{ClientSecretBasic as Basic, ClientSecretPost as Post};
        let shown_in_body = |listed: Option<Vec<CoreClientAuthMethod>>, secret| {
            let auto = ClientAuthentication::Auto;
            let how = how_to_authenticate(auto, listed.as_ref(), is_plain(secret));
            matches!(how, AuthType::RequestBody)
        };
        let is_post = |listed| shown_in_body(listed, "0a_B-1.2");
        assert!(is_post(Some(vec![Post])));
        assert!(!is_post(Some(vec![Post, Basic])));
        assert!(!is_post(Some(vec![Basic])));
        // Where it lists none it takes Basic.
        assert!(!is_post(None));
        // What is encoded in the header some issuers do not decode.
        for secret in ["a+b", "a/b", "a b", "a%41", "ä", "a:b"] {
            assert!(shown_in_body(Some(vec![Basic, Post]), secret), "{secret}");
            assert!(!shown_in_body(Some(vec![Basic]), secret), "{secret}");
        }
    }
}
