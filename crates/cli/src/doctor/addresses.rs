//! Addresses that more than one living endpoint claims: a balancer in front of agents.

use std::collections::BTreeMap;

use armour_api::{Endpoint, EndpointState, Phase, Role};

use super::findings::Findings;

/// Warns of addresses that several endpoints claim that are heard of.
pub(super) fn check(findings: &mut Findings, endpoints: &[Endpoint]) {
    let shared = shared(endpoints);
    if !shared.is_empty() {
        findings.warning(
            "addresses",
            shared.join("; "),
            "only the first is called: give each agent an address of its own with --address, \
             without a balancer in front: docs/agent.md",
        );
    }
}

fn shared(endpoints: &[Endpoint]) -> Vec<String> {
    let mut claims: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let alive = endpoints.iter().filter(|one| {
        let is_there = one.lost_at.is_none() && one.left_at.is_none();
        one.role == Role::Producer
            && one.state == EndpointState::Active
            && is_there
            // Its successor may have its address already.
            && one.phase != Some(Phase::Draining)
    });
    for one in alive {
        if let Some(address) = &one.address {
            claims.entry(address).or_default().push(&one.name);
        }
    }
    let shared = claims.into_iter().filter(|(_, names)| names.len() > 1);
    shared
        .map(|(address, names)| format!("{address} is claimed by {}", names.join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn producer(name: &str, address: &str) -> Endpoint {
        let nil = uuid::Uuid::nil();
        let then = "2026-01-01T00:00:00Z";
        let endpoint = json!({
            "id": nil, "tenant_id": nil, "party_id": nil, "role": "producer", "name": name,
            "signing_key": "", "kem_key": "", "address": address, "state": "active",
            "version": "0", "created_at": then, "last_seen_at": then, "lost_at": null,
            "enrol_seq": 1, "last_error": null, "last_error_at": null,
        });
        serde_json::from_value(endpoint).unwrap()
    }

    #[test]
    fn endpoints_behind_one_balancer_are_named_for_as_long_as_they_live() {
        let mut all = vec![
            producer("stock-1", "http://stock:7202"),
            producer("stock-2", "http://stock:7202"),
            producer("till", "http://till:7202"),
        ];
        assert_eq!(
            shared(&all),
            ["http://stock:7202 is claimed by stock-1, stock-2"]
        );
        all[0].phase = Some(Phase::Draining);
        assert!(shared(&all).is_empty());
        all[0].phase = None;
        all[1].lost_at = Some(all[1].created_at);
        assert!(shared(&all).is_empty());
        all[1].lost_at = None;
        all[1].role = Role::Consumer;
        assert!(shared(&all).is_empty());
    }
}
