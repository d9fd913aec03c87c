//! `armour enrolment-tokens`: one-use tokens by which agents enrol.

use clap::Subcommand;

use super::{
    names::{NameOrId, Named},
    operator::Operator,
    parties::Side,
};

/// `armour enrolment-tokens`.
#[derive(Debug, Subcommand)]
pub enum EnrolmentTokens {
    /// Create a token; it is shown this once.
    Create {
        #[arg(long, value_enum)]
        role: Side,
        /// The producer's or consumer's id, or its name.
        #[arg(long)]
        party: NameOrId,
        /// Seconds until it expires, 60 to 604800.
        #[arg(long, default_value_t = 3600)]
        expires_in: u32,
    },
    /// List tokens, without their secrets.
    List,
}

impl EnrolmentTokens {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create {
                role,
                party,
                expires_in,
            } => {
                let expires = Some(expires_in);
                let party = party.party(client, role.into()).await?;
                let new = client.create_enrolment_token_for(role.into(), party, expires);
                operator.show(new).await
            }
            Self::List => {
                let columns = ["id", "role", "party", "expires_at", "used_at"];
                let items = client.enrolment_tokens().every_raw().await?;
                operator
                    .named(items, &columns, &[("party", Named::Parties)])
                    .await
            }
        }
    }
}
