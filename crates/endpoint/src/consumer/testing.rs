//! A consumer of a test's, with one bundle.

use std::sync::Arc;

use armour_ambient::Random;
use armour_api::{Pair, PairState, Policy};
use armour_protocol::v2::gate::Gate;
use chrono::DateTime;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    pair::{ConsumerPair, Current, Shared},
};
use crate::{
    control_plane::{
        reporter::Reporter,
        testing::{ControlPlane, OWN},
    },
    testing::ends::Ends,
    wire::http_client::{HttpVersion, Trust},
};

/// A consumer whose producer has this address.
pub(crate) fn consumer(
    ends: &Ends,
    policy: Policy,
    producer: String,
    control_plane: &ControlPlane,
) -> (Arc<ConsumerPair>, Arc<Bundle>) {
    let session = control_plane.session();
    let (reporter, _) = Reporter::new(session.clone());
    let gate = Gate::from_bytes(ends.gate);
    let bundle = Bundle::new(policy.clone(), ends.context.clone(), gate, producer);
    let shared = Arc::new(Shared {
        session,
        enclave: ends.consumer.clone(),
        reporter,
        http: Trust::new(None).unwrap().client(HttpVersion::Http1),
        random: Random::seeded(7),
    });
    let pair = Pair {
        id: Uuid::from_bytes([2; 16]),
        consumer_id: OWN.id,
        producer_id: Uuid::nil(),
        consumer_name: String::new(),
        producer_name: String::new(),
        state: PairState::Active,
        policy,
        created_at: DateTime::UNIX_EPOCH,
        revision: 0,
    };
    let current = Current::Bundle(bundle.clone());
    let consumer = Arc::new(ConsumerPair::new(shared, pair, None, 1, current));
    consumer.live.lock().push(bundle.clone());
    (consumer, bundle)
}
