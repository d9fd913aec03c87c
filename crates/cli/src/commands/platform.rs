//! `armour platform`: the service itself.

use clap::Subcommand;
use uuid::Uuid;

use super::operator::Operator;

/// `armour platform`.
#[derive(Debug, Subcommand)]
pub enum Platform {
    /// Replicas, database, migrations.
    System,
    /// The platform's own audit log, latest first.
    Audit,
    /// A tenant at a glance.
    Overview { tenant: Uuid },
}

impl Platform {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::System => operator.show(client.system()).await,
            Self::Audit => {
                let columns = ["seq", "created_at", "actor", "action", "target"];
                operator.pages(client.platform_audit(), &columns).await
            }
            Self::Overview { tenant } => operator.show(client.tenant_overview(tenant)).await,
        }
    }
}
