//! `armour endpoints`: enrolled agents.

use std::path::PathBuf;

use anyhow::Context as _;
use armour_api::{Endpoint, EndpointState, StartChoice};
use clap::Subcommand;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{
    names::{NameOrId, Named},
    operator::Operator,
};
use crate::{output::Output, permissive::is_permissive};

/// `armour endpoints`.
#[derive(Debug, Subcommand)]
pub enum Endpoints {
    /// List endpoints.
    List,
    /// Show an endpoint.
    Get { id: NameOrId },
    /// List an endpoint's starts, latest first.
    Starts { id: NameOrId },
    /// List endpoints of which two starts both live.
    Disputes,
    /// Choose between two starts of an endpoint that both live.
    ChooseStart {
        id: NameOrId,
        /// Which of the two goes on: `older` or `newer`.
        #[arg(long)]
        keep: StartChoice,
    },
    /// Set the party's certificate of an endpoint, from a file of `party-keys certify`.
    Certificate { id: NameOrId, file: PathBuf },
    /// Revoke an endpoint and disconnect its bundles.
    Revoke {
        id: NameOrId,
        #[arg(long)]
        reason: String,
    },
}

impl Endpoints {
    pub(super) async fn run(self, operator: &Operator) -> anyhow::Result<()> {
        let client = &operator.client;
        match self {
            Self::List => {
                let columns = [
                    "id",
                    "role",
                    "party",
                    "name",
                    "state",
                    "address",
                    "last_seen_at",
                ];
                let mut items = client.endpoints().every_raw().await?;
                if operator.output == Output::Table {
                    items.iter_mut().for_each(show_lost);
                    items.iter_mut().for_each(show_permissive);
                }
                operator
                    .named(items, &columns, &[("party", Named::Parties)])
                    .await
            }
            Self::Get { id } => {
                let id = id.endpoint(client).await?;
                operator.show(client.endpoint_by_id(id)).await
            }
            Self::Starts { id } => {
                let columns = [
                    "counter",
                    "host",
                    "process",
                    "accepted_at",
                    "ended_at",
                    "links",
                ];
                let id = id.endpoint(client).await?;
                operator.pages(client.starts(id), &columns).await
            }
            Self::Disputes => {
                let columns = ["endpoint", "since", "newer_host", "newer_process", "newer"];
                let items = client.start_disputes().every_raw().await?;
                operator
                    .named(items, &columns, &[("endpoint", Named::Endpoints)])
                    .await
            }
            Self::ChooseStart { id, keep } => {
                let id = id.endpoint(client).await?;
                operator.show(client.choose_start(id, keep)).await
            }
            Self::Certificate { id, file } => {
                let certificate = std::fs::read_to_string(&file)
                    .with_context(|| format!("read {}", file.display()))?;
                let id = id.endpoint(client).await?;
                operator
                    .show(client.set_certificate(id, certificate.trim()))
                    .await
            }
            Self::Revoke { id, reason } => {
                let id = id.endpoint(client).await?;
                operator.show(client.revoke_endpoint(id, &reason)).await
            }
        }
    }
}

/// An active endpoint that has fallen silent is lost, which the API tells beside its state.
fn show_lost(endpoint: &mut Value) {
    if endpoint["state"] == "active" && !endpoint["lost_at"].is_null() {
        endpoint["state"] = json!("lost");
    }
}

/// Whose agent passes on what comes without protection says so beside its state.
fn show_permissive(endpoint: &mut Value) {
    let read = Endpoint::deserialize(&*endpoint);
    if read.is_ok_and(|read| read.state == EndpointState::Active && is_permissive(&read)) {
        let state = endpoint["state"].as_str().unwrap_or_default();
        endpoint["state"] = json!(format!("{state}, permissive"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_whose_agent_is_permissive_is_listed_as_that() {
        let (told, later) = ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z");
        let note = "permissive mode: calls without protection are passed to the API";
        for (calls, note, seen, shown) in [
            (
                json!(0),
                json!("the upstream failed"),
                later,
                "active, permissive",
            ),
            (json!(7), Value::Null, told, "active, permissive"),
            // Of an agent of the release before.
            (Value::Null, json!(note), told, "active, permissive"),
            (Value::Null, json!(note), later, "active"),
            (Value::Null, json!("the upstream failed"), told, "active"),
            (Value::Null, Value::Null, told, "active"),
        ] {
            let nil = "00000000-0000-0000-0000-000000000000";
            let mut endpoint = json!({
                "id": nil, "tenant_id": nil, "party_id": nil, "role": "producer", "name": "p",
                "signing_key": "", "kem_key": "", "address": null, "state": "active",
                "version": "0", "created_at": told, "last_seen_at": seen, "lost_at": null,
                "enrol_seq": 1, "last_error": note, "last_error_at": told, "phase": null,
                "zone": null, "left_at": null, "plain_calls": calls,
            });
            show_permissive(&mut endpoint);
            assert_eq!(endpoint["state"], shown, "{note} {seen}");
        }
    }

    #[test]
    fn an_active_endpoint_that_is_lost_is_listed_as_lost() {
        for (state, lost_at, shown) in [
            ("active", json!("2026-01-01T00:00:00Z"), "lost"),
            ("active", Value::Null, "active"),
            ("revoked", json!("2026-01-01T00:00:00Z"), "revoked"),
        ] {
            let mut endpoint = json!({ "state": state, "lost_at": lost_at });
            show_lost(&mut endpoint);
            assert_eq!(endpoint["state"], shown);
        }
    }
}
