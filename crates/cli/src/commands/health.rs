//! `armour health`: whether the control plane can serve.

use clap::Args;

use super::operator::Operator;

/// Whether the control plane can serve.
#[derive(Debug, Args)]
pub struct Health {
    /// Only whether it is alive.
    #[arg(long)]
    live: bool,
}

impl Health {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self.live {
            true => operator.show(client.alive()).await,
            false => operator.show(client.ready()).await,
        }
    }
}
