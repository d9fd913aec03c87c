//! `armour api-tokens`: API tokens of programs and people.

use armour_api::{AccessRole, RotateApiToken};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::operator::Operator;

/// `armour api-tokens`.
#[derive(Debug, Subcommand)]
pub enum ApiTokens {
    /// Create a token; it is shown this once.
    Create {
        name: String,
        #[arg(long, value_enum)]
        role: Role,
        /// Seconds until it expires; never if absent.
        #[arg(long)]
        expires_in: Option<u32>,
    },
    /// List tokens, without their secrets.
    List,
    /// Replace a token; the earlier one works on for a while.
    Rotate {
        id: Uuid,
        /// Seconds for which the earlier one still works.
        #[arg(long, default_value_t = 3600)]
        overlap: u32,
        /// Seconds until the new one expires; as the earlier one if absent.
        #[arg(long)]
        expires_in: Option<u32>,
    },
    /// Revoke a token.
    Revoke { id: Uuid },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    /// Decides who may do what.
    TenantAdmin,
    /// Runs pairs and endpoints.
    Operator,
    /// Reads, and changes nothing.
    Auditor,
}

impl ApiTokens {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create {
                name,
                role,
                expires_in,
            } => {
                let new = client.create_api_token(&name, role.into(), expires_in);
                operator.show(new).await
            }
            Self::List => {
                let columns = [
                    "id",
                    "name",
                    "role",
                    "created_at",
                    "expires_at",
                    "revoked_at",
                    "last_used_at",
                ];
                operator.pages(client.api_tokens(), &columns).await
            }
            Self::Rotate {
                id,
                overlap,
                expires_in,
            } => {
                let how = RotateApiToken {
                    overlap_s: overlap,
                    expires_in_s: expires_in,
                };
                operator.show(client.rotate_api_token(id, how)).await
            }
            Self::Revoke { id } => {
                client.revoke_api_token(id).await?;
                operator.say(&json!({ "id": id, "revoked": true }))
            }
        }
    }
}

impl From<Role> for AccessRole {
    fn from(role: Role) -> Self {
        match role {
            Role::TenantAdmin => Self::TenantAdmin,
            Role::Operator => Self::Operator,
            Role::Auditor => Self::Auditor,
        }
    }
}
