//! `armour bundles`: all tickets under one minted secret.

use clap::Subcommand;
use serde_json::Value;
use uuid::Uuid;

use super::{
    names::{NameOrId, Named},
    operator::Operator,
};

/// `armour bundles`.
#[derive(Debug, Subcommand)]
pub enum Bundles {
    /// List bundles.
    List {
        /// Of this pair only.
        #[arg(long)]
        pair: Option<NameOrId>,
    },
    /// Show a bundle.
    Get { id: Uuid },
    /// The ledger's lane heads.
    Lanes { id: Uuid },
    /// The latest tickets of a lane, latest first.
    Tickets {
        id: Uuid,
        #[arg(long)]
        lane: u32,
    },
    /// The latest sub-tickets by which the streams of an exchange re-keyed, latest first.
    SubTickets {
        id: Uuid,
        #[arg(long)]
        lane: u32,
        /// The exchange's number.
        #[arg(long)]
        n: u64,
    },
    /// When endpoints obeyed its disconnect.
    Obediences { id: Uuid },
    /// Disconnect a bundle.
    Disconnect {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

impl Bundles {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List { pair } => {
                let columns = ["id", "pair", "state", "suite", "exchanges", "created_at"];
                let pair = match pair {
                    Some(pair) => Some(pair.pair(client).await?),
                    None => None,
                };
                let items = client.bundles(pair).every_raw().await?;
                operator
                    .named(items, &columns, &[("pair", Named::Pairs)])
                    .await
            }
            Self::Get { id } => operator.show(client.bundle(id)).await,
            Self::Lanes { id } => {
                let columns = ["lane", "n", "k", "hash"];
                operator.pages(client.lanes(id), &columns).await
            }
            Self::Tickets { id, lane } => {
                let latest = client.tickets(id, lane).page_raw().await?;
                let columns = [
                    "n",
                    "recorded_at",
                    "consumer_reported",
                    "producer_reported",
                    "hash",
                ];
                operator.output.print(&Value::Array(latest.items), &columns)
            }
            Self::SubTickets { id, lane, n } => {
                let latest = client.sub_tickets(id, lane, n).page_raw().await?;
                let columns = ["k", "recorded_at", "hash", "receipt"];
                operator.output.print(&Value::Array(latest.items), &columns)
            }
            Self::Obediences { id } => {
                let columns = ["endpoint", "obeyed_at"];
                let items = client.disconnect_acknowledgements(id).raw().await?;
                let items = items.as_array().cloned().unwrap_or_default();
                operator
                    .named(items, &columns, &[("endpoint", Named::Endpoints)])
                    .await
            }
            Self::Disconnect { id, reason } => {
                operator.show(client.disconnect_bundle(id, &reason)).await
            }
        }
    }
}
