//! `armour issuers`: OpenID providers that the tenant trusts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use armour_api::{AccessRole, ClientAuthentication, IssuerKind, NewIssuer, NewWorkloadRule, Role};
use clap::{Subcommand, ValueEnum};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    names::{NameOrId, Named},
    operator::Operator,
    parties::Side,
};

/// `armour issuers`.
#[derive(Debug, Subcommand)]
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
        /// How the secret is shown at the issuer's token endpoint.
        #[arg(long, value_enum, default_value = "auto")]
        client_authentication: SecretShown,
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
    Get { id: NameOrId },
    /// Trust an issuer no more.
    Delete { id: NameOrId },
    /// Let workloads of an issuer enrol.
    AddRule {
        issuer: NameOrId,
        /// What `sub` must be; `*` stands for any run of characters.
        #[arg(long)]
        subject: String,
        /// A claim's value, as `claim=value`; may be repeated.
        #[arg(long)]
        claim: Vec<String>,
        #[arg(long, value_enum)]
        role: Side,
        /// The producer's or consumer's id, or its name.
        #[arg(long)]
        party: NameOrId,
    },
    /// List an issuer's rules.
    Rules { issuer: NameOrId },
    /// Delete a rule.
    DeleteRule { issuer: NameOrId, rule: Uuid },
}

/// What an issuer vouches for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// People who sign in.
    People,
    /// Workloads that enrol.
    Workload,
}

/// How a client shows its secret.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SecretShown {
    /// As the issuer says of itself.
    Auto,
    /// In the header, encoded as RFC 6749 says.
    Basic,
    /// In the header as it is.
    BasicRaw,
    /// In the body.
    Post,
}

impl Issuers {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create {
                name,
                kind,
                url,
                audience,
                client_secret_file,
                client_authentication,
                groups_claim,
                role,
                scope,
            } => {
                let new = NewIssuer {
                    kind: kind.into(),
                    name,
                    url,
                    audience,
                    client_secret: client_secret_file.as_deref().map(secret).transpose()?,
                    groups_claim,
                    role_map: role_map(&role)?,
                    scopes: scope,
                    client_authentication: client_authentication.into(),
                };
                operator.show(client.create_issuer(new)).await
            }
            Self::List => {
                let columns = ["id", "kind", "name", "url", "audience", "role_map"];
                operator.list(client.issuers(), &columns).await
            }
            Self::Get { id } => {
                let id = id.issuer(client).await?;
                operator.show(client.issuer(id)).await
            }
            Self::Delete { id } => {
                let id = id.issuer(client).await?;
                client.delete_issuer(id).await?;
                operator.say(&json!({ "id": id, "deleted": true }))
            }
            Self::AddRule {
                issuer,
                subject,
                claim,
                role,
                party,
            } => {
                let role = Role::from(role);
                let issuer = issuer.issuer(client).await?;
                let party = party.party(client, role).await?;
                let new = NewWorkloadRule {
                    subject,
                    claims: pairs("--claim", &claim)?,
                    role,
                    party_id: party,
                };
                operator
                    .show(client.create_workload_rule(issuer, new))
                    .await
            }
            Self::Rules { issuer } => {
                let columns = ["id", "subject", "claims", "role", "party"];
                let issuer = issuer.issuer(client).await?;
                let items = client.workload_rules(issuer).raw().await?;
                let items = items.as_array().cloned().unwrap_or_default();
                operator
                    .named(items, &columns, &[("party", Named::Parties)])
                    .await
            }
            Self::DeleteRule { issuer, rule } => {
                let issuer = issuer.issuer(client).await?;
                client.delete_workload_rule(issuer, rule).await?;
                operator.say(&json!({ "id": rule, "deleted": true }))
            }
        }
    }
}

impl From<SecretShown> for ClientAuthentication {
    fn from(shown: SecretShown) -> Self {
        match shown {
            SecretShown::Auto => Self::Auto,
            SecretShown::Basic => Self::Basic,
            SecretShown::BasicRaw => Self::BasicRaw,
            SecretShown::Post => Self::Post,
        }
    }
}

impl From<Kind> for IssuerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::People => Self::People,
            Kind::Workload => Self::Workload,
        }
    }
}

fn secret(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}

fn role_map(given: &[String]) -> anyhow::Result<BTreeMap<String, AccessRole>> {
    let roles = pairs("--role", given)?.into_iter().map(|(group, role)| {
        let known = AccessRole::deserialize(role.into_deserializer());
        let known = known.map_err(|why: Error| anyhow::anyhow!("--role {group}: {why}"))?;
        Ok((group, known))
    });
    roles.collect()
}

/// `name=value` of repeated options.
fn pairs(option: &str, given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in given {
        // A group's name may hold the sign, a role never does.
        let Some((name, value)) = text.rsplit_once('=') else {
            bail!("{option} {text}: give it as name=value");
        };
        pairs.insert(name.to_owned(), value.to_owned());
    }
    Ok(pairs)
}
