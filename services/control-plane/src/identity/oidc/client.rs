//! This service as a client of an issuer.

use armour_api::Issuer;
use openidconnect::{
    AdditionalClaims, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenFields, RedirectUrl, StandardErrorResponse,
    StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{provider::REMEMBERED, state::Oidc};
use crate::http::problem::{ApiError, ApiResult};

/// Where the provider sends the browser back to.
const CALLBACK: &str = "v1/auth/callback";

/// A client with the tenant's secret at the issuer, if it has one.
///
/// # Errors
/// If the issuer cannot be asked.
pub async fn client(oidc: &Oidc, tenant: Uuid, issuer: &Issuer) -> ApiResult<Client> {
    let provider = oidc
        .providers
        .get(&oidc.egress, &issuer.url, REMEMBERED)
        .await?;
    let mut tx = oidc.store.tenant(tenant).await?;
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
    let redirect = oidc.base_url.join(CALLBACK).map_err(ApiError::internal)?;
    Ok(openidconnect::Client::from_provider_metadata(
        provider.metadata.clone(),
        ClientId::new(issuer.audience.clone()),
        secret,
    )
    .set_redirect_uri(RedirectUrl::from_url(redirect)))
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
