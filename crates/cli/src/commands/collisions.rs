//! `armour collisions`: proofs that somebody else held an endpoint's state.

use clap::Args;
use uuid::Uuid;

use super::{names::Named, operator::Operator};

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
            "endpoint",
            "bundle_id",
            "lane",
            "n",
            "reporter",
        ];
        let ids = [
            ("endpoint", Named::Endpoints),
            ("reporter", Named::Endpoints),
        ];
        let items = client.collisions().every_raw().await?;
        operator.named(items, &columns, &ids).await
    }
}
