//! `armour webhooks`: receivers that are told of events.

use armour_api::NewWebhook;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator::Operator;

/// `armour webhooks`.
#[derive(Debug, Subcommand)]
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
    /// Have a receiver told again that was disabled, since it said that it is gone.
    Enable { id: Uuid },
    /// Remove a receiver.
    Delete { id: Uuid },
    /// List what a receiver was told.
    Deliveries { id: Uuid },
    /// Tell a receiver again.
    Replay { id: Uuid, delivery: Uuid },
}

impl Webhooks {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create { url, kind } => {
                let new = NewWebhook { url, kinds: kind };
                operator.show(client.create_webhook(new)).await
            }
            Self::List => {
                let columns = ["id", "url", "kinds", "created_at", "disabled_at"];
                operator.pages(client.webhooks(), &columns).await
            }
            Self::Get { id } => operator.show(client.webhook(id)).await,
            Self::Enable { id } => operator.show(client.enable_webhook(id)).await,
            Self::Delete { id } => {
                client.delete_webhook(id).await?;
                operator.say(&json!({ "id": id, "deleted": true }))
            }
            Self::Deliveries { id } => {
                let columns = [
                    "id",
                    "kind",
                    "state",
                    "attempts",
                    "last_status",
                    "last_error",
                    "created_at",
                ];
                operator.pages(client.deliveries(id), &columns).await
            }
            Self::Replay { id, delivery } => operator.show(client.replay(id, delivery)).await,
        }
    }
}
