//! What the agent remembers of the tenant's audit log: the control plane can
//! neither swap an endpoint's key unseen nor rewrite the log for this agent.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use armour_api::{BundleGrant, KeyProof, LogHead, LogKeyRotation, ProblemType, Role, SignedHead};
use armour_client::{Client, ClientError};
use armour_enclave::durable::{SHARED, append_line, write_whole};
use armour_transparency::{
    head,
    pin::{Claimed, Pin},
    states::{StateError, check_states},
};
use backon::Retryable as _;
use serde_json::json;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    grant::{GrantError, granted_ends},
    log_time::LogTime,
    signer::Signer,
};
use crate::backoff;

/// The pinned head, in memory and in the data folder.
pub struct AuditLog(pub(super) Mutex<Option<Pinned>>);

pub(super) struct Pinned {
    file: PathBuf,
    pub(super) pin: Pin,
    /// How late it is by its heads.
    time: LogTime,
    /// Whether a log that lost entries to a restore is followed nevertheless.
    pub(super) forgives: bool,
    /// Its openings carry the head.
    enclave: Arc<dyn Signer>,
}

impl AuditLog {
    /// Reads the pin; the first time takes the control plane's word, or the key
    /// given, which may be an earlier one of the log's.
    ///
    /// # Errors
    /// If the file cannot be used, or the key given is none of the log's.
    pub async fn open(
        data: &Path,
        key: Option<&str>,
        forgives: bool,
        client: &Client,
        enclave: Arc<dyn Signer>,
    ) -> anyhow::Result<Self> {
        let file = data.join("log-pin.json");
        let known = file.exists();
        let pin: Pin = match known {
            true => serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?,
            false => Pin::first(&log_head(client, None).await?)
                .map_err(|why| anyhow!("the audit log's head is not to be trusted: {why}"))?,
        };
        let mut pinned = Pinned {
            file,
            time: LogTime::default(),
            pin,
            forgives,
            enclave,
        };
        if let Some(key) = key.map(str::trim) {
            let given = head::public_key(key).map_err(|why| anyhow!("the log's key: {why}"))?;
            // It may be one that followed after this agent was last here.
            if known && !pinned.pin.keys.holds(&given) {
                pinned.catch_up(client).await?;
            }
            if !pinned.pin.keys.holds(&given) {
                let present = pinned.pin.keys.present();
                bail!("the audit log's key is {present}, and the one given is none of its keys");
            }
        }
        if !known {
            write_whole(&pinned.file, &serde_json::to_vec(&pinned.pin)?, SHARED)?;
        }
        pinned.hand_over().await;
        Ok(Self(Mutex::new(Some(pinned))))
    }

    /// No log at all: nothing is vouched for.
    #[cfg(any(test, feature = "clone-demo"))]
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

    /// Looks whether the control plane still holds what was seen of its log, and goes on with
    /// it as [`AuditLog::restart`] does where it does not.
    ///
    /// # Errors
    /// As [`AuditLog::restart`], or if the control plane does not say.
    pub async fn look_behind(&self, client: &Client) -> Result<(), GrantError> {
        let Some(size) = self.size().await else {
            return Ok(());
        };
        match client.log_head(Some(size)).await {
            Err(error) if error.is("log-behind") => self.restart(client).await,
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Asks for a bundle's grant and checks what the log says of the endpoints in it: their
    /// long-term keys, and by a head no older than the lease that they may act, with just
    /// these starts, certificates and address.
    ///
    /// # Errors
    /// If there is none, or the log does not vouch for it.
    pub async fn vouched(&self, client: &Client, bundle: Uuid) -> Result<BundleGrant, GrantError> {
        // Held meanwhile: the proof is against the head that is pinned now.
        let mut place = self.0.lock().await;
        let pinned = place
            .as_mut()
            .ok_or_else(|| GrantError::Untrusted("no log is pinned".into()))?;
        match pinned.vouched(client, bundle).await {
            // What it names may have changed while it was read.
            Err(GrantError::Outdated(_)) => pinned.vouched(client, bundle).await,
            // Either may come of a restore; the log's key has to say so.
            Err(error) if error.is_of_another_log() => {
                pinned.restart(client).await.map_err(|why| match why {
                    GrantError::Client(refusal) if refusal.is(ProblemType::NothingLost.name()) => {
                        error
                    }
                    why => why,
                })?;
                pinned.vouched(client, bundle).await
            }
            done => done,
        }
    }
}

impl Pinned {
    async fn vouched(&mut self, client: &Client, bundle: Uuid) -> Result<BundleGrant, GrantError> {
        let pinned = self.pin.head.size;
        let grant = client.bundle_grant(bundle, Some(pinned)).await?;
        let proof = grant
            .log
            .as_ref()
            .ok_or_else(|| GrantError::Untrusted("it comes without the log's word".into()))?;
        let ends = [
            (Role::Consumer, &grant.consumer),
            (Role::Producer, &grant.producer),
        ];
        let claimed = ends.map(|(role, end)| Claimed {
            endpoint: end.endpoint_id,
            role,
            signing_key: &end.signing_key,
        });
        self.follow(proof, &claimed)
            .await
            .map_err(GrantError::Untrusted)?;
        let lease = Duration::from_millis(grant.policy.lease_ms.into());
        if proof.head.size < pinned || !self.time.is_within(proof.head.at, lease) {
            let why = "its head of the log is older than the pair's lease, or than one seen before";
            return Err(GrantError::Outdated(why.into()));
        }
        let ends = granted_ends(&grant).map_err(GrantError::Untrusted)?;
        check_states(proof, &ends).map_err(|error| match error {
            StateError::Unproven(why) => GrantError::Untrusted(why),
            StateError::Otherwise(why) => GrantError::Outdated(why),
        })?;
        Ok(grant)
    }

    /// Follows the log to its latest head.
    async fn catch_up(&mut self, client: &Client) -> anyhow::Result<()> {
        let latest = log_head(client, Some(self.pin.head.size)).await?;
        self.follow(&to_follow(latest), &[])
            .await
            .map_err(|why| anyhow!("the audit log is not to be trusted: {why}"))
    }

    /// Follows the log to a head, which has to hold these keys.
    pub(super) async fn follow(
        &mut self,
        proof: &KeyProof,
        claimed: &[Claimed<'_>],
    ) -> Result<(), String> {
        self.check_rotations(&proof.rotations)?;
        self.check_head(&proof.head)?;
        let before = (self.pin.head.size, self.pin.keys.rotations().len());
        self.pin.follow(proof, claimed)?;
        self.time.saw(proof.head.at);
        let rotations = self.pin.keys.rotations();
        for rotation in &rotations[before.1..] {
            tracing::info!(
                number = rotation.number,
                key = rotation.new_key,
                "the audit log's key was rotated"
            );
        }
        if (self.pin.head.size, rotations.len()) != before {
            self.moved().await;
        }
        Ok(())
    }

    /// Refuses a head that the log's key signed beside the pinned one, of as many entries and
    /// yet another, and keeps both.
    fn check_head(&self, head: &SignedHead) -> Result<(), String> {
        let pinned = &self.pin.head;
        if !head::contradict(pinned, head) || self.pin.keys.check(head).is_err() {
            return Ok(());
        }
        let why = "the log's key signed two different heads of one size";
        tracing::error!(size = head.size, "{why}");
        let evidence = json!({ "why": why, "pinned": pinned, "other": head });
        self.keep_evidence("log-alarms.json", &evidence);
        Err(why.into())
    }

    /// Refuses rotations of which one contradicts what was seen, and keeps both.
    pub(super) fn check_rotations(&self, rotations: &[LogKeyRotation]) -> Result<(), String> {
        let Some(two) = self.pin.keys.contradiction(rotations) else {
            return Ok(());
        };
        let why = "a key of the log was followed by two others";
        tracing::error!(
            number = two.known.number,
            known = two.known.new_key,
            other = two.other.new_key,
            "{why}"
        );
        self.keep_evidence("log-alarms.json", &json!({ "why": why, "rotations": two }));
        Err(why.into())
    }

    /// Whether the control plane shows how its log came to another key than the one that
    /// was seen.
    pub(super) async fn look_for_two_rotations(&self, client: &Client) -> Result<(), String> {
        match client.log_head(None).await {
            Ok(log) => self.check_rotations(&log.rotations),
            Err(_) => Ok(()),
        }
    }

    pub(super) async fn restart(&mut self, client: &Client) -> Result<(), GrantError> {
        if !self.forgives {
            let why = "the log has lost entries that were seen of it, and this agent refuses that";
            return Err(GrantError::Untrusted(why.into()));
        }
        let restart = match client.log_restart(&self.pin.head).await {
            // What was seen is not the log's word, as far as it knows.
            Err(error) if error.is(ProblemType::InvalidRequest.name()) => {
                let seen = self.look_for_two_rotations(client).await;
                seen.map_err(GrantError::Untrusted)?;
                return Err(error.into());
            }
            answer => answer?,
        };
        self.check_rotations(&restart.rotations)
            .map_err(GrantError::Untrusted)?;
        let lost = self.pin.restart(&restart).map_err(GrantError::Untrusted)?;
        self.time.begin_anew();
        tracing::error!(lost = lost.size, kept = restart.fence.entry.seq - 1,
            reason = %restart.fence.entry.detail["reason"],
            "the control plane's log was begun anew: its database was restored");
        // Both are the log's signed word: whoever doubts it has them here.
        let evidence = json!({ "lost": lost, "restart": restart });
        self.keep_evidence("log-restarts.json", &evidence);
        self.moved().await;
        Ok(())
    }

    /// Keeps what the log signed and should not have.
    pub(super) fn keep_evidence(&self, name: &str, evidence: &serde_json::Value) {
        let file = self.file.with_file_name(name);
        if let Err(error) = append_line(&file, &evidence.to_string()) {
            tracing::warn!(%error, file = %file.display(), "cannot keep evidence of the log");
        }
    }

    async fn moved(&self) {
        let saved = serde_json::to_vec(&self.pin)
            .map_err(std::io::Error::other)
            .and_then(|bytes| write_whole(&self.file, &bytes, SHARED));
        if let Err(error) = saved {
            // The pin in memory still holds; after a restart an older one does.
            tracing::warn!(%error, file = %self.file.display(), "cannot save the log's head");
        }
        self.hand_over().await;
    }

    /// Has openings carry the head.
    async fn hand_over(&self) {
        // Pinned heads were read before, so this one has an encoding.
        if let Some(head) = head::encode(&self.pin.head)
            && let Err(error) = self.enclave.log_head(head).await
        {
            tracing::warn!(%error, "openings do not carry the log's head");
        }
    }
}

/// The log's latest head, however long it takes.
async fn log_head(client: &Client, since: Option<u64>) -> anyhow::Result<LogHead> {
    (|| client.log_head(since))
        .retry(backoff::retries())
        .when(ClientError::is_passing)
        .notify(|error, _| tracing::warn!(%error, "waiting for the audit log's head"))
        .await
        .context("ask for the audit log's head")
}

/// The proof that leads to a head, of no keys.
pub(super) fn to_follow(log: LogHead) -> KeyProof {
    KeyProof {
        head: log.head,
        consistency: log.consistency,
        rotations: log.rotations,
        keys: Vec::new(),
        states: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
