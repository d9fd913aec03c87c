//! The tenant, pair and enrolment tokens of `armour dev`, made once.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use armour_api::{NewPair, Policy, Role};
use armour_client::Client;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::secrets::write_secret;

/// What `armour demo` and operator commands need to know of `armour dev`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DevEnvironment {
    /// The control plane.
    pub control_plane: String,
    /// Where the consumer's agent takes plain HTTP.
    pub consumer: SocketAddr,
    /// The pair.
    pub pair: Uuid,
}

impl DevEnvironment {
    /// Opens the environment of a data folder; the first time registers it.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn open(
        data: &Path,
        base: &str,
        consumer: SocketAddr,
        platform: &Client,
    ) -> anyhow::Result<Self> {
        let file = data.join("dev.json");
        let pair = match Self::read(data) {
            Ok(known) => known.pair,
            Err(_) => register(data, platform).await?,
        };
        let environment = Self {
            control_plane: base.to_owned(),
            consumer,
            pair,
        };
        std::fs::write(file, serde_json::to_vec_pretty(&environment)?)?;
        Ok(environment)
    }

    /// Reads what a running `armour dev` has written.
    ///
    /// # Errors
    /// If it has not.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let file = data.join("dev.json");
        let bytes = std::fs::read(&file)
            .with_context(|| format!("{}: is `armour dev` running?", file.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Has the consumer's agent, whose endpoint has ended or will, enrol anew: it stays out until there
/// is another token.
///
/// # Errors
/// If its folder cannot be replaced.
pub fn start_afresh(data: &Path, token: &str) -> anyhow::Result<()> {
    let (folder, ended) = (data.join("consumer"), data.join("consumer-ended"));
    if ended.exists() {
        std::fs::remove_dir_all(&ended)?;
    }
    std::fs::rename(&folder, &ended).with_context(|| format!("replace {}", folder.display()))?;
    // Last: the agent begins in the folder's place once it is there.
    write_secret(&data.join("consumer-enrolment"), token)
}

async fn register(data: &Path, platform: &Client) -> anyhow::Result<Uuid> {
    let created = platform.create_tenant("dev").await?;
    write_secret(&data.join("operator-token"), &created.token)?;
    let operator = platform.with_token(created.token);
    let consumer = operator.create_party(Role::Consumer, "laptop").await?;
    let producer = operator.create_party(Role::Producer, "files").await?;
    let pair = operator
        .create_pair(&NewPair {
            consumer_id: consumer.id,
            producer_id: producer.id,
            policy: Policy {
                report_interval_ms: 50,
                heartbeat_interval_ms: 1_000,
                empty_exchange_interval_ms: 10_000,
                ..Policy::default()
            },
        })
        .await?;
    for (role, party) in [(Role::Consumer, consumer.id), (Role::Producer, producer.id)] {
        let token = operator.create_enrolment_token(role, party).await?;
        let file = data.join(format!("{}-enrolment", role.into_str()));
        write_secret(&file, &token.token)?;
    }
    Ok(pair.id)
}
