//! `armour collisions`: proofs that somebody else held an endpoint's state.

use clap::Args;
use uuid::Uuid;

use super::operator::Operator;

/// Proofs that somebody else held an endpoint's state, latest first.
#[derive(Debug, Args)]
pub struct Collisions {
    /// Show this one alone.
    id: Option<Uuid>,
}

impl Collisions {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        if let Some(id) = self.id {
            return operator.show(client.collision(id)).await;
        }
        let columns = [
            "detected_at",
            "kind",
            "role",
            "endpoint_id",
            "bundle_id",
            "lane",
            "n",
            "reporter_id",
        ];
        operator.pages(client.collisions(), &columns).await
    }
}
