//! `armour overview`, `platform`: a tenant at a glance, the service itself.

use clap::Subcommand;
use uuid::Uuid;

use super::Call;

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Platform {
    /// Replicas, database, migrations.
    System,
    /// The platform's own audit log, latest first.
    Audit,
    /// A tenant at a glance.
    Overview { tenant: Uuid },
}

impl Call {
    pub(super) async fn platform(&self, command: Platform) -> anyhow::Result<()> {
        match command {
            Platform::System => self.get("/v1/platform/system").await,
            Platform::Audit => {
                let columns = ["seq", "created_at", "actor", "action", "target"];
                self.list("/v1/platform/audit", &columns).await
            }
            Platform::Overview { tenant } => {
                self.get(&format!("/v1/tenants/{tenant}/overview")).await
            }
        }
    }
}
