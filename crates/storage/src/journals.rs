//! A tenant's journal: the row that orders its audit entries and events, and the
//! key that signs its audit log's heads.

use armour_transparency::map::EMPTY;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::{decode::corrupt, error::Result, tx::Tx};

/// Name of the secret that signs a log's heads.
const LOG_SECRET: &str = "log";

impl Tx {
    /// The tenant's journal.
    pub(crate) fn journals(&mut self) -> Journals<'_> {
        Journals(self)
    }
}

/// The tenant's journal.
pub(crate) struct Journals<'a>(&'a mut Tx);

impl Journals<'_> {
    /// Opens a new tenant's journal: its salt, its log's key, no entries.
    pub(crate) async fn open(&mut self) -> Result<()> {
        let mut random = Zeroizing::new([0u8; 64]);
        self.0.random().fill(&mut *random);
        let (salt, seed) = random.split_at(32);
        self.0.secrets().create_salt(salt).await?;
        let seed: &[u8; 32] = seed.first_chunk().ok_or_else(|| corrupt("a seed"))?;
        let key = SigningKey::from_bytes(seed);
        self.0.secrets().put(LOG_SECRET, seed).await?;
        sqlx::query!(
            "INSERT INTO journals (tenant_id, log_key, map_root) VALUES ($1, $2, $3)",
            self.0.tenant,
            &key.verifying_key().to_bytes()[..],
            &EMPTY[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Has another key sign the audit log from now on, and erases the secret of the one
    /// before. Returns the new one.
    pub(crate) async fn replace_key(&mut self) -> Result<SigningKey> {
        let mut seed = Zeroizing::new([0u8; 32]);
        self.0.random().fill(&mut *seed);
        let key = SigningKey::from_bytes(&seed);
        self.0.secrets().put(LOG_SECRET, &*seed).await?;
        sqlx::query!(
            "UPDATE journals SET log_key = $2 WHERE tenant_id = $1",
            self.0.tenant,
            &key.verifying_key().to_bytes()[..]
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(key)
    }

    /// The key that signs the heads of the audit log.
    pub(crate) async fn signing_key(&mut self) -> Result<SigningKey> {
        let secret = self
            .0
            .secrets()
            .get(LOG_SECRET)
            .await?
            .ok_or_else(|| corrupt("the log has no key"))?;
        let secret: &[u8; 32] = secret
            .first_chunk()
            .ok_or_else(|| corrupt("the log's key has another length"))?;
        Ok(SigningKey::from_bytes(secret))
    }
}
