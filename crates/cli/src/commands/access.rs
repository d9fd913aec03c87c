//! `armour api-tokens`, `issuers`, `sessions`: who may act.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Call, Side};

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

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
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

/// What an issuer vouches for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// People who sign in.
    People,
    /// Workloads that enrol.
    Workload,
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Issuers {
    /// Trust an issuer.
    Create {
        name: String,
        #[arg(long, value_enum)]
        kind: Kind,
        /// The issuer's identifier, an https URL.
        #[arg(long)]
        url: String,
        /// The client's id, or the audience that workloads' tokens name.
        #[arg(long)]
        audience: String,
        /// File of the client's secret.
        #[arg(long)]
        client_secret_file: Option<PathBuf>,
        /// Claim of a person's groups.
        #[arg(long, default_value = "groups")]
        groups_claim: String,
        /// A group's role, as `group=role`; may be repeated.
        #[arg(long)]
        role: Vec<String>,
        /// A scope to ask for; may be repeated.
        #[arg(long)]
        scope: Vec<String>,
    },
    /// List issuers.
    List,
    /// Show an issuer.
    Get { id: Uuid },
    /// Trust an issuer no more.
    Delete { id: Uuid },
    /// Let workloads of an issuer enrol.
    AddRule {
        issuer: Uuid,
        /// What `sub` must be; `*` stands for any run of characters.
        #[arg(long)]
        subject: String,
        /// A claim's value, as `claim=value`; may be repeated.
        #[arg(long)]
        claim: Vec<String>,
        #[arg(long, value_enum)]
        role: Side,
        /// The producer's or consumer's id.
        #[arg(long)]
        party: Uuid,
    },
    /// List an issuer's rules.
    Rules { issuer: Uuid },
    /// Delete a rule.
    DeleteRule { issuer: Uuid, rule: Uuid },
}

#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "named as the routes are")]
pub enum Sessions {
    /// List sessions.
    List,
    /// End a session.
    End { id: Uuid },
}

impl Call {
    pub(super) async fn api_tokens(&self, command: ApiTokens) -> anyhow::Result<()> {
        match command {
            ApiTokens::Create {
                name,
                role,
                expires_in,
            } => {
                let role = word(role);
                let new = json!({ "name": name, "role": role, "expires_in_s": expires_in });
                self.post("/v1/api-tokens", new).await
            }
            ApiTokens::List => {
                let columns = [
                    "id",
                    "name",
                    "role",
                    "created_at",
                    "expires_at",
                    "revoked_at",
                    "last_used_at",
                ];
                self.list("/v1/api-tokens", &columns).await
            }
            ApiTokens::Rotate {
                id,
                overlap,
                expires_in,
            } => {
                let ask = json!({ "overlap_s": overlap, "expires_in_s": expires_in });
                self.post(&format!("/v1/api-tokens/{id}/rotate"), ask).await
            }
            ApiTokens::Revoke { id } => {
                let said = json!({ "id": id, "revoked": true });
                self.delete(&format!("/v1/api-tokens/{id}"), said).await
            }
        }
    }

    pub(super) async fn issuers(&self, command: Issuers) -> anyhow::Result<()> {
        match command {
            Issuers::Create {
                name,
                kind,
                url,
                audience,
                client_secret_file,
                groups_claim,
                role,
                scope,
            } => {
                let secret = match client_secret_file {
                    None => None,
                    Some(file) => Some(
                        std::fs::read_to_string(&file)
                            .with_context(|| file.display().to_string())?
                            .trim()
                            .to_owned(),
                    ),
                };
                let new = json!({
                    "kind": word(kind), "name": name, "url": url, "audience": audience,
                    "client_secret": secret, "groups_claim": groups_claim,
                    "role_map": pairs("--role", &role)?, "scopes": scope,
                });
                self.post("/v1/issuers", new).await
            }
            Issuers::List => {
                let list: Value = self.client.get("/v1/issuers").await?;
                let columns = ["id", "kind", "name", "url", "audience", "role_map"];
                self.output.print(&list, &columns)
            }
            Issuers::Get { id } => self.get(&format!("/v1/issuers/{id}")).await,
            Issuers::Delete { id } => {
                let said = json!({ "id": id, "deleted": true });
                self.delete(&format!("/v1/issuers/{id}"), said).await
            }
            Issuers::AddRule {
                issuer,
                subject,
                claim,
                role,
                party,
            } => {
                let new = json!({
                    "subject": subject, "claims": pairs("--claim", &claim)?,
                    "role": word(role), "party_id": party,
                });
                self.post(&format!("/v1/issuers/{issuer}/rules"), new).await
            }
            Issuers::Rules { issuer } => {
                let path = format!("/v1/issuers/{issuer}/rules");
                let list: Value = self.client.get(&path).await?;
                let columns = ["id", "subject", "claims", "role", "party_id"];
                self.output.print(&list, &columns)
            }
            Issuers::DeleteRule { issuer, rule } => {
                let said = json!({ "id": rule, "deleted": true });
                let path = format!("/v1/issuers/{issuer}/rules/{rule}");
                self.delete(&path, said).await
            }
        }
    }

    pub(super) async fn sessions(&self, command: Sessions) -> anyhow::Result<()> {
        match command {
            Sessions::List => {
                let columns = [
                    "id",
                    "name",
                    "role",
                    "created_at",
                    "last_used_at",
                    "expires_at",
                    "ended_at",
                ];
                self.list("/v1/sessions", &columns).await
            }
            Sessions::End { id } => {
                let said = json!({ "id": id, "ended": true });
                self.delete(&format!("/v1/sessions/{id}"), said).await
            }
        }
    }
}

/// The word of a value, as the command line and the API have it.
fn word(value: impl ValueEnum) -> Option<String> {
    Some(value.to_possible_value()?.get_name().to_owned())
}

/// `name=value` of repeated options.
fn pairs(option: &str, given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut pairs = Map::new();
    for text in given {
        // A group's name may hold the sign, a role never does.
        let Some((name, value)) = text.rsplit_once('=') else {
            bail!("{option} {text}: give it as name=value");
        };
        pairs.insert(name.to_owned(), value.into());
    }
    Ok(pairs)
}
