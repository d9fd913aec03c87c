//! Providers: discovered, remembered, and tokens checked with their keys.

use std::{collections::HashMap, sync::Arc, time::Duration};

use armour_api::{Issuer, ProblemType};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use openidconnect::{IssuerUrl, ProviderMetadataWithLogout, core::CoreJsonWebKeySet};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::text::reason;
use crate::{
    http::problem::{ApiError, ApiResult},
    platform::egress::{Egress, EgressError},
};

/// How long what a provider says of itself is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);
/// How soon keys may be asked for again when one is missing.
const AGAIN: Duration = Duration::from_secs(5);
/// Signatures that are taken; none with a shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// A provider's metadata and keys.
pub struct Provider {
    /// From discovery, with the keys for ID tokens.
    pub metadata: ProviderMetadataWithLogout,
    keys: JwkSet,
    since: Instant,
}

/// Providers by URL, as this replica remembers them.
#[derive(Default)]
pub struct Providers(Mutex<HashMap<String, Arc<Provider>>>);

impl Providers {
    /// A provider, discovered anew if what is known is older than that.
    ///
    /// # Errors
    /// 502 `issuer-unreachable` if it cannot be discovered.
    pub async fn get(
        &self,
        egress: &Egress,
        url: &str,
        older_than: Duration,
    ) -> ApiResult<Arc<Provider>> {
        let known = self.0.lock().get(url).cloned();
        if let Some(known) = known
            && known.since.elapsed() < older_than
        {
            return Ok(known);
        }
        let provider = Arc::new(discover(egress, url).await.map_err(|why| {
            ApiError::new(
                ProblemType::IssuerUnreachable,
                format!("the issuer {url} cannot be used now: {why}"),
            )
        })?);
        let mut known = self.0.lock();
        if known.len() > 10_000 {
            known.retain(|_, provider| provider.since.elapsed() < REMEMBERED);
        }
        known.insert(url.to_owned(), provider.clone());
        Ok(provider)
    }

    /// Checks a token of the issuer: signature, `iss`, `aud`, and `exp` if there
    /// is one. Returns its claims.
    ///
    /// # Errors
    /// 401 if it does not hold, 502 if the issuer cannot be asked.
    pub async fn check(
        &self,
        egress: &Egress,
        issuer: &Issuer,
        token: &str,
    ) -> ApiResult<Map<String, Value>> {
        let invalid =
            |why: &str| ApiError::unauthenticated(format!("the token is not valid: {why}"));
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| invalid("not a signed token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(invalid("its algorithm is not allowed"));
        }
        let mut provider = self.get(egress, &issuer.url, REMEMBERED).await?;
        if find_key(&provider.keys, header.kid.as_deref()).is_none() {
            // Issuers rotate their keys.
            provider = self.get(egress, &issuer.url, AGAIN).await?;
        }
        let key = find_key(&provider.keys, header.kid.as_deref())
            .ok_or_else(|| invalid("its key is not the issuer's"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&issuer.url]);
        validation.set_audience(&[&issuer.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
            .map(|data| data.claims)
            .map_err(|error| invalid(&error.to_string()))
    }
}

/// The key of an id; without an id the only one there is.
fn find_key(keys: &JwkSet, kid: Option<&str>) -> Option<DecodingKey> {
    let jwk = match (kid, &keys.keys[..]) {
        (Some(kid), _) => keys.find(kid)?,
        (None, [only]) => only,
        (None, _) => return None,
    };
    DecodingKey::from_jwk(jwk).ok()
}

async fn discover(egress: &Egress, url: &str) -> Result<Provider, String> {
    let issuer = IssuerUrl::new(url.to_owned()).map_err(|error| error.to_string())?;
    let metadata = ProviderMetadataWithLogout::discover_async(issuer, egress)
        .await
        .map_err(|error| reason(&error))?;
    let request = http::Request::get(metadata.jwks_uri().as_str())
        .header("accept", "application/json")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let answer = egress
        .send(request)
        .await
        .map_err(|error: EgressError| error.to_string())?;
    let keys: JwkSet = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
    let for_people: CoreJsonWebKeySet =
        serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
    Ok(Provider {
        metadata: metadata.set_jwks(for_people),
        keys,
        since: Instant::now(),
    })
}
