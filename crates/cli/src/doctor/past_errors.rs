//! Errors of endpoints that are over: a consumer's agent that starts before its producer's is told
//! that there is no bundle yet, and has its bundles a moment later.

use std::collections::HashMap;

use armour_api::{Bundle, BundleState, Endpoint, Pair, PairState, Role};
use armour_client::Client;
use uuid::Uuid;

/// What a consumer's agent tells that could draw none begins with this.
const NO_BUNDLE: &str = "no bundle:";
/// Of how many pairs the bundles are looked at.
const MAX_PAIRS: usize = 20;

/// What is known of pairs and bundles, to tell errors that are over. It is looked up once.
pub(super) struct PastErrors<'a> {
    client: &'a Client,
    pairs: Option<Vec<Pair>>,
    bundles: HashMap<Uuid, Vec<Bundle>>,
}

impl<'a> PastErrors<'a> {
    /// Nothing is known yet.
    pub(super) fn new(client: &'a Client) -> Self {
        Self {
            client,
            pairs: None,
            bundles: HashMap::new(),
        }
    }

    /// Whether an endpoint's last error is over. One of which that is not known is not, nor are
    /// those of a tenant of which much would have to be looked up.
    pub(super) async fn holds(&mut self, endpoint: &Endpoint) -> bool {
        if !is_of_drawing(endpoint) {
            return false;
        }
        if self.pairs.is_none() {
            self.pairs = self.client.pairs().every().await.ok();
        }
        let own: Vec<Uuid> = own(endpoint, self.pairs.as_deref().unwrap_or_default()).collect();
        for pair in &own {
            if self.bundles.contains_key(pair) {
                continue;
            }
            if self.bundles.len() == MAX_PAIRS {
                return false;
            }
            match self.client.bundles(Some(*pair)).await {
                Ok(page) => self.bundles.insert(*pair, page.items),
                Err(_) => return false,
            };
        }
        let bundles = own.iter().filter_map(|pair| self.bundles.get(pair));
        let bundles: Vec<&Bundle> = bundles.flatten().collect();
        has_bundles_since(endpoint, &own, &bundles)
    }
}

fn is_of_drawing(endpoint: &Endpoint) -> bool {
    let error = endpoint.last_error.as_deref().unwrap_or_default();
    endpoint.role == Role::Consumer && error.starts_with(NO_BUNDLE)
}

/// The pairs that an endpoint should hold bundles of.
fn own(endpoint: &Endpoint, pairs: &[Pair]) -> impl Iterator<Item = Uuid> {
    pairs
        .iter()
        .filter(|one| one.consumer_id == endpoint.party_id && one.state == PairState::Active)
        .map(|pair| pair.id)
}

/// Whether an endpoint holds a bundle of each of its pairs, one of which is of after its error:
/// which of them that was about is not said.
fn has_bundles_since(endpoint: &Endpoint, pairs: &[Uuid], bundles: &[&Bundle]) -> bool {
    let held = |pair: Uuid| {
        bundles.iter().filter(move |one| {
            one.pair_id == pair
                && one.consumer_endpoint_id == endpoint.id
                && one.state == BundleState::Active
        })
    };
    let is_later = |one: &&Bundle| endpoint.last_error_at.is_some_and(|at| one.created_at > at);
    pairs.iter().all(|pair| held(*pair).next().is_some())
        && pairs.iter().any(|pair| held(*pair).any(is_later))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, Utc};
    use serde_json::json;

    use super::*;

    const FAILED: DateTime<Utc> = DateTime::UNIX_EPOCH;
    const PAIRS: [Uuid; 2] = [Uuid::from_u128(1), Uuid::from_u128(2)];

    fn consumer(error: &str) -> Endpoint {
        let nil = Uuid::nil();
        let endpoint = json!({
            "id": nil, "tenant_id": nil, "party_id": nil, "role": "consumer", "name": "shop",
            "signing_key": "", "kem_key": "", "address": null, "state": "active", "version": "0",
            "created_at": FAILED, "last_seen_at": FAILED, "lost_at": null, "enrol_seq": 1,
            "last_error": error, "last_error_at": FAILED,
        });
        serde_json::from_value(endpoint).unwrap()
    }

    fn bundle(pair: Uuid, after_s: i64, state: BundleState) -> Bundle {
        Bundle {
            id: Uuid::nil(),
            pair_id: pair,
            consumer_endpoint_id: Uuid::nil(),
            producer_endpoint_id: Uuid::from_u128(9),
            suite: 1,
            state,
            created_at: FAILED + Duration::seconds(after_s),
            superseded_at: None,
            disconnected_at: None,
            exchanges: 0,
        }
    }

    #[test]
    fn a_consumer_that_came_before_its_producer_is_not_warned_of_once_it_has_its_bundles() {
        use BundleState::{Active, Retired};
        let endpoint = consumer("no bundle: no producer serves");
        assert!(is_of_drawing(&endpoint));
        let over = |bundles: &[Bundle]| {
            has_bundles_since(&endpoint, &PAIRS, &bundles.iter().collect::<Vec<_>>())
        };
        let (first, second) = (bundle(PAIRS[0], 1, Active), bundle(PAIRS[1], -9, Active));
        assert!(over(&[first.clone(), second.clone()]));
        // One of its pairs still has none, the other's is from before, or not in use any more.
        assert!(!over(std::slice::from_ref(&first)));
        assert!(!over(&[bundle(PAIRS[0], -1, Active), second.clone()]));
        assert!(!over(&[bundle(PAIRS[0], 1, Retired), second.clone()]));
        let others = Bundle {
            consumer_endpoint_id: Uuid::from_u128(7),
            ..first
        };
        assert!(!over(&[others, second]));
        assert!(!has_bundles_since(&endpoint, &[], &[]));
    }

    #[test]
    fn whatever_else_went_wrong_is_warned_of() {
        assert!(!is_of_drawing(&consumer(
            "the producer does not answer on an idle lane"
        )));
        let mut producer = consumer("no bundle: x");
        producer.role = Role::Producer;
        assert!(!is_of_drawing(&producer));
    }
}
