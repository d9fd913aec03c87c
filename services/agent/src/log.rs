//! What the agent remembers of the tenant's audit log: the control plane can
//! neither swap an endpoint's key unseen nor rewrite the log for this agent.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use armour_api::{BundleGrant, Role};
use armour_client::{Client, ClientError};
use armour_transparency::pin::{Claimed, Pin};
use tokio::sync::Mutex;

use crate::{
    backoff::Backoff,
    session::{GrantError, write_whole},
};

/// The pinned head, in memory and in the data folder.
pub struct Log(Mutex<Option<(PathBuf, Pin)>>);

impl Log {
    /// Reads the pin; the first time takes the control plane's word, or the key
    /// given.
    ///
    /// # Errors
    /// If the file cannot be used, or the log's key is another than the one given.
    pub async fn open(data: &Path, key: Option<&str>, client: &Client) -> anyhow::Result<Self> {
        let file = data.join("log-pin.json");
        let pin: Pin = match file.exists() {
            true => serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?,
            false => {
                let pin = first(client).await?;
                write_whole(&file, &serde_json::to_vec(&pin)?)?;
                pin
            }
        };
        if key.is_some_and(|key| key.trim() != pin.log_key) {
            bail!("the audit log's key is {}, not the one given", pin.log_key);
        }
        Ok(Self(Mutex::new(Some((file, pin)))))
    }

    /// No log at all: nothing is vouched for.
    #[cfg(feature = "clone-demo")]
    pub fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// Asks for a grant and checks what the log says of the keys in it.
    ///
    /// # Errors
    /// If there is none, or the log does not vouch for it.
    pub async fn vouched(
        &self,
        ask: impl AsyncFnOnce(u64) -> Result<BundleGrant, ClientError>,
    ) -> Result<BundleGrant, GrantError> {
        // Held meanwhile: the proof is against the head that is pinned now.
        let mut place = self.0.lock().await;
        let (file, pin) = place
            .as_mut()
            .ok_or_else(|| GrantError::Untrusted("no log is pinned".into()))?;
        let grant = ask(pin.head.size).await?;
        let proof = grant
            .log
            .as_ref()
            .ok_or_else(|| GrantError::Untrusted("it comes without the log's word".into()))?;
        let claimed = [
            Claimed {
                endpoint: grant.bundle.consumer_endpoint_id,
                role: Role::Consumer,
                signing_key: &grant.consumer_signing_key,
            },
            Claimed {
                endpoint: grant.bundle.producer_endpoint_id,
                role: Role::Producer,
                signing_key: &grant.producer_signing_key,
            },
        ];
        let before = pin.head.size;
        pin.follow(proof, &claimed).map_err(GrantError::Untrusted)?;
        if pin.head.size != before {
            let saved = serde_json::to_vec(&*pin)
                .map_err(std::io::Error::other)
                .and_then(|bytes| write_whole(file, &bytes));
            if let Err(error) = saved {
                // The pin in memory still holds; after a restart an older one does.
                tracing::warn!(%error, file = %file.display(), "cannot save the log's head");
            }
        }
        Ok(grant)
    }
}

async fn first(client: &Client) -> anyhow::Result<Pin> {
    let mut backoff = Backoff::default();
    loop {
        match client.log_head(None).await {
            Ok(log) => {
                return Pin::first(&log.log_key, log.head)
                    .map_err(|why| anyhow!("the audit log's head is not to be trusted: {why}"));
            }
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "waiting for the audit log's head");
                backoff.wait().await;
            }
            Err(error) => return Err(error).context("ask for the audit log's head"),
        }
    }
}
