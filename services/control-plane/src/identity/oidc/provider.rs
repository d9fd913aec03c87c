//! Providers: discovered, remembered, and tokens checked with their keys.

use std::{sync::Arc, time::Duration};

use armour_api::{Issuer, ProblemType};
use chrono::{DateTime, Utc};
use hashlink::LruCache;
use jsonwebtoken::{Algorithm, Validation};
use openidconnect::{
    AdditionalProviderMetadata, IssuerUrl, LogoutProviderMetadata, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
        CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tracing::Instrument;
use url::Url;
use uuid::Uuid;

use super::keys::Keys;
use crate::{
    http::problem::{ApiError, ApiResult},
    platform::egress::Egress,
};

/// How long what a provider says of itself is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);
/// How long it serves while it is asked for anew: keys that the provider gave up meanwhile are
/// taken for no longer.
const SERVES: Duration = Duration::from_secs(900);
/// How soon keys may be asked for again when one is missing.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon a provider that could not be discovered is asked again.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(1);
/// Most providers that are remembered.
const MAX_KNOWN: usize = 1000;
/// Longest document of a provider that is taken, in bytes.
const MAX_DOCUMENT: usize = 128 * 1024;
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
const LEEWAY: i64 = 60;

/// What a provider says of itself besides discovery's own members.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MoreMetadata {
    /// Whether its answers to the browser name it (RFC 9207, section 3).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for MoreMetadata {}

/// What a provider says of itself.
pub type Metadata = ProviderMetadata<
    LogoutProviderMetadata<MoreMetadata>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider's metadata and keys.
pub struct Provider {
    /// From discovery, with the keys for ID tokens.
    pub metadata: Metadata,
    keys: Keys,
    since: Instant,
}

impl Provider {
    /// Whether its answers to the browser name it (RFC 9207).
    pub fn names_itself(&self) -> bool {
        let more = &self.metadata.additional_metadata().additional_metadata;
        more.authorization_response_iss_parameter_supported
    }
}

/// Providers by tenant and URL, as this replica remembers them; the one that was not asked for
/// for longest is forgotten.
pub struct Providers(Mutex<LruCache<(Uuid, String), Arc<Known>>>);

/// What is known of one provider.
#[derive(Default)]
struct Known {
    found: Mutex<Found>,
    /// Held by whoever asks it anew, so that it is asked once.
    asking: Arc<AsyncMutex<()>>,
}

#[derive(Default)]
struct Found {
    provider: Option<Arc<Provider>>,
    failed: Option<(Instant, String)>,
}

impl Default for Providers {
    fn default() -> Self {
        Self::of(MAX_KNOWN)
    }
}

impl Providers {
    fn of(known: usize) -> Self {
        Self(Mutex::new(LruCache::new(known)))
    }

    /// A provider, discovered anew if what is known is older than that. Nobody waits for a
    /// provider that is only looked at again: what was known of it serves meanwhile.
    ///
    /// # Errors
    /// 502 `issuer-unreachable` if it cannot be discovered.
    pub async fn get(
        &self,
        egress: &Egress,
        tenant: Uuid,
        url: &str,
        older_than: Duration,
    ) -> ApiResult<Arc<Provider>> {
        let known = self.known(tenant, url);
        if let Some(provider) = known.fresh(older_than) {
            return Ok(provider);
        }
        if older_than >= REMEMBERED
            && let Some(provider) = known.fresh(SERVES)
        {
            if let Ok(asking) = known.asking.clone().try_lock_owned() {
                let (egress, url) = (egress.clone(), url.to_owned());
                let again = async move {
                    let _asking = asking;
                    if known.failed_lately().is_none() {
                        // Whoever cannot be asked is so tomorrow, or is asked again.
                        let _provider = known.ask(&egress, &url).await;
                    }
                };
                tokio::spawn(again.in_current_span());
            }
            return Ok(provider);
        }
        let _asking = known.asking.lock().await;
        // Perhaps somebody else has asked meanwhile.
        if let Some(provider) = known.fresh(older_than) {
            return Ok(provider);
        }
        match known.failed_lately() {
            Some(why) => Err(unusable(url, &why)),
            None => known.ask(egress, url).await,
        }
    }

    /// A provider, discovered anew as soon as it may be: what is known does not suffice.
    ///
    /// # Errors
    /// 502 `issuer-unreachable` if it cannot be discovered.
    pub async fn anew(&self, egress: &Egress, tenant: Uuid, url: &str) -> ApiResult<Arc<Provider>> {
        if let Some(provider) = self.known(tenant, url).fresh(AGAIN) {
            tokio::time::sleep_until(provider.since + AGAIN).await;
        }
        self.get(egress, tenant, url, AGAIN).await
    }

    fn known(&self, tenant: Uuid, url: &str) -> Arc<Known> {
        let mut all = self.0.lock();
        let key = (tenant, url.to_owned());
        if let Some(known) = all.get(&key) {
            return known.clone();
        }
        let known = Arc::<Known>::default();
        all.insert(key, known.clone());
        known
    }

    /// Checks a token of the tenant's issuer at this time: signature, `iss`, `aud`, and `nbf`
    /// and `exp` if there are any. Returns its claims.
    ///
    /// # Errors
    /// 401 if it does not hold, 502 if the issuer cannot be asked.
    pub async fn check(
        &self,
        egress: &Egress,
        tenant: Uuid,
        issuer: &Issuer,
        token: &str,
        now: DateTime<Utc>,
    ) -> ApiResult<Map<String, Value>> {
        let invalid =
            |why: &str| ApiError::unauthenticated(format!("the token is not valid: {why}"));
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| invalid("not a signed token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(invalid("its algorithm is not allowed"));
        }
        let mut provider = self.get(egress, tenant, &issuer.url, REMEMBERED).await?;
        if provider.keys.find(header.kid.as_deref()).is_none() {
            // Issuers rotate their keys.
            provider = self.get(egress, tenant, &issuer.url, AGAIN).await?;
        }
        let key = provider
            .keys
            .find(header.kid.as_deref())
            .ok_or_else(|| invalid("its key is not the issuer's"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&issuer.url]);
        validation.set_audience(&[&issuer.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        // Checked below, by the time that all replicas share.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
            .map(|data| data.claims)
            .map_err(|error| invalid(&error.to_string()))?;
        check_times(&claims, now.timestamp()).map_err(invalid)?;
        Ok(claims)
    }
}

impl Known {
    fn fresh(&self, older_than: Duration) -> Option<Arc<Provider>> {
        let provider = self.found.lock().provider.clone();
        provider.filter(|provider| provider.since.elapsed() < older_than)
    }

    /// Why it could not be asked just now.
    fn failed_lately(&self) -> Option<String> {
        let found = self.found.lock();
        let (when, why) = found.failed.as_ref()?;
        (when.elapsed() < FAILURE_REMEMBERED).then(|| why.clone())
    }

    async fn ask(&self, egress: &Egress, url: &str) -> ApiResult<Arc<Provider>> {
        let asked = discover(egress, url).await;
        let mut found = self.found.lock();
        match asked {
            Ok(provider) => {
                let provider = Arc::new(provider);
                found.provider = Some(provider.clone());
                found.failed = None;
                Ok(provider)
            }
            Err(why) => {
                let error = unusable(url, &why);
                found.failed = Some((Instant::now(), why));
                Err(error)
            }
        }
    }
}

fn unusable(url: &str, why: &str) -> ApiError {
    ApiError::new(
        ProblemType::IssuerUnreachable,
        format!("the issuer {url} cannot be used now: {why}"),
    )
}

/// Checks `nbf` and `exp` where they are (RFC 7519, sections 4.1.4 and 4.1.5).
fn check_times(claims: &Map<String, Value>, now: i64) -> Result<(), &'static str> {
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        // It may have a fraction.
        Some(value) => value
            .as_f64()
            .map(|seconds| Some(seconds as i64))
            .ok_or("its times cannot be read"),
    };
    if seconds("exp")?.is_some_and(|exp| exp.saturating_add(LEEWAY) < now) {
        return Err("it has expired");
    }
    if seconds("nbf")?.is_some_and(|nbf| nbf.saturating_sub(LEEWAY) > now) {
        return Err("it is not valid yet");
    }
    Ok(())
}

/// OpenID Connect Discovery 1.0, section 4.
async fn discover(egress: &Egress, url: &str) -> Result<Provider, String> {
    let issuer = IssuerUrl::new(url.to_owned()).map_err(|error| error.to_string())?;
    let place = issuer
        .join(".well-known/openid-configuration")
        .map_err(|error| error.to_string())?;
    let text = fetch(egress, &place).await?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| format!("{place} is no discovery document: {error}"))?;
    if *metadata.issuer() != issuer {
        let named = metadata.issuer().as_str();
        return Err(format!("its discovery document is that of {named}"));
    }
    let place = metadata.jwks_uri().url();
    let keys = Keys::read(&fetch(egress, place).await?)
        .map_err(|error| format!("{place} is no set of keys: {error}"))?;
    Ok(Provider {
        metadata: metadata.set_jwks(keys.for_people.clone()),
        keys,
        since: Instant::now(),
    })
}

async fn fetch(egress: &Egress, place: &Url) -> Result<Vec<u8>, String> {
    let request = http::Request::get(place.as_str())
        .header("accept", "application/json")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let sent = egress.send(request).await;
    let answer = sent.map_err(|error| format!("{place}: {error}"))?;
    if answer.status() != http::StatusCode::OK {
        return Err(format!("{place} answers {}", answer.status()));
    }
    if answer.body().len() > MAX_DOCUMENT {
        return Err(format!("{place} is larger than {MAX_DOCUMENT} bytes"));
    }
    Ok(answer.into_body())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_more_provider_than_are_kept_takes_the_place_of_one_and_not_of_all() {
        let providers = Providers::of(2);
        let known = |n| providers.known(Uuid::from_u128(n), "https://issuer.example");
        let (first, second) = (known(1), known(2));
        known(1);
        known(3);
        assert!(Arc::ptr_eq(&known(1), &first));
        assert!(!Arc::ptr_eq(&known(2), &second));
    }

    #[test]
    fn m11_a_tokens_times_are_checked_by_the_time_that_is_given() {
        let check = |claims: Value| check_times(claims.as_object().unwrap(), 10_000);
        assert!(check(json!({})).is_ok());
        assert!(check(json!({ "exp": 9_940, "nbf": 10_060.5 })).is_ok());
        assert!(check(json!({ "exp": 9_939 })).is_err());
        assert!(check(json!({ "nbf": 10_061 })).is_err());
        assert!(check(json!({ "exp": "soon" })).is_err());
        assert!(check(json!({ "exp": u64::MAX, "nbf": i64::MIN })).is_ok());
    }
}
