//! A sign-in between its two redirects: in a sealed cookie of the browser that began,
//! so that no other browser can end it, and no replica holds state.

use armour_storage::Store;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::http::problem::{ApiError, ApiResult};

/// Seconds that signing in may take.
pub const MAX_SECONDS: i64 = 600;

/// What is kept in the browser between the redirects.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    /// The tenant.
    pub tenant: Uuid,
    /// Its issuer.
    pub issuer: Uuid,
    /// The page to come back to.
    pub return_to: String,
    /// What the answer has to name.
    pub(super) state: String,
    /// What the ID token has to name.
    pub(super) nonce: String,
    /// What the code is redeemed with.
    pub(super) verifier: String,
    /// When it is too late, in seconds since 1970.
    pub(super) expires: i64,
    /// Whether it was begun anew by itself, which is done once.
    #[serde(default)]
    pub again: bool,
}

impl Flow {
    /// Whether the provider's answer is to this flow.
    pub fn answers(&self, state: &str) -> bool {
        bool::from(self.state.as_bytes().ct_eq(state.as_bytes()))
    }

    /// When it is too late, in seconds since 1970.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// What its answer names.
    pub fn state(&self) -> &str {
        &self.state
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
        let nonce: [u8; 12] = store.random().bytes();
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
