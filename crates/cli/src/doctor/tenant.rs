//! The token, endpoints, pairs, collisions, and the audit log.

use std::path::Path;

use armour_api::{Endpoint, EndpointState, PairState, Whoami};
use armour_client::Client;
use chrono::{DateTime, Duration, Utc};

use super::{control_plane::Server, findings::Findings};
use crate::access::{Access, As};

/// A token that expires within this is told of.
const SOON: Duration = Duration::days(7);
/// A collision within this is told of.
const LATELY: Duration = Duration::days(1);

/// Checks what an operator's token may see.
pub async fn check(
    findings: &mut Findings,
    data: &Path,
    access: &Access,
    server: &Server,
    now: DateTime<Utc>,
) {
    let client = match access.client(data, As::Operator) {
        Ok(client) => client,
        Err(error) => {
            findings.broken("token", format!("{error:#}"), "armour api-tokens create …");
            return;
        }
    };
    match client.whoami().await {
        Ok(who) => token(findings, &who, now),
        Err(_) if server.as_platform => {
            findings.skipped("token", "the platform's token sees nothing of a tenant's");
            return;
        }
        Err(error) => {
            findings.broken(
                "token",
                error.to_string(),
                "ask an administrator of the tenant for another, and give its file with \
                 --token-file: armour api-tokens create …",
            );
            return;
        }
    }
    endpoints(findings, &client, server, now).await;
    pairs(findings, &client).await;
    collisions(findings, &client, now).await;
    match client.audit_head().await {
        Ok(log) => findings.ok("audit log", format!("{} entries, signed", log.head.size)),
        Err(error) => findings.broken(
            "audit log",
            error.to_string(),
            "is the active master key loaded? docs/keys.md",
        ),
    }
}

fn token(findings: &mut Findings, who: &Whoami, now: DateTime<Utc>) {
    let is = format!("{} ({})", who.name, who.role.into_str());
    match who.expires_at {
        Some(end) if end < now + SOON => findings.warning(
            "token",
            format!("{is}, expires {end}"),
            "armour api-tokens rotate …",
        ),
        _ => findings.ok("token", is),
    }
}

async fn endpoints(findings: &mut Findings, client: &Client, server: &Server, now: DateTime<Utc>) {
    let Ok(all) = client.endpoints().every().await else {
        findings.skipped("endpoints", "they cannot be listed");
        return;
    };
    let active: Vec<&Endpoint> = all
        .iter()
        .filter(|one| one.state == EndpointState::Active)
        .collect();
    let names = |of: &dyn Fn(&Endpoint) -> bool| {
        let found: Vec<&str> = active
            .iter()
            .filter(|one| of(one))
            .map(|one| &*one.name)
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    };
    match names(&|one| one.lost_at.is_some()) {
        Some(lost) => findings.broken(
            "endpoints",
            format!("not heard of: {lost}"),
            "are these agents running, and do they reach the control plane? armour endpoints list",
        ),
        None => findings.ok("endpoints", format!("{} active, none lost", active.len())),
    }
    if let Some(other) = names(&|one| one.version != server.version) {
        findings.warning(
            "agents' versions",
            format!("not of {}: {other}", server.version),
            "upgrade control planes first, then agents",
        );
    }
    if let Some(ailing) = names(&|one| {
        one.last_error_at
            .is_some_and(|at| at > now - Duration::hours(1))
    }) {
        findings.warning(
            "agents' errors",
            format!("within an hour: {ailing}"),
            "armour endpoints get … shows last_error",
        );
    }
}

async fn pairs(findings: &mut Findings, client: &Client) {
    let Ok(all) = client.pairs().every().await else {
        findings.skipped("pairs", "they cannot be listed");
        return;
    };
    let broken: Vec<String> = all
        .iter()
        .filter(|pair| pair.state == PairState::Disconnected)
        .map(|pair| format!("{} -> {}", pair.consumer_name, pair.producer_name))
        .collect();
    match broken.is_empty() {
        true => findings.ok("pairs", format!("{}, none disconnected", all.len())),
        false => findings.broken(
            "pairs",
            format!("disconnected: {}", broken.join(", ")),
            "find out why first (docs/runbooks/collision.md): after a collision enrol the consumer \
             anew, then armour pairs re-arm …",
        ),
    }
}

async fn collisions(findings: &mut Findings, client: &Client, now: DateTime<Utc>) {
    match client.collisions().await {
        Ok(page) => {
            let late = page.items.iter();
            let late = late.filter(|one| one.detected_at > now - LATELY);
            match late.count() {
                0 => findings.ok("collisions", "none within a day"),
                many => findings.warning(
                    "collisions",
                    format!("{many} within a day"),
                    "somebody else held an endpoint's state: docs/runbooks/collision.md",
                ),
            }
        }
        Err(error) => findings.skipped("collisions", error.to_string()),
    }
}
