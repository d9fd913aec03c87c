//! `armour pairs`: one consumer and one producer.

use anyhow::Context as _;
use armour_api::Role;
use clap::Subcommand;
use serde_json::Value;

use super::{changes::changed, names::NameOrId, operator::Operator};
use crate::output::Output;

/// `armour pairs`. A pair is named by its id, or as `consumer:producer`.
#[derive(Debug, Subcommand)]
pub enum Pairs {
    /// Pair a consumer with a producer.
    Create {
        #[arg(long)]
        consumer: NameOrId,
        #[arg(long)]
        producer: NameOrId,
        /// Policy as JSON; fields left out have their defaults.
        #[arg(long, default_value = "{}")]
        policy: String,
    },
    /// List pairs.
    List,
    /// Show a pair with its policy.
    Get { id: NameOrId },
    /// Show which endpoints of the producer serve a pair, how many bundles each has, and what went
    /// through these lately.
    Traffic { id: NameOrId },
    /// Replace a pair's policy; endpoints follow it from their next bundle on.
    Policy {
        id: NameOrId,
        /// Policy as JSON; fields left out keep their values.
        policy: String,
    },
    /// Disconnect a pair and all of its bundles.
    Disconnect {
        id: NameOrId,
        #[arg(long)]
        reason: String,
    },
    /// Let a disconnected pair draw a newly minted bundle.
    ReArm {
        id: NameOrId,
        #[arg(long)]
        reason: String,
    },
}

impl Pairs {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::Create {
                consumer,
                producer,
                policy,
            } => {
                let policy: Value = serde_json::from_str(&policy).context("--policy")?;
                let consumer = consumer.party(client, Role::Consumer).await?;
                let producer = producer.party(client, Role::Producer).await?;
                let new = client.create_pair_with_policy(consumer, producer, policy);
                operator.show(new).await
            }
            Self::List => {
                let columns = [
                    "id",
                    "consumer_name",
                    "producer_name",
                    "state",
                    "created_at",
                ];
                operator.pages(client.pairs(), &columns).await
            }
            Self::Get { id } => operator.show(client.pair(id.pair(client).await?)).await,
            Self::Traffic { id } => {
                let id = id.pair(client).await?;
                let traffic = client.pair_traffic(id).raw().await?;
                match operator.output {
                    Output::Json => operator.output.print(&traffic, &[]),
                    Output::Table => {
                        let columns = [
                            "name",
                            "phase",
                            "zone",
                            "bundles",
                            "exchanges",
                            "recent",
                            "last_seen_at",
                        ];
                        operator.output.print(&traffic["producers"], &columns)
                    }
                }
            }
            Self::Policy { id, policy } => {
                let id = id.pair(client).await?;
                let mut pair = client.pair(id).raw().await?;
                let policy = changed(pair["policy"].take(), &policy)?;
                operator.show(client.replace_policy(id, policy)).await
            }
            Self::Disconnect { id, reason } => {
                let id = id.pair(client).await?;
                operator.show(client.disconnect_pair(id, &reason)).await
            }
            Self::ReArm { id, reason } => {
                let id = id.pair(client).await?;
                operator.show(client.re_arm(id, &reason)).await
            }
        }
    }
}
