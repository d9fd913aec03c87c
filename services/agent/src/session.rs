//! The agent's standing with the control plane: enrolment, tokens, heartbeats,
//! events and the lease.

use std::{
    future::Future,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use armour_api::{BundleStatus, EndpointSelf, Enrol, Event, Role};
use armour_client::Client;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    backoff::Backoff,
    enclave::{Enclave, EnclaveError},
    options::Common,
};

/// A token is used for this long; it lives twice as long.
const TOKEN_USE: Duration = Duration::from_secs(60);

/// Who this agent is; kept in the data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    id: Uuid,
    tenant: Uuid,
    role: Role,
}

/// An enrolled endpoint's connection to the control plane.
pub struct Session {
    base: Client,
    enclave: Enclave,
    identity: Identity,
    token: Mutex<Option<(Instant, String)>>,
    contact: Mutex<Instant>,
    beat: Notify,
}

/// What a role does with news from the control plane.
pub trait Watcher: Send + Sync + 'static {
    /// The bundles held.
    fn bundles(&self) -> Vec<Uuid>;
    /// How often to send a sign of life.
    fn heartbeat_interval(&self) -> Duration;
    /// A bundle's state as the control plane has it.
    fn status(&self, status: BundleStatus) -> impl Future<Output = ()> + Send;
    /// Something happened.
    fn event(&self, event: Event) -> impl Future<Output = ()> + Send;
}

impl Session {
    /// Loads the identity; at the first start enrols.
    ///
    /// # Errors
    /// If there is neither an identity nor a valid enrolment token.
    pub async fn open(
        common: &Common,
        role: Role,
        address: Option<String>,
        enclave: &Enclave,
    ) -> anyhow::Result<Arc<Self>> {
        let file = common.data_dir.join("endpoint.json");
        let base = Client::new(&common.control_plane, "")?;
        let identity: Identity = if file.exists() {
            serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?
        } else {
            let identity = enrol(common, role, address, enclave, &base).await?;
            write_whole(&file, &serde_json::to_vec(&identity)?)?;
            identity
        };
        if identity.role != role {
            bail!("{} belongs to a {}", file.display(), identity.role.as_str());
        }
        Ok(Arc::new(Self {
            base,
            enclave: enclave.clone(),
            identity,
            token: Mutex::new(None),
            contact: Mutex::new(Instant::now()),
            beat: Notify::new(),
        }))
    }

    /// A thief's standing: none, and it does not ask for any.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    #[cfg(feature = "clone-demo")]
    pub fn stolen(
        enclave: &Enclave,
        binding: &crate::enclave::ipc::Binding,
    ) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            base: Client::new("http://127.0.0.1:9", "")?,
            enclave: enclave.clone(),
            identity: Identity {
                id: Uuid::from_bytes(binding.consumer),
                tenant: Uuid::from_bytes(binding.tenant),
                role: Role::Consumer,
            },
            token: Mutex::new(None),
            contact: Mutex::new(Instant::now()),
            beat: Notify::new(),
        }))
    }

    /// A client with a valid token.
    ///
    /// # Errors
    /// If the enclave is gone.
    pub async fn client(&self) -> Result<Client, EnclaveError> {
        let kept = lock(&self.token).clone();
        if let Some((since, token)) = kept
            && since.elapsed() < TOKEN_USE
        {
            return Ok(self.base.with_token(token));
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let token = self
            .enclave
            .token(
                self.identity.tenant.into_bytes(),
                self.identity.id.into_bytes(),
                now,
            )
            .await?;
        *lock(&self.token) = Some((Instant::now(), token.clone()));
        Ok(self.base.with_token(token))
    }

    /// The endpoint and its pairs, asked for until there is an answer.
    ///
    /// # Errors
    /// If the control plane refuses for good.
    pub async fn own(&self) -> anyhow::Result<EndpointSelf> {
        let mut backoff = Backoff::default();
        loop {
            match self.client().await?.endpoint().await {
                Ok(own) => {
                    *lock(&self.contact) = Instant::now();
                    return Ok(own);
                }
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "waiting for the control plane");
                    backoff.wait().await;
                }
                Err(error) => return Err(error).context("the control plane refuses this endpoint"),
            }
        }
    }

    /// Since when the control plane has not been heard of.
    pub fn silence(&self) -> Duration {
        lock(&self.contact).elapsed()
    }

    /// Sends the next heartbeat now.
    pub fn hurry(&self) {
        self.beat.notify_one();
    }

    /// Sends heartbeats for ever.
    pub async fn beat(self: Arc<Self>, watcher: Arc<impl Watcher>) {
        let mut backoff = Backoff::default();
        loop {
            let sent = Instant::now();
            let answer = match self.client().await {
                Ok(client) => client.heartbeat(watcher.bundles()).await,
                Err(_) => return,
            };
            match answer {
                Ok(ack) => {
                    // The lease runs from when we asked, not from the answer.
                    *lock(&self.contact) = sent;
                    backoff = Backoff::default();
                    for status in ack.bundles {
                        watcher.status(status).await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(watcher.heartbeat_interval()) => {}
                        () = self.beat.notified() => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, silent_for = ?self.silence(), "no heartbeat");
                    backoff.wait().await;
                }
            }
        }
    }

    /// Follows events for ever; after each reconnection a heartbeat tells what
    /// was missed.
    pub async fn follow(self: Arc<Self>, watcher: Arc<impl Watcher>) {
        let mut last = None;
        let mut backoff = Backoff::default();
        loop {
            let Ok(client) = self.client().await else {
                return;
            };
            match client.events("/v1/endpoint/events", last).await {
                Ok(events) => {
                    self.hurry();
                    backoff = Backoff::default();
                    futures::pin_mut!(events);
                    while let Some(event) = events.next().await {
                        last = Some(event.seq);
                        watcher.event(event).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "no events"),
            }
            backoff.wait().await;
        }
    }
}

async fn enrol(
    common: &Common,
    role: Role,
    address: Option<String>,
    enclave: &Enclave,
    base: &Client,
) -> anyhow::Result<Identity> {
    let Some(token_file) = &common.enrol_token_file else {
        bail!("not enrolled yet: give an enrolment token with --enrol-token-file");
    };
    let token = std::fs::read_to_string(token_file)
        .with_context(|| format!("read {}", token_file.display()))?;
    let (signing_key, kem_key) = enclave.identity().await?;
    let enrol = Enrol {
        name: common.name.clone(),
        signing_key: STANDARD.encode(signing_key),
        kem_key: STANDARD.encode(kem_key),
        address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let client = base.with_token(token.trim());
    let mut backoff = Backoff::default();
    let endpoint = loop {
        match client.enrol(&enrol).await {
            Ok(endpoint) => break endpoint,
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "cannot enrol yet");
                backoff.wait().await;
            }
            Err(error) => return Err(error).context("enrol"),
        }
    };
    tracing::info!(endpoint = %endpoint.id, "enrolled");
    Ok(Identity {
        id: endpoint.id,
        tenant: endpoint.tenant_id,
        role,
    })
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("new");
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
