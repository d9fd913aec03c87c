//! `armour endpoints`: enrolled agents.

use clap::Subcommand;
use uuid::Uuid;

use super::operator::Operator;

/// `armour endpoints`.
#[derive(Debug, Subcommand)]
pub enum Endpoints {
    /// List endpoints.
    List,
    /// Show an endpoint.
    Get { id: Uuid },
    /// Revoke an endpoint and disconnect its bundles.
    Revoke {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

impl Endpoints {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List => {
                let columns = ["id", "role", "name", "state", "address", "last_seen_at"];
                operator.pages(client.endpoints(), &columns).await
            }
            Self::Get { id } => operator.show(client.endpoint_by_id(id)).await,
            Self::Revoke { id, reason } => operator.show(client.revoke_endpoint(id, &reason)).await,
        }
    }
}
