//! A producer of a test's, with one bundle.

use std::{sync::Arc, time::Duration};

use armour_api::Policy;
use armour_protocol::v2::gate::Gate;
use axum::Router;
use parking_lot::RwLock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::util::BoxCloneSyncService;
use uuid::Uuid;

use super::{
    bundles::{Bundles, Held, Known},
    clock::ProducerClock,
    endpoint::ProducerEndpoint,
    upstream::Upstream,
};
use crate::{
    control_plane::{reporter::Reporter, testing::ControlPlane},
    testing::ends::Ends,
};

/// A producer that has its API in this process.
pub(crate) async fn producer(
    ends: &Ends,
    policy: Policy,
    api: Router,
    control_plane: &ControlPlane,
) -> (Arc<ProducerEndpoint>, Arc<Held>) {
    let session = control_plane.session();
    let (reporter, _) = Reporter::new(session.clone());
    let bundles = Arc::new(Bundles::new(session.clone(), ends.producer.clone()));
    let gate = Gate::from_bytes(ends.gate);
    bundles.adopt(Held::stolen(policy, ends.context.clone(), gate));
    let id = Uuid::from_bytes(ends.context.binding().bundle);
    let Some(Known::Held(held)) = bundles.get(id).await else {
        panic!("it is not held");
    };
    let clock = ends.producer.hardening().await.unwrap().started_ms;
    let producer = Arc::new(ProducerEndpoint {
        session,
        reporter,
        bundles,
        upstream: RwLock::new(Upstream::Here(BoxCloneSyncService::new(api))),
        enclave: ends.producer.clone(),
        heartbeat: Duration::from_secs(5),
        clock: ProducerClock::new(clock),
        running: TaskTracker::new(),
        closed: CancellationToken::new(),
    });
    (producer, held)
}
