//! `armour sessions`: people's sessions.

use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator::Operator;

/// `armour sessions`.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List sessions.
    List,
    /// End a session.
    End { id: Uuid },
}

impl Sessions {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List => {
                let columns = [
                    "id",
                    "name",
                    "role",
                    "created_at",
                    "last_used_at",
                    "expires_at",
                    "ended_at",
                ];
                operator.pages(client.sessions(), &columns).await
            }
            Self::End { id } => {
                client.end_session(id).await?;
                operator.say(&json!({ "id": id, "ended": true }))
            }
        }
    }
}
