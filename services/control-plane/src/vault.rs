//! Secrets at rest: ChaCha20-Poly1305 under a per-tenant key that comes by
//! HKDF-SHA-256 from a versioned master key; the row's identity is the
//! associated data. A box is a random 12-byte nonce and the ciphertext.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand::Rng;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Wraps and unwraps for all tenants under one master key.
pub struct Vault {
    version: i32,
    master: Zeroizing<[u8; 32]>,
}

impl Vault {
    /// A vault from the master key's hexadecimal text.
    ///
    /// # Errors
    /// If it is not 64 hexadecimal digits.
    pub fn new(version: i32, master: &str) -> anyhow::Result<Self> {
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(master, &mut *key)?;
        Ok(Self {
            version,
            master: key,
        })
    }

    /// The master key's version.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Wraps a secret for a row.
    ///
    /// # Errors
    /// If the secret is larger than the cipher takes.
    pub fn wrap(&self, tenant: Uuid, row: &str, secret: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut nonce = [0u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload {
            msg: secret,
            aad: row.as_bytes(),
        };
        let sealed = self
            .cipher(tenant, self.version)?
            .encrypt(&nonce.into(), payload)
            .map_err(|_| anyhow::anyhow!("wrap"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Unwraps what [`Vault::wrap`] made for the same row.
    ///
    /// # Errors
    /// If it was made under another key or version or for another row.
    pub fn unwrap(
        &self,
        tenant: Uuid,
        row: &str,
        version: i32,
        boxed: &[u8],
    ) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        anyhow::ensure!(
            version == self.version,
            "master key version {version} is not loaded"
        );
        let (nonce, sealed) = boxed
            .split_first_chunk::<12>()
            .ok_or_else(|| anyhow::anyhow!("box is too short"))?;
        let payload = Payload {
            msg: sealed,
            aad: row.as_bytes(),
        };
        self.cipher(tenant, version)?
            .decrypt(&(*nonce).into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| anyhow::anyhow!("box does not open"))
    }

    fn cipher(&self, tenant: Uuid, version: i32) -> anyhow::Result<ChaCha20Poly1305> {
        let mut key = Zeroizing::new([0u8; 32]);
        let info = [
            b"armour/1 tenant",
            &tenant.as_bytes()[..],
            &version.to_be_bytes(),
        ];
        Hkdf::<Sha256>::new(None, &*self.master)
            .expand_multi_info(&info, &mut *key)
            .map_err(|_| anyhow::anyhow!("derive the tenant's key"))?;
        Ok(ChaCha20Poly1305::new((&*key).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_for_its_own_tenant_and_row_only() {
        let vault = Vault::new(1, &"ab".repeat(32)).unwrap();
        let (tenant, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut boxed = vault.wrap(tenant, "row", b"secret").unwrap();
        assert_eq!(&*vault.unwrap(tenant, "row", 1, &boxed).unwrap(), b"secret");
        assert!(vault.unwrap(other, "row", 1, &boxed).is_err());
        assert!(vault.unwrap(tenant, "another", 1, &boxed).is_err());
        assert!(vault.unwrap(tenant, "row", 2, &boxed).is_err());
        boxed[20] ^= 1;
        assert!(vault.unwrap(tenant, "row", 1, &boxed).is_err());
    }
}
