//! The service's own keys; needs the platform's token.

use armour_api::{KeyRotation, KeyVersion, NewKeyRotation, SigningKey};
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Call, Client, Result};

impl Client {
    /// Versions of the master key.
    pub fn master_keys(&self) -> Call<'_, Vec<KeyVersion>> {
        self.read("/v1/platform/master-keys")
    }

    /// Refuses a version of the master key from now on.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn retire_master_key(&self, version: i32) -> Result<()> {
        self.post_empty(&format!("/v1/platform/master-keys/{version}/retire"))
            .await
    }

    /// Begins to seal every secret anew under another version of the master key.
    pub fn create_rotation(&self, to_version: i32) -> Call<'_, KeyRotation, NewKeyRotation> {
        let new = NewKeyRotation { to_version };
        self.act("/v1/platform/rotations", new)
    }

    /// Rotations of the master key.
    pub fn rotations(&self) -> Call<'_, Vec<KeyRotation>> {
        self.read("/v1/platform/rotations")
    }

    /// A rotation.
    pub fn rotation(&self, id: Uuid) -> Call<'_, KeyRotation> {
        self.read(format!("/v1/platform/rotations/{id}"))
    }

    /// Keys that sign access tokens.
    pub fn signing_keys(&self) -> Call<'_, Vec<SigningKey>> {
        self.read("/v1/platform/signing-keys")
    }

    /// Replaces the key that signs access tokens.
    pub fn rotate_signing_key(&self) -> Call<'_, Vec<SigningKey>, Map<String, Value>> {
        self.act("/v1/platform/signing-keys", Map::new())
    }

    /// The public keys of access tokens, as anybody may see them.
    pub fn public_keys(&self) -> Call<'_, JwkSet> {
        self.read("/v1/keys")
    }
}
