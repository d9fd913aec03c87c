//! Access tokens of endpoints (RFC 9068), signed with keys that rotate.

use std::{sync::Arc, time::Duration as StdDuration};

use armour_api::ProblemType;
use armour_storage::{Actor, PlatformAction, PublicSigningKey, StorageError, Store, Tx};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::http::problem::{ApiError, ApiResult};

/// `aud` and `iss` of access tokens.
pub const AUDIENCE: &str = "armour-control-plane";
/// Life of an access token, in seconds.
pub const LIFE: i64 = 300;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;
/// How long a new key is published before it signs.
const PUBLISHED_BEFORE: i64 = 60;
/// How long keys are remembered before the database is asked again.
const REMEMBERED: StdDuration = StdDuration::from_secs(10);
/// How long after a look the database is asked again for a key that it did not show, or after
/// one that failed: whoever makes up keys must not decide how often it is asked.
const ASKED_AGAIN: StdDuration = StdDuration::from_secs(1);

/// Claims of an access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The endpoint's id.
    pub sub: Uuid,
    /// The tenant's id.
    pub tenant: Uuid,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at.
    pub exp: i64,
    /// The key it is bound to (RFC 7800).
    pub cnf: Confirmation,
}

/// The thumbprint of the key that a token is bound to (RFC 9449, section 6.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confirmation {
    /// RFC 7638, SHA-256, base64url.
    pub jkt: String,
}

/// The keys, as this replica remembers them.
pub struct SigningKeys {
    known: RwLock<Arc<Known>>,
    /// When a look failed, if the last one did; locked while the database is asked.
    failed: Mutex<Option<Instant>>,
}

struct Known {
    since: Instant,
    public: Vec<PublicSigningKey>,
    signs: Option<(String, EncodingKey)>,
}

/// Adds a signing key, with its audit entry. The first of all signs at once, later ones
/// after they have been published for a while.
///
/// # Errors
/// If the database refuses.
pub async fn add(tx: &mut Tx, actor: &Actor, because: Option<&str>) -> ApiResult<()> {
    let now = tx.now();
    tx.signing_keys().lock().await?;
    let first = tx.signing_keys().list_public(now).await?.is_empty();
    let activates_at = match first {
        true => now,
        false => now + Duration::seconds(PUBLISHED_BEFORE),
    };
    let mut seed = Zeroizing::new([0u8; 32]);
    tx.random().fill(&mut *seed);
    let key = SigningKey::from_bytes(&seed);
    let kid = tx.new_id().simple().to_string();
    tx.signing_keys()
        .create(
            &kid,
            key.verifying_key().as_bytes(),
            activates_at,
            activates_at + Duration::seconds(LIFE + LEEWAY),
        )
        .await?;
    tx.secrets().put(&secret(&kid), &seed[..]).await?;
    let action = PlatformAction::SigningKeyCreate { kid: &kid, because };
    tx.audit_log().append(actor, action).await?;
    Ok(())
}

/// Name of the secret of a key.
pub fn secret(kid: &str) -> String {
    format!("signing-key:{kid}")
}

impl SigningKeys {
    /// Those in the database. Endpoints are known by them from the first call on.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn load(store: &Store) -> ApiResult<Self> {
        Ok(Self {
            known: RwLock::new(Arc::new(Known::read(store).await?)),
            failed: Mutex::default(),
        })
    }

    /// Signs an access token.
    ///
    /// # Errors
    /// If there is no key.
    pub async fn sign(&self, store: &Store, claims: &Claims) -> ApiResult<String> {
        self.refresh(store, REMEMBERED).await?;
        let known = self.known();
        let (kid, key) = known
            .signs
            .as_ref()
            .ok_or_else(|| ApiError::internal("no signing key is active"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".into());
        header.kid = Some(kid.clone());
        jsonwebtoken::encode(&header, claims, key).map_err(ApiError::internal)
    }

    /// Checks an access token's signature, audience and life.
    ///
    /// # Errors
    /// 401 if any of it does not hold.
    pub async fn verify(&self, store: &Store, token: &str) -> ApiResult<Claims> {
        let kid = kid(token)?;
        self.refresh(store, REMEMBERED).await?;
        if self.known().key(&kid, store.now()).is_none() {
            // Another replica may have made it just now.
            self.refresh(store, ASKED_AGAIN).await?;
        }
        self.verify_known(token, store.now())
    }

    /// As [`Self::verify`], by the keys that are remembered: it waits for nothing.
    ///
    /// # Errors
    /// 401 if it is not valid, or of a key that is not remembered.
    pub fn verify_known(&self, token: &str, now: DateTime<Utc>) -> ApiResult<Claims> {
        let known = self.known();
        let key = known.key(&kid(token)?, now).ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Checked below, by the time that all replicas share.
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(key), &validation)
                .map_err(|_| invalid())?
                .claims;
        if claims.exp + LEEWAY < now.timestamp() {
            return Err(ApiError::new(
                ProblemType::TokenExpired,
                "the access token has expired; ask for another",
            )
            .with_challenge("DPoP algs=\"EdDSA\", error=\"invalid_token\""));
        }
        Ok(claims)
    }

    /// The keys as a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn jwks(&self, store: &Store) -> ApiResult<Value> {
        self.refresh(store, REMEMBERED).await?;
        let known = self.known();
        let keys = known.public.iter().map(|key| {
            json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "kid": key.kid, "x": URL_SAFE_NO_PAD.encode(&key.public_key),
            })
        });
        Ok(json!({ "keys": keys.collect::<Vec<_>>() }))
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().clone()
    }

    /// Asks the database if what is remembered is older than that. One call asks at a time; no
    /// other waits for it but those that need to know as well.
    async fn refresh(&self, store: &Store, older_than: StdDuration) -> ApiResult<()> {
        let is_fresh = || self.known().since.elapsed() < older_than;
        if is_fresh() {
            return Ok(());
        }
        let mut failed = self.failed.lock().await;
        if is_fresh() {
            return Ok(());
        }
        if failed.is_some_and(|failed| failed.elapsed() < ASKED_AGAIN) {
            return Err(ApiError::new(
                ProblemType::Unavailable,
                "the keys of access tokens cannot be read; try again",
            ));
        }
        let read = Known::read(store).await;
        *failed = read.is_err().then(Instant::now);
        *self.known.write() = Arc::new(read?);
        Ok(())
    }
}

impl Known {
    async fn read(store: &Store) -> ApiResult<Self> {
        let now = store.now();
        let mut tx = store.platform().await?;
        let public = tx.signing_keys().list_public(now).await?;
        let signs = match public.iter().find(|key| key.activates_at <= now) {
            None => None,
            Some(key) => Some((key.kid.clone(), private(&mut tx, &key.kid).await?)),
        };
        Ok(Self {
            since: Instant::now(),
            public,
            signs,
        })
    }

    fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&[u8]> {
        let mut keys = self.public.iter();
        keys.find(|key| key.kid == kid && key.retires_at.is_none_or(|end| end > now))
            .map(|key| key.public_key.as_slice())
    }
}

/// The key that an access token says it is signed with.
fn kid(token: &str) -> ApiResult<String> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
    if header.typ.as_deref() != Some("at+jwt") || header.alg != Algorithm::EdDSA {
        return Err(invalid());
    }
    header.kid.ok_or_else(invalid)
}

async fn private(tx: &mut Tx, kid: &str) -> ApiResult<EncodingKey> {
    let seed = tx
        .secrets()
        .get(&secret(kid))
        .await?
        .ok_or(StorageError::NotFound)?;
    let seed: &[u8; 32] = seed
        .first_chunk()
        .ok_or_else(|| ApiError::internal("a signing key of another length"))?;
    let der = SigningKey::from_bytes(seed)
        .to_pkcs8_der()
        .map_err(ApiError::internal)?;
    Ok(EncodingKey::from_ed_der(der.as_bytes()))
}

fn invalid() -> ApiError {
    ApiError::new(
        ProblemType::Unauthenticated,
        "the access token is not valid",
    )
    .with_challenge("DPoP algs=\"EdDSA\", error=\"invalid_token\"")
}
