//! `armour tenants`: customers of the service.

use anyhow::bail;
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::json;
use uuid::Uuid;

use super::{changes::changed, operator::Operator};

/// `armour tenants`.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// Create a tenant; prints its first operator token.
    Create { name: String },
    /// List tenants.
    List,
    /// Show a tenant.
    Get { id: Uuid },
    /// Delete a tenant for good: its keys are shredded.
    Delete {
        id: Uuid,
        /// The tenant's name, so that it is not another one's id.
        #[arg(long)]
        confirm: String,
    },
    /// After the database was restored to an earlier state, before endpoints reach it: end
    /// what may have been used since, so that no spent ticket is taken again and no endpoint
    /// for a copy of itself. Endpoints go on by themselves.
    Fence {
        /// The tenant; all of them if absent.
        id: Option<Uuid>,
        /// Kept in the audit logs.
        #[arg(long)]
        reason: String,
    },
    /// Show how much a tenant may have and ask, or change it.
    Quotas {
        id: Uuid,
        /// Changes as JSON; fields left out keep their values.
        #[arg(long)]
        set: Option<String>,
    },
}

impl Tenants {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create { name } => operator.show(client.create_tenant(&name)).await,
            Self::List => {
                let columns = ["id", "name", "created_at", "deleted_at"];
                operator.pages(client.tenants(), &columns).await
            }
            Self::Get { id } => operator.show(client.tenant(id)).await,
            Self::Delete { id, confirm } => {
                let tenant = client.tenant(id).await?;
                if tenant.name != confirm {
                    bail!("the tenant {id} is called {:?}", tenant.name);
                }
                client.delete_tenant(id).await?;
                operator.say(&json!({ "id": id, "deleted": true }))
            }
            Self::Fence { id, reason } => fence(operator, id, &reason).await,
            Self::Quotas { id, set: None } => operator.show(client.tenant_quotas(id)).await,
            Self::Quotas {
                id,
                set: Some(changes),
            } => {
                let quotas = client.tenant_quotas(id).raw().await?;
                let quotas = changed(quotas, &changes)?;
                operator
                    .show(client.replace_tenant_quotas(id, quotas))
                    .await
            }
        }
    }
}

/// Fences one tenant or all, as often as it takes.
async fn fence(operator: &Operator, id: Option<Uuid>, reason: &str) -> anyhow::Result<()> {
    let client = &operator.client;
    let tenants: Vec<Uuid> = match id {
        Some(id) => vec![id],
        None => {
            let all = client.tenants().every().await?;
            let live = all.iter().filter(|tenant| tenant.deleted_at.is_none());
            live.map(|tenant| tenant.id).collect()
        }
    };
    let bar = ProgressBar::new(tenants.len() as u64);
    for id in &tenants {
        client.fence_tenant(*id, reason).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    operator.say(&json!({ "fenced": tenants.len() }))
}
