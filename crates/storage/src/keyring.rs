//! Secrets at rest: ChaCha20-Poly1305 under a per-tenant key that comes by
//! HKDF-SHA-256 from a versioned master key and the tenant's salt; the row's
//! identity is the associated data. A box is a random 12-byte nonce and the
//! ciphertext.

use std::collections::BTreeMap;

use armour_ambient::Random;
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Why something cannot be sealed or opened.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// The version's key was not given to this replica.
    #[error("master key version {0} is not loaded")]
    NotLoaded(i32),
    /// The box was made with another key, for another row, or altered.
    #[error("a sealed secret does not open")]
    DoesNotOpen,
    /// Not 64 hexadecimal digits.
    #[error("a master key must be 64 hexadecimal digits")]
    Malformed,
    /// The primitive refused; it does not for what we give it.
    #[error("a secret cannot be sealed")]
    Refused,
}

/// Master keys by version.
pub struct Keyring(BTreeMap<i32, Zeroizing<[u8; 32]>>);

/// Whose key, of which version.
#[derive(Clone, Copy)]
pub struct TenantKey<'a> {
    /// The tenant.
    pub tenant: Uuid,
    /// Its salt.
    pub salt: &'a [u8],
    /// The master key's version.
    pub version: i32,
}

impl Keyring {
    /// A ring without keys.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a version from the key's hexadecimal text.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn add(&mut self, version: i32, text: &str) -> Result<(), KeyringError> {
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text, &mut *key).map_err(|_| KeyringError::Malformed)?;
        self.0.insert(version, key);
        Ok(())
    }

    /// Versions that are loaded.
    pub fn versions(&self) -> impl Iterator<Item = i32> {
        self.0.keys().copied()
    }

    /// Whether a version is loaded.
    pub fn holds(&self, version: i32) -> bool {
        self.0.contains_key(&version)
    }

    /// A value by which to tell whether two replicas hold the same key. It says
    /// nothing of the key.
    ///
    /// # Errors
    /// `NotLoaded`.
    pub fn check_value(&self, version: i32) -> Result<[u8; 16], KeyringError> {
        let mut value = [0u8; 16];
        self.derive(version, &[], &[b"armour/1 check value"], &mut value)?;
        Ok(value)
    }

    /// A key for a purpose of the platform's own, that is no tenant's.
    ///
    /// # Errors
    /// `NotLoaded`.
    pub fn platform_key(
        &self,
        version: i32,
        purpose: &str,
    ) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        let mut key = Zeroizing::new([0u8; 32]);
        let info = [b"armour/1 platform ", purpose.as_bytes()];
        self.derive(version, &[], &info, &mut *key)?;
        Ok(key)
    }

    /// Seals a secret for a row.
    ///
    /// # Errors
    /// `NotLoaded`.
    pub fn seal(
        &self,
        key: TenantKey<'_>,
        row: &str,
        secret: &[u8],
        random: &Random,
    ) -> Result<Vec<u8>, KeyringError> {
        let nonce: [u8; 12] = random.bytes();
        let payload = Payload {
            msg: secret,
            aad: row.as_bytes(),
        };
        let sealed = self
            .cipher(key)?
            .encrypt(&nonce.into(), payload)
            .map_err(|_| KeyringError::Refused)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Keyring::seal`] made for the same row.
    ///
    /// # Errors
    /// `NotLoaded`, `DoesNotOpen`.
    pub fn open(
        &self,
        key: TenantKey<'_>,
        row: &str,
        boxed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let (nonce, sealed) = boxed
            .split_first_chunk::<12>()
            .ok_or(KeyringError::DoesNotOpen)?;
        let payload = Payload {
            msg: sealed,
            aad: row.as_bytes(),
        };
        self.cipher(key)?
            .decrypt(&(*nonce).into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeyringError::DoesNotOpen)
    }

    fn cipher(&self, key: TenantKey<'_>) -> Result<ChaCha20Poly1305, KeyringError> {
        let mut derived = Zeroizing::new([0u8; 32]);
        let info = [
            b"armour/1 tenant",
            &key.tenant.as_bytes()[..],
            &key.version.to_be_bytes(),
        ];
        self.derive(key.version, key.salt, &info, &mut *derived)?;
        Ok(ChaCha20Poly1305::new((&*derived).into()))
    }

    fn derive(
        &self,
        version: i32,
        salt: &[u8],
        info: &[&[u8]],
        out: &mut [u8],
    ) -> Result<(), KeyringError> {
        let master = self
            .0
            .get(&version)
            .ok_or(KeyringError::NotLoaded(version))?;
        Hkdf::<Sha256>::new(Some(salt), &**master)
            .expand_multi_info(info, out)
            .map_err(|_| KeyringError::Refused)
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_for_its_own_tenant_row_salt_and_version_only() {
        let mut ring = Keyring::new();
        ring.add(1, &"ab".repeat(32)).unwrap();
        ring.add(2, &"cd".repeat(32)).unwrap();
        let key = TenantKey {
            tenant: Uuid::from_u128(1),
            salt: &[1; 32],
            version: 1,
        };
        let mut boxed = ring
            .seal(key, "row", b"secret", &Random::seeded(1))
            .unwrap();
        assert_eq!(&**ring.open(key, "row", &boxed).unwrap(), b"secret");
        let others = [
            TenantKey {
                tenant: Uuid::from_u128(2),
                ..key
            },
            TenantKey {
                salt: &[2; 32],
                ..key
            },
            TenantKey { version: 2, ..key },
            TenantKey { version: 3, ..key },
        ];
        for other in others {
            assert!(ring.open(other, "row", &boxed).is_err());
        }
        assert!(ring.open(key, "another", &boxed).is_err());
        boxed[20] ^= 1;
        assert!(ring.open(key, "row", &boxed).is_err());
        assert!(ring.add(3, "zz").is_err());
    }
}
