//! DPoP proofs (RFC 9449, section 4.2): an endpoint shows that it holds its key.

use armour_ambient::Ambient;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use futures::future::BoxFuture;
use jsonwebtoken::{
    Algorithm, Header,
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
/// If the claims cannot be encoded.
pub fn sign(key: &SigningKey, claims: &Claims) -> Result<String, ProofError> {
    let public = key.verifying_key();
    sign_with(&public, claims, |message| key.sign(message).to_bytes())
}

/// Makes a proof that whoever holds the Ed25519 key `public` signs (RFC 8032).
///
/// # Errors
/// If the claims cannot be encoded.
pub fn sign_with(
    public: &VerifyingKey,
    claims: &Claims,
    signature: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<String, ProofError> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("dpop+jwt".into());
    header.jwk = Some(Jwk {
        common: CommonParameters::default(),
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(public.as_bytes()),
        }),
    });
    let mut token = encoded(&header)?;
    token.push('.');
    token.push_str(&encoded(claims)?);
    let signature = signature(token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

fn encoded(part: &impl Serialize) -> Result<String, ProofError> {
    let json = serde_json::to_vec(part).map_err(|error| ProofError(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// A key in this process's own memory.
impl Prover for SigningKey {
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>> {
        Box::pin(std::future::ready(sign(self, &claims)))
    }
}
