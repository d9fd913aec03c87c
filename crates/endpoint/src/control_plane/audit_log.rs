//! What the agent remembers of the tenant's audit log: the control plane can
//! neither swap an endpoint's key unseen nor rewrite the log for this agent.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use armour_api::{BundleGrant, DrawBundle, Role};
use armour_client::{Client, ClientError};
use armour_enclave::durable::{SHARED, append_line, write_whole};
use armour_transparency::pin::{Claimed, Pin};
use backon::Retryable as _;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    backoff,
    control_plane::grant::{GrantError, Wanted},
    state::issuance_counter::IssuanceCounter,
};

/// The pinned head, in memory and in the data folder.
pub struct AuditLog(Mutex<Option<Pinned>>);

struct Pinned {
    file: PathBuf,
    pin: Pin,
    /// Whether a log that lost entries to a restore is followed nevertheless.
    forgives: bool,
    counter: IssuanceCounter,
}

impl AuditLog {
    /// Reads the pin; the first time takes the control plane's word, or the key
    /// given.
    ///
    /// # Errors
    /// If the file cannot be used, or the log's key is another than the one given.
    pub async fn open(
        data: &Path,
        key: Option<&str>,
        forgives: bool,
        client: &Client,
    ) -> anyhow::Result<Self> {
        let file = data.join("log-pin.json");
        let pin: Pin = match file.exists() {
            true => serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?,
            false => {
                let pin = first(client).await?;
                write_whole(&file, &serde_json::to_vec(&pin)?, SHARED)?;
                pin
            }
        };
        if key.is_some_and(|key| key.trim() != pin.log_key) {
            bail!("the audit log's key is {}, not the one given", pin.log_key);
        }
        Ok(Self(Mutex::new(Some(Pinned {
            file,
            pin,
            forgives,
            counter: IssuanceCounter::open(data)?,
        }))))
    }

    /// No log at all: nothing is vouched for.
    #[cfg(feature = "clone-demo")]
    pub fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// Size of the pinned head.
    pub async fn size(&self) -> Option<u64> {
        Some(self.0.lock().await.as_ref()?.pin.head.size)
    }

    /// Goes on with a log that was shown to be behind, if a fence explains it.
    ///
    /// # Errors
    /// If it does not, or this agent is not to forgive it.
    pub async fn restart(&self, client: &Client) -> Result<(), GrantError> {
        match self.0.lock().await.as_mut() {
            Some(pinned) => pinned.restart(client).await,
            None => Ok(()),
        }
    }

    /// Asks for a grant and checks what the log says of the keys in it.
    ///
    /// # Errors
    /// If there is none, or the log does not vouch for it.
    pub async fn vouched(
        &self,
        client: &Client,
        wanted: Wanted,
    ) -> Result<BundleGrant, GrantError> {
        // Held meanwhile: the proof is against the head that is pinned now.
        let mut place = self.0.lock().await;
        let pinned = place
            .as_mut()
            .ok_or_else(|| GrantError::Untrusted("no log is pinned".into()))?;
        match pinned.vouched(client, wanted).await {
            // Either may come of a restore; the log's key has to say so.
            Err(error) if error.is_of_another_log() => {
                pinned.restart(client).await.map_err(|why| match why {
                    GrantError::Client(refusal) if refusal.is("nothing-lost") => error,
                    why => why,
                })?;
                pinned.vouched(client, wanted).await
            }
            done => done,
        }
    }
}

impl Pinned {
    async fn vouched(
        &mut self,
        client: &Client,
        wanted: Wanted,
    ) -> Result<BundleGrant, GrantError> {
        let pinned = Some(self.pin.head.size);
        let grant = match wanted {
            Wanted::New { pair } => self.request_bundle(client, pair, pinned).await?,
            Wanted::Known { bundle } => client.bundle_grant(bundle, pinned).await?,
        };
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
        let before = self.pin.head.size;
        self.pin
            .follow(proof, &claimed)
            .map_err(GrantError::Untrusted)?;
        if self.pin.head.size != before {
            self.save();
        }
        Ok(grant)
    }

    async fn request_bundle(
        &mut self,
        client: &Client,
        pair: Uuid,
        pinned: Option<u64>,
    ) -> Result<BundleGrant, GrantError> {
        let number = self.counter.next().map_err(GrantError::Uncounted)?;
        let request = DrawBundle {
            pair_id: pair,
            pinned,
            number: Some(number),
        };
        let granted = client.request_numbered_bundle(&request).await;
        if matches!(&granted, Err(error) if error.is("draw-over")) {
            let known = client.endpoint().await?.draws;
            tracing::warn!(number, known, "this folder is older than its last draw");
            self.counter.go_on_after(known);
        }
        Ok(granted?)
    }

    async fn restart(&mut self, client: &Client) -> Result<(), GrantError> {
        if !self.forgives {
            let why = "the log has lost entries that were seen of it, and this agent refuses that";
            return Err(GrantError::Untrusted(why.into()));
        }
        let restart = client.log_restart(&self.pin.head).await?;
        let lost = self.pin.restart(&restart).map_err(GrantError::Untrusted)?;
        tracing::error!(lost = lost.size, kept = restart.fence.entry.seq - 1,
            reason = %restart.fence.entry.detail["reason"],
            "the control plane's log was begun anew: its database was restored");
        // Both are the log's signed word: whoever doubts it has them here.
        let evidence = serde_json::json!({ "lost": lost, "restart": restart });
        let file = self.file.with_file_name("log-restarts.json");
        if let Err(error) = append_line(&file, &evidence.to_string()) {
            tracing::warn!(%error, file = %file.display(), "cannot keep the lost head");
        }
        self.save();
        Ok(())
    }

    fn save(&self) {
        let saved = serde_json::to_vec(&self.pin)
            .map_err(std::io::Error::other)
            .and_then(|bytes| write_whole(&self.file, &bytes, SHARED));
        if let Err(error) = saved {
            // The pin in memory still holds; after a restart an older one does.
            tracing::warn!(%error, file = %self.file.display(), "cannot save the log's head");
        }
    }
}

async fn first(client: &Client) -> anyhow::Result<Pin> {
    let log = (|| client.log_head(None))
        .retry(backoff::retries())
        .when(ClientError::is_passing)
        .notify(|error, _| tracing::warn!(%error, "waiting for the audit log's head"))
        .await
        .context("ask for the audit log's head")?;
    Pin::first(&log.log_key, log.head)
        .map_err(|why| anyhow!("the audit log's head is not to be trusted: {why}"))
}
