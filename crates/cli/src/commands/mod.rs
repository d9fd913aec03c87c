//! Operator commands, one file for each resource of the REST API.

mod api_tokens;
mod audit;
mod bundles;
mod changes;
mod collisions;
mod endpoints;
mod enrolment_tokens;
mod events;
mod evidence;
mod health;
mod issuers;
mod keys;
mod names;
mod operator;
mod pairs;
mod parties;
mod platform;
mod sessions;
mod tenants;
mod trust;
mod webhooks;

use std::path::Path;

use armour_api::Role;
use clap::Subcommand;

use self::operator::Operator;
pub(crate) use self::parties::Side;
use crate::access::{Access, As};

/// Commands on resources.
#[derive(Debug, Subcommand)]
pub enum Resource {
    /// Customers of the service; needs the platform's token.
    #[command(subcommand)]
    Tenants(tenants::Tenants),
    /// API tokens of programs and people.
    #[command(subcommand)]
    ApiTokens(api_tokens::ApiTokens),
    /// OpenID providers that the tenant trusts.
    #[command(subcommand)]
    Issuers(issuers::Issuers),
    /// People's sessions.
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Who the token makes you.
    Whoami,
    /// How much the tenant may have and ask.
    Quotas,
    /// Receivers that are told of events.
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// The service's own keys; needs the platform's token.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Those that serve an API.
    #[command(subcommand)]
    Producers(parties::Parties),
    /// Those that call it.
    #[command(subcommand)]
    Consumers(parties::Parties),
    /// One consumer and one producer.
    #[command(subcommand)]
    Pairs(pairs::Pairs),
    /// One-use tokens by which agents enrol.
    #[command(subcommand)]
    EnrolmentTokens(enrolment_tokens::EnrolmentTokens),
    /// Enrolled agents.
    #[command(subcommand)]
    Endpoints(endpoints::Endpoints),
    /// All tickets under one minted secret.
    #[command(subcommand)]
    Bundles(bundles::Bundles),
    /// Proofs that somebody else held an endpoint's state, latest first.
    Collisions(collisions::Collisions),
    /// The tenant at a glance.
    Overview,
    /// The service itself; needs the platform's token.
    #[command(subcommand)]
    Platform(platform::Platform),
    /// The evidence of a collision, for third parties.
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Who did what, and the proof that nobody changed it since.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What happens, as it happens.
    Events(events::Events),
    /// Whether the control plane can serve.
    Health(health::Health),
}

/// Runs a command.
///
/// # Errors
/// If the control plane refuses or cannot be reached.
pub async fn run(data: &Path, access: &Access, resource: Resource) -> anyhow::Result<()> {
    // What is checked offline needs neither a server nor a token.
    let resource = match resource {
        Resource::Audit(audit::Audit::Verify(verify)) => return verify.run(access.output()?),
        Resource::Evidence(evidence::Evidence::Verify(verify)) => {
            return verify.run(access.output()?);
        }
        other => other,
    };
    let role = match resource {
        Resource::Tenants(_) | Resource::Keys(_) | Resource::Platform(_) => As::Platform,
        _ => As::Operator,
    };
    let operator = Operator {
        client: access.client(data, role)?,
        output: access.output()?,
    };
    resource.run(&operator).await
}

impl Resource {
    async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        match self {
            Self::Tenants(command) => command.run(operator).await,
            Self::ApiTokens(command) => command.run(operator).await,
            Self::Issuers(command) => command.run(operator).await,
            Self::Sessions(command) => command.run(operator).await,
            Self::Whoami => operator.show(operator.client.whoami()).await,
            Self::Quotas => operator.show(operator.client.quotas()).await,
            Self::Webhooks(command) => command.run(operator).await,
            Self::Keys(command) => command.run(operator).await,
            Self::Producers(command) => command.run(Role::Producer, operator).await,
            Self::Consumers(command) => command.run(Role::Consumer, operator).await,
            Self::Pairs(command) => command.run(operator).await,
            Self::EnrolmentTokens(command) => command.run(operator).await,
            Self::Endpoints(command) => command.run(operator).await,
            Self::Bundles(command) => command.run(operator).await,
            Self::Collisions(command) => command.run(operator).await,
            Self::Overview => operator.show(operator.client.overview()).await,
            Self::Platform(command) => command.run(operator).await,
            Self::Evidence(command) => command.run(operator).await,
            Self::Audit(command) => command.run(operator).await,
            Self::Events(command) => command.run(operator).await,
            Self::Health(command) => command.run(operator).await,
        }
    }
}
