//! The agent's standing with the control plane: enrolment, grants, heartbeats,
//! events and the lease.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_api::{BundleStatus, Endpoint, EndpointSelf, Enrol, Event, Heartbeat, Role};
use armour_client::{Client, ClientError};
use armour_enclave::{
    Enclave,
    durable::{SHARED, write_whole},
};
use backon::Retryable as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use crate::{
    backoff::{self, Backoff},
    control_plane::{
        audit_log::AuditLog,
        grant::{Grant, GrantError, Wanted},
    },
    options::Options,
};

/// Who this agent is; kept in the data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    id: Uuid,
    tenant: Uuid,
    role: Role,
}

/// An enrolled endpoint's connection to the control plane.
pub struct Session {
    client: Client,
    log: AuditLog,
    contact: Mutex<Instant>,
    heartbeat_due: Notify,
    /// What went wrong since the control plane was told last.
    error: Mutex<Option<String>>,
}

/// What a role does with events from the control plane.
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
        options: &Options,
        role: Role,
        address: Option<String>,
        enclave: &Enclave,
    ) -> anyhow::Result<Arc<Self>> {
        let file = options.data_dir.join("endpoint.json");
        let base = client(options)?;
        let identity: Identity = if file.exists() {
            serde_json::from_slice(&std::fs::read(&file)?)
                .with_context(|| format!("read {}", file.display()))?
        } else {
            let identity = enrol(options, role, address, enclave, &base).await?;
            write_whole(&file, &serde_json::to_vec(&identity)?, SHARED)?;
            identity
        };
        if identity.role != role {
            bail!(
                "{} belongs to a {}",
                file.display(),
                identity.role.into_str()
            );
        }
        let client = base.as_endpoint(
            identity.tenant,
            identity.id,
            enclave.clone(),
            options.ambient.clone(),
        );
        let log = AuditLog::open(
            &options.data_dir,
            options.log_key.as_deref(),
            !options.refuse_restored_log,
            &client,
        )
        .await?;
        Ok(Arc::new(Self {
            client,
            log,
            contact: Mutex::new(Instant::now()),
            heartbeat_due: Notify::new(),
            error: Mutex::default(),
        }))
    }

    /// A thief's standing: none, and it does not ask for any.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    #[cfg(feature = "clone-demo")]
    pub fn stolen() -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            client: Client::new("http://127.0.0.1:9", "")?,
            log: AuditLog::none(),
            contact: Mutex::new(Instant::now()),
            heartbeat_due: Notify::new(),
            error: Mutex::default(),
        }))
    }

    /// A client that calls as this endpoint.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A grant, once the audit log has vouched for the keys in it.
    ///
    /// # Errors
    /// As [`GrantError`] says.
    pub async fn grant(&self, wanted: Wanted) -> Result<Grant, GrantError> {
        let grant = self.log.vouched(&self.client, wanted).await?;
        Grant::try_from(grant).map_err(|error| GrantError::Untrusted(format!("{error:#}")))
    }

    /// The endpoint and its pairs, asked for until there is an answer.
    ///
    /// # Errors
    /// If the control plane refuses for good.
    pub async fn own(&self) -> anyhow::Result<EndpointSelf> {
        let own = (|| self.client.endpoint())
            .retry(backoff::retries())
            .when(ClientError::is_passing)
            .notify(|error, _| tracing::warn!(%error, "waiting for the control plane"))
            .await
            .context("the control plane refuses this endpoint")?;
        *self.contact.lock() = Instant::now();
        Ok(own)
    }

    /// Since when the control plane has not been heard of.
    pub fn silence(&self) -> Duration {
        self.contact.lock().elapsed()
    }

    /// Has the control plane told, with the next heartbeat, what went wrong.
    pub fn note(&self, error: impl std::fmt::Display) {
        *self.error.lock() = Some(error.to_string());
    }

    /// Sends the next heartbeat now.
    pub fn heartbeat_now(&self) {
        self.heartbeat_due.notify_one();
    }

    /// Sends heartbeats for ever.
    pub async fn send_heartbeats(self: Arc<Self>, watcher: Arc<impl Watcher>) {
        let mut backoff = Backoff::default();
        loop {
            let sent = Instant::now();
            let error = self.error.lock().take();
            let heartbeat = Heartbeat {
                bundles: watcher.bundles(),
                error: error.clone(),
                log_size: self.log.size().await,
            };
            let answer = self.client.heartbeat(&heartbeat).await;
            if let (Err(_), Some(untold)) = (&answer, error) {
                self.error.lock().get_or_insert(untold);
            }
            match answer {
                Ok(ack) => {
                    // The lease runs from when we asked, not from the answer.
                    *self.contact.lock() = sent;
                    backoff = Backoff::default();
                    if ack.log_behind
                        && let Err(error) = self.log.restart(&self.client).await
                    {
                        tracing::error!(%error, "the control plane's log has lost entries");
                        self.note(&error);
                    }
                    for status in ack.bundles {
                        watcher.status(status).await;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(watcher.heartbeat_interval()) => {}
                        () = self.heartbeat_due.notified() => {}
                    }
                }
                // The enclave is gone, and so is this agent in a moment.
                Err(ClientError::Proof(_)) => return,
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
            match self.client.events("/v1/endpoint/events", last).await {
                Ok(events) => {
                    self.heartbeat_now();
                    backoff = Backoff::default();
                    futures::pin_mut!(events);
                    while let Some(event) = events.next().await {
                        last = Some(event.seq);
                        watcher.event(event).await;
                    }
                }
                Err(ClientError::Proof(_)) => return,
                Err(error) => tracing::warn!(%error, "no events"),
            }
            backoff.wait().await;
        }
    }
}

/// A client of the control plane without credentials.
fn client(options: &Options) -> anyhow::Result<Client> {
    let authorities = options
        .tls_ca_file
        .as_deref()
        .map(|file| std::fs::read(file).with_context(|| format!("read {}", file.display())));
    let authorities = authorities.transpose()?;
    Ok(Client::trusting(
        &options.control_plane,
        "",
        authorities.as_deref(),
    )?)
}

async fn enrol(
    options: &Options,
    role: Role,
    address: Option<String>,
    enclave: &Enclave,
    base: &Client,
) -> anyhow::Result<Identity> {
    let (signing_key, kem_key) = enclave.identity().await?;
    let enrol = Enrol {
        name: options.name.clone(),
        signing_key: STANDARD.encode(signing_key),
        kem_key: STANDARD.encode(kem_key),
        address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut backoff = Backoff::default();
    let endpoint = loop {
        match try_to_enrol(options, base, &enrol).await? {
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

async fn try_to_enrol(
    options: &Options,
    base: &Client,
    enrol: &Enrol,
) -> anyhow::Result<Result<Endpoint, ClientError>> {
    let read = |file: &Path| {
        let text = std::fs::read_to_string(file);
        text.with_context(|| format!("read {}", file.display()))
    };
    match (&options.enrol_token_file, &options.enrol_identity_file) {
        (Some(file), _) => {
            let client = base.with_token(read(file)?.trim());
            Ok(client.enrol(enrol).await)
        }
        (None, Some(file)) => {
            let client = base.with_token(read(file)?.trim());
            let tenant = options.tenant.context("give the tenant with --tenant")?;
            Ok(client.enrol_workload(tenant, enrol).await)
        }
        (None, None) => bail!(
            "not enrolled yet: give an enrolment token with --enrol-token-file, or the \
             workload's own with --enrol-identity-file"
        ),
    }
}
