//! `armour keys`: the service's own keys.

use std::time::Duration;

use anyhow::anyhow;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use super::operator::Operator;

/// How often the progress is read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const SIGNING_KEY: [&str; 4] = ["kid", "created_at", "activates_at", "retires_at"];

/// `armour keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List versions of the master key.
    List,
    /// Seal every secret anew under another version; waits until it is done. If a
    /// rotation is under way already, follows that.
    Rotate {
        /// The version, which every replica has to have loaded.
        #[arg(long)]
        to: i32,
    },
    /// List rotations, or show one.
    Rotations {
        /// This one alone.
        id: Option<Uuid>,
    },
    /// Refuse a version from now on.
    Retire { version: i32 },
    /// List keys that sign access tokens.
    Signing,
    /// Replace the key that signs access tokens.
    RotateSigning,
    /// Show the public keys of access tokens, as anybody may.
    Public,
}

impl Keys {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List => {
                let columns = ["version", "state", "loaded", "created_at", "retired_at"];
                operator.list(client.master_keys(), &columns).await
            }
            Self::Rotate { to } => rotate(operator, to).await,
            Self::Rotations { id: Some(id) } => operator.show(client.rotation(id)).await,
            Self::Rotations { id: None } => {
                let columns = [
                    "id",
                    "to_version",
                    "total",
                    "done",
                    "started_at",
                    "finished_at",
                ];
                operator.list(client.rotations(), &columns).await
            }
            Self::Retire { version } => {
                client.retire_master_key(version).await?;
                operator.say(&json!({ "version": version, "retired": true }))
            }
            Self::Signing => operator.list(client.signing_keys(), &SIGNING_KEY).await,
            Self::RotateSigning => {
                operator
                    .list(client.rotate_signing_key(), &SIGNING_KEY)
                    .await
            }
            Self::Public => operator.show(client.public_keys()).await,
        }
    }
}

async fn rotate(operator: &Operator, to: i32) -> anyhow::Result<()> {
    let client = &operator.client;
    let mut rotation = match client.create_rotation(to).await {
        Ok(begun) => begun,
        // Somebody asked before; what is under way is the same work.
        Err(error) if error.is("rotation-running") => {
            let all = client.rotations().await?;
            let running = all.into_iter().find(|one| one.finished_at.is_none());
            let same = running.filter(|one| one.to_version == to);
            same.ok_or_else(|| anyhow!("a rotation to another version is under way"))?
        }
        Err(error) => return Err(error.into()),
    };
    let bar = ProgressBar::new(count(rotation.total));
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} secrets, {per_sec}, {eta} left",
    )?);
    while rotation.finished_at.is_none() {
        bar.set_position(count(rotation.done));
        tokio::time::sleep(POLL_INTERVAL).await;
        match client.rotation(rotation.id).await {
            Ok(now) => rotation = now,
            // The work goes on without us.
            Err(error) if error.is_passing() => bar.println(format!("{error}; asking again")),
            Err(error) => return Err(error.into()),
        }
    }
    bar.finish_and_clear();
    operator.say(&rotation)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
