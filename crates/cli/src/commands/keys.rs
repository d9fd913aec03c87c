//! `armour keys`: the service's own keys.

use std::time::Duration;

use armour_api::{KeyRotation, NewKeyRotation};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;

/// How often the progress is asked for.
const ASK: Duration = Duration::from_millis(250);

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
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

impl Call {
    pub(super) async fn keys(&self, command: Keys) -> anyhow::Result<()> {
        match command {
            Keys::List => {
                let keys: Value = self.client.get("/v1/platform/master-keys").await?;
                let columns = ["version", "state", "loaded", "created_at", "retired_at"];
                self.output.print(&keys, &columns)
            }
            Keys::Rotate { to } => self.rotate(to).await,
            Keys::Rotations { id: Some(id) } => {
                self.get(&format!("/v1/platform/rotations/{id}")).await
            }
            Keys::Rotations { id: None } => {
                let columns = [
                    "id",
                    "to_version",
                    "total",
                    "done",
                    "started_at",
                    "finished_at",
                ];
                let rotations = self.client.get("/v1/platform/rotations").await?;
                self.output.print(&rotations, &columns)
            }
            Keys::Public => self.get("/v1/keys").await,
            Keys::Retire { version } => {
                let path = format!("/v1/platform/master-keys/{version}/retire");
                self.client
                    .send(reqwest::Method::POST, &path, None::<&()>)
                    .await?;
                self.show(&json!({ "version": version, "retired": true }))
            }
            Keys::Signing => {
                let keys: Value = self.client.get("/v1/platform/signing-keys").await?;
                self.signing_keys(&keys)
            }
            Keys::RotateSigning => {
                let keys: Value = self
                    .client
                    .post("/v1/platform/signing-keys", &json!({}))
                    .await?;
                self.signing_keys(&keys)
            }
        }
    }

    fn signing_keys(&self, keys: &Value) -> anyhow::Result<()> {
        let columns = ["kid", "created_at", "activates_at", "retires_at"];
        self.output.print(keys, &columns)
    }

    async fn rotate(&self, to: i32) -> anyhow::Result<()> {
        let new = NewKeyRotation { to_version: to };
        let path = "/v1/platform/rotations";
        let mut rotation: KeyRotation = match self.client.post(path, &new).await {
            Ok(begun) => begun,
            // Somebody asked before; what is under way is the same work.
            Err(error) if error.is("rotation-running") => {
                let all: Vec<KeyRotation> = self.client.get(path).await?;
                let running = all.into_iter().find(|one| one.finished_at.is_none());
                let same = running.filter(|one| one.to_version == to);
                same.ok_or_else(|| anyhow::anyhow!("a rotation to another version is under way"))?
            }
            Err(error) => return Err(error.into()),
        };
        let bar = ProgressBar::new(count(rotation.total));
        bar.set_style(ProgressStyle::with_template(
            "{bar:30} {pos}/{len} secrets, {per_sec}, {eta} left",
        )?);
        while rotation.finished_at.is_none() {
            bar.set_position(count(rotation.done));
            tokio::time::sleep(ASK).await;
            match self.client.get(&format!("{path}/{}", rotation.id)).await {
                Ok(now) => rotation = now,
                // The work goes on without us.
                Err(error) if error.is_passing() => bar.println(format!("{error}; asking again")),
                Err(error) => return Err(error.into()),
            }
        }
        bar.finish_and_clear();
        self.show(&serde_json::to_value(rotation)?)
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
