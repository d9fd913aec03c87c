//! `armour producers`, `armour consumers`.

use armour_api::Role;
use clap::{Subcommand, ValueEnum};

use super::{names::NameOrId, operator::Operator};

/// `armour producers`, `armour consumers`.
#[derive(Debug, Subcommand)]
pub enum Parties {
    /// Register one.
    Create { name: String },
    /// List them.
    List,
    /// Show one.
    Get { id: NameOrId },
}

/// Which side something is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Side {
    /// The caller's.
    Consumer,
    /// The API's.
    Producer,
}

impl Parties {
    pub(super) async fn run(self, role: Role, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create { name } => operator.show(client.create_party(role, &name)).await,
            Self::List => {
                let columns = ["id", "name", "created_at"];
                operator.pages(client.parties(role), &columns).await
            }
            Self::Get { id } => {
                let id = id.party(client, role).await?;
                operator.show(client.party(role, id)).await
            }
        }
    }
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Consumer => Self::Consumer,
            Side::Producer => Self::Producer,
        }
    }
}
