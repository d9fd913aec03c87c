//! `armour webhooks`: receivers that are told of events.

use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Call;

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Webhooks {
    /// Add a receiver; the secret that signs is shown this once.
    Create {
        url: String,
        /// A kind of event, `*` for all; may be repeated.
        #[arg(long, required = true)]
        kind: Vec<String>,
    },
    /// List receivers.
    List,
    /// Show a receiver.
    Get { id: Uuid },
    /// Remove a receiver.
    Delete { id: Uuid },
    /// List what a receiver was told.
    Deliveries { id: Uuid },
    /// Tell a receiver again.
    Replay { id: Uuid, delivery: Uuid },
}

impl Call {
    pub(super) async fn webhooks(&self, command: Webhooks) -> anyhow::Result<()> {
        match command {
            Webhooks::Create { url, kind } => {
                self.post("/v1/webhooks", json!({ "url": url, "kinds": kind }))
                    .await
            }
            Webhooks::List => {
                let columns = ["id", "url", "kinds", "created_at"];
                self.list("/v1/webhooks", &columns).await
            }
            Webhooks::Get { id } => self.get(&format!("/v1/webhooks/{id}")).await,
            Webhooks::Delete { id } => {
                let said = json!({ "id": id, "deleted": true });
                self.delete(&format!("/v1/webhooks/{id}"), said).await
            }
            Webhooks::Deliveries { id } => {
                let columns = [
                    "id",
                    "kind",
                    "state",
                    "attempts",
                    "last_status",
                    "last_error",
                    "created_at",
                ];
                self.list(&format!("/v1/webhooks/{id}/deliveries"), &columns)
                    .await
            }
            Webhooks::Replay { id, delivery } => {
                let path = format!("/v1/webhooks/{id}/deliveries/{delivery}/replay");
                self.post(&path, json!({})).await
            }
        }
    }
}
