//! DPoP proofs (RFC 9449, section 4.2): an endpoint shows that it holds its key.

use armour_ambient::Ambient;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use futures::future::BoxFuture;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, OctetKeyPairParameters,
        OctetKeyPairType,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

/// What a proof says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Never used before.
    pub jti: Uuid,
    /// The request's method.
    pub htm: String,
    /// The request's URL without its query.
    pub htu: String,
    /// Now, in seconds since 1970.
    pub iat: u64,
    /// Hash of the access token, base64url.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ath: Option<String>,
    /// The control plane's last nonce (RFC 9449, section 8).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nonce: Option<String>,
}

/// The key cannot be used.
#[derive(Debug, Clone, Error)]
#[error("the endpoint's key cannot be used: {0}")]
pub struct ProofError(pub String);

/// Whatever holds an endpoint's key.
pub trait Prover: Send + Sync {
    /// Signs a proof as [`sign`] does.
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>>;
}

impl Claims {
    /// Claims for a request made now; with an access token and the control plane's
    /// nonce once there are any.
    pub fn new(
        ambient: &Ambient,
        method: &str,
        url: &str,
        access_token: Option<&str>,
        nonce: Option<String>,
    ) -> Self {
        Self {
            jti: ambient.opaque_id(),
            htm: method.to_owned(),
            htu: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            iat: ambient.now().timestamp().try_into().unwrap_or(0),
            ath: access_token.map(|token| URL_SAFE_NO_PAD.encode(Sha256::digest(token))),
            nonce,
        }
    }
}

/// Signs a proof with an Ed25519 key.
///
/// # Errors
/// If the key cannot be encoded.
pub fn sign(key: &SigningKey, claims: &Claims) -> Result<String, ProofError> {
    let failed = |error: &dyn ToString| ProofError(error.to_string());
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("dpop+jwt".into());
    header.jwk = Some(Jwk {
        common: CommonParameters::default(),
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
        }),
    });
    let der = key.to_pkcs8_der().map_err(|error| failed(&error))?;
    let key = EncodingKey::from_ed_der(der.as_bytes());
    jsonwebtoken::encode(&header, claims, &key).map_err(|error| failed(&error))
}

/// A key in this process's own memory.
impl Prover for SigningKey {
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>> {
        Box::pin(std::future::ready(sign(self, &claims)))
    }
}
