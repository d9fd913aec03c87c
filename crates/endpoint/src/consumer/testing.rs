//! A consumer of a test's, with one bundle or several.

use std::sync::Arc;

use armour_ambient::Random;
use armour_api::{Pair, PairState, Policy};
use armour_protocol::v2::gate::Gate;
use chrono::DateTime;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    pair::{ConsumerPair, Shared},
    probing,
    settings::Manner,
    standing::Standing,
};
use crate::{
    access_log::AccessLog,
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
    let producers = [(ends, producer)];
    let consumer = consumer_of(&producers, policy, control_plane);
    let bundle = consumer.current().unwrap();
    (consumer, bundle)
}

/// A consumer with a bundle with each of these producers, at these addresses.
pub(crate) fn consumer_of(
    producers: &[(&Ends, String)],
    policy: Policy,
    control_plane: &ControlPlane,
) -> Arc<ConsumerPair> {
    let session = control_plane.session();
    let (reporter, _) = Reporter::new(session.clone());
    let random = Random::seeded(7);
    let shared = Arc::new(Shared {
        session,
        enclave: producers[0].0.consumer.clone(),
        reporter,
        http: Trust::new(None).unwrap().client(HttpVersion::Http1),
        random: random.clone(),
        access_log: AccessLog::default(),
    });
    let pair = Pair {
        id: Uuid::from_bytes([2; 16]),
        consumer_id: OWN.id,
        producer_id: Uuid::nil(),
        consumer_name: String::new(),
        producer_name: String::new(),
        state: PairState::Active,
        policy: policy.clone(),
        created_at: DateTime::UNIX_EPOCH,
        revision: 0,
    };
    let manner = Manner {
        retry_for: 1,
        ..Manner::default()
    };
    let consumer = Arc::new(ConsumerPair::new(shared, pair, manner));
    for (ends, address) in producers {
        let context = ends.context.clone();
        let endpoint = Uuid::from_bytes(context.binding().producer.endpoint);
        let standing = Standing::new(endpoint, random.clone());
        let gate = Gate::from_bytes(ends.gate);
        let bundle = Bundle::new(policy.clone(), context, gate, address.clone(), standing);
        consumer.taken.lock().insert(bundle.id);
        consumer.live.lock().push(bundle.clone());
        consumer.serve_by(bundle.clone(), None);
        if producers.len() > 1 {
            tokio::spawn(probing::run(consumer.clone(), bundle));
        }
    }
    consumer
}
