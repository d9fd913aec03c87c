//! The token, endpoints, pairs, collisions, and the audit log.

use std::{collections::HashMap, path::Path};

use armour_api::{
    Endpoint, EndpointState, Pair, PairState, PairTraffic, Phase, ProducerPhase, ProducerTraffic,
    Role, Whoami,
};
use armour_client::Client;
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::{addresses, agent::PERMISSIVE, control_plane::Server, findings::Findings, past_errors};
use crate::{
    access::{Access, As},
    permissive::{is_note, is_permissive},
};

/// A token that expires within this is told of.
const SOON: Duration = Duration::days(7);
/// A collision within this is told of.
const LATELY: Duration = Duration::days(1);
/// Of how many pairs that ail the bundles are looked at.
const MAX_AILING: usize = 20;

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
    let all = endpoints(findings, &client, server, now).await;
    pairs(findings, &client, &all).await;
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

/// Checks endpoints, and returns those that are of use.
async fn endpoints(
    findings: &mut Findings,
    client: &Client,
    server: &Server,
    now: DateTime<Utc>,
) -> Vec<Endpoint> {
    let Ok(all) = client.endpoints().every().await else {
        findings.skipped("endpoints", "they cannot be listed");
        return Vec::new();
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
    if let Some(open) = names(&is_permissive) {
        findings.warning(
            "permissive agents",
            format!("calls without protection are passed on by {open}"),
            PERMISSIVE,
        );
    }
    let mut ailing = Vec::new();
    let mut past = past_errors::PastErrors::new(client);
    for one in &active {
        let lately = one
            .last_error_at
            .is_some_and(|at| at > now - Duration::hours(1));
        if lately && !is_note(one) && !past.holds(one).await {
            ailing.push(&*one.name);
        }
    }
    if !ailing.is_empty() {
        findings.warning(
            "agents' errors",
            format!("within an hour: {}", ailing.join(", ")),
            "armour endpoints get … shows last_error",
        );
    }
    addresses::check(findings, &all);
    let mut all = all;
    all.retain(|one| one.state == EndpointState::Active && one.left_at.is_none());
    all
}

async fn pairs(findings: &mut Findings, client: &Client, endpoints: &[Endpoint]) {
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
    let mut held = HashMap::new();
    for pair in all
        .iter()
        .filter(|pair| ails(pair, endpoints))
        .take(MAX_AILING)
    {
        if let Ok(traffic) = client.pair_traffic(pair.id).await {
            held.insert(pair.id, Held::of(&traffic));
        }
    }
    producers(findings, &all, endpoints, &held);
}

/// The active bundles of a pair.
struct Held {
    all: u64,
    /// Those with endpoints of the producer that serve.
    serving: u64,
}

impl Held {
    fn of(traffic: &PairTraffic) -> Self {
        let serves = |one: &&ProducerTraffic| one.phase == ProducerPhase::Serving;
        let bundles = |one: &ProducerTraffic| one.bundles;
        Self {
            all: traffic.producers.iter().map(bundles).sum(),
            serving: traffic.producers.iter().filter(serves).map(bundles).sum(),
        }
    }
}

/// The endpoints of a pair's producer: those that serve, and those that do not.
fn of_producer<'a>(
    pair: &Pair,
    endpoints: &'a [Endpoint],
) -> (Vec<&'a Endpoint>, Vec<&'a Endpoint>) {
    let own = endpoints
        .iter()
        .filter(|one| one.role == Role::Producer && one.party_id == pair.producer_id);
    own.partition(|one| why_not(one).is_none())
}

fn ails(pair: &Pair, endpoints: &[Endpoint]) -> bool {
    !of_producer(pair, endpoints).1.is_empty()
}

/// Names the pairs whose producers' endpoints do not all serve: whether any call can succeed, and
/// which of the endpoints it is.
fn producers(
    findings: &mut Findings,
    pairs: &[Pair],
    endpoints: &[Endpoint],
    held: &HashMap<Uuid, Held>,
) {
    let (mut partly, mut wholly) = (Vec::new(), Vec::new());
    for pair in pairs {
        let (serving, others) = of_producer(pair, endpoints);
        // Who leaves has said so, and is no failure.
        let ailing = others
            .into_iter()
            .filter(|one| one.phase != Some(Phase::Draining) || serving.is_empty());
        let ailing: Vec<&Endpoint> = ailing.collect();
        if ailing.is_empty() {
            continue;
        }
        let name = format!("pair {} -> {}", pair.consumer_name, pair.producer_name);
        let others = match serving.len() {
            0 => "no other does".to_owned(),
            1 => "1 other does".to_owned(),
            many => format!("{many} others do"),
        };
        let held = held.get(&pair.id);
        // All that consumers hold is with those that do not serve.
        let none_succeeds =
            serving.is_empty() || held.is_some_and(|held| held.all > 0 && held.serving == 0);
        match none_succeeds {
            true => {
                let last = ailing.iter().filter_map(|one| silent_since(one)).max();
                let since = last.map(|at| format!(" since {}", time(at)));
                let whose: Vec<String> = ailing
                    .iter()
                    .filter_map(|one| Some(format!("{} {}", one.name, why_not(one)?)))
                    .collect();
                wholly.push(format!(
                    "{name}: 0 % of calls succeed{}: producer {}; {others}",
                    since.unwrap_or_default(),
                    whose.join(", ")
                ));
            }
            false => {
                let whose: Vec<String> = ailing
                    .iter()
                    .filter_map(|one| {
                        let since = silent_since(one).map(|at| format!(" since {}", time(at)));
                        let since = since.unwrap_or_default();
                        Some(format!("{} {}{since}", one.name, why_not(one)?))
                    })
                    .collect();
                partly.push(format!("{name}: producer {}; {others}", whose.join(", ")));
            }
        }
    }
    if !wholly.is_empty() {
        findings.broken(
            "producers",
            wholly.join("; "),
            "are their agents and what they serve running? armour pairs traffic …",
        );
    }
    if !partly.is_empty() {
        findings.warning(
            "producers",
            partly.join("; "),
            "consumers call the others; mend these, or revoke them: armour pairs traffic …",
        );
    }
    if wholly.is_empty() && partly.is_empty() {
        findings.ok("producers", "all that are there serve");
    }
}

/// When an endpoint that is lost was heard of last.
fn silent_since(endpoint: &Endpoint) -> Option<DateTime<Utc>> {
    let lost = endpoint.lost_at?;
    Some(endpoint.last_seen_at.unwrap_or(lost))
}

/// A moment, as people say it.
fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Why an endpoint of a producer does not serve, as what is said of it.
fn why_not(endpoint: &Endpoint) -> Option<&'static str> {
    match endpoint.phase {
        _ if endpoint.lost_at.is_some() => Some("does not answer"),
        Some(Phase::NotServing) => Some("does not serve, as what is behind it does not answer"),
        Some(Phase::Draining) => Some("is about to leave"),
        Some(Phase::Serving) | None => None,
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

#[cfg(test)]
mod tests {
    use armour_api::Policy;

    use super::*;

    fn endpoint(name: &str, party: Uuid) -> Endpoint {
        Endpoint {
            id: Uuid::nil(),
            tenant_id: Uuid::nil(),
            role: Role::Producer,
            party_id: party,
            name: name.to_owned(),
            signing_key: String::new(),
            kem_key: String::new(),
            address: None,
            state: EndpointState::Active,
            version: String::new(),
            created_at: DateTime::UNIX_EPOCH,
            last_seen_at: None,
            lost_at: None,
            enrol_seq: 1,
            last_error: None,
            last_error_at: None,
            phase: None,
            zone: None,
            left_at: None,
            plain_calls: None,
        }
    }

    #[test]
    fn a_pair_is_told_of_with_the_producer_that_does_not_answer() {
        let party = Uuid::from_u128(1);
        let pair = Pair {
            id: Uuid::nil(),
            consumer_id: Uuid::nil(),
            producer_id: party,
            consumer_name: "shop".to_owned(),
            producer_name: "stock".to_owned(),
            state: PairState::Active,
            policy: Policy::default(),
            created_at: DateTime::UNIX_EPOCH,
            revision: 1,
        };
        let found = |endpoints: &[Endpoint], all, serving| {
            let mut findings = Findings::default();
            let held = HashMap::from([(pair.id, Held { all, serving })]);
            producers(&mut findings, std::slice::from_ref(&pair), endpoints, &held);
            findings.0.remove(0).found
        };
        let mut all: Vec<Endpoint> = ["p1", "p2", "p3", "p4"]
            .map(|name| endpoint(name, party))
            .into();
        assert_eq!(found(&all, 4, 4), "all that are there serve");
        all[0].last_seen_at = Some(DateTime::UNIX_EPOCH);
        all[0].lost_at = Some(DateTime::UNIX_EPOCH + Duration::seconds(90));
        assert_eq!(
            found(&all, 4, 3),
            "pair shop -> stock: producer p1 does not answer since 1970-01-01 00:00 UTC; 3 others do"
        );
        // All that its consumers hold is with the one that does not answer.
        assert_eq!(
            found(&all, 4, 0),
            "pair shop -> stock: 0 % of calls succeed since 1970-01-01 00:00 UTC: producer p1 does \
             not answer; 3 others do"
        );
        all[2].phase = Some(Phase::Draining);
        assert_eq!(
            found(&all, 4, 3),
            "pair shop -> stock: producer p1 does not answer since 1970-01-01 00:00 UTC; 2 others do"
        );
        let alone = &all[..1];
        assert_eq!(
            found(alone, 1, 0),
            "pair shop -> stock: 0 % of calls succeed since 1970-01-01 00:00 UTC: producer p1 does \
             not answer; no other does"
        );
        all[0].lost_at = None;
        all[0].phase = Some(Phase::NotServing);
        assert_eq!(
            found(&all[..1], 1, 0),
            "pair shop -> stock: 0 % of calls succeed: producer p1 does not serve, as what is \
             behind it does not answer; no other does"
        );
    }
}
