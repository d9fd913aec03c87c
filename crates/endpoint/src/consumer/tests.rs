//! A consumer whose bundle dies: its enclave runs in this process, and its producer is silent.

use std::{collections::BTreeSet, net::TcpListener, sync::Arc, time::Duration};

use armour_ambient::Random;
use armour_api::{ItemOutcome, LinkOutcome, Pair, PairState, Policy, ReportExchanges};
use armour_enclave::{
    Enclave,
    binding::{Binding, BindingEnd},
    ipc::{Install, Peer},
};
use armour_protocol::v2::{
    envelope,
    gate::Gate,
    identity::{body::LinkBody, start::SignedStart},
    schedule::BundleSecret,
};
use chrono::DateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    bundle_lifecycle::give_up_later,
    pair::{ConsumerPair, Current, Shared},
};
use crate::{
    control_plane::{
        reporter::Reporter,
        testing::{Answer, Asked, ControlPlane, OWN, taken},
    },
    wire::http_client::{HttpVersion, Trust},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A consumer with one bundle, of which a call opens the first lane.
struct Dying {
    consumer: Arc<ConsumerPair>,
    bundle: Arc<Bundle>,
    control_plane: ControlPlane,
    /// It takes connections and says nothing.
    _producer: TcpListener,
}

impl Dying {
    async fn new(report_interval: Duration) -> Self {
        let control_plane = ControlPlane::start(answer()).await;
        let session = control_plane.session();
        let (reporter, _) = Reporter::new(session.clone());
        tokio::spawn(reporter.clone().run(move || report_interval));
        let producer = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", producer.local_addr().unwrap());
        let enclave = Enclave::in_process().unwrap();
        let policy = Policy {
            max_lanes: 1,
            ..Policy::default()
        };
        let bundle = install(&enclave, policy.clone(), address).await;
        let shared = Arc::new(Shared {
            session,
            enclave,
            reporter,
            http: Trust::new(None).unwrap().client(HttpVersion::Http1),
            random: Random::seeded(7),
        });
        let current = Current::Bundle(bundle.clone());
        let pair = pair(policy);
        let consumer = Arc::new(ConsumerPair::new(shared, pair, None, 1, current));
        consumer.live.lock().push(bundle.clone());
        Self {
            consumer,
            bundle,
            control_plane,
            _producer: producer,
        }
    }

    /// A call that opens the only lane there may be, and others that wait for it.
    async fn call(&self, others: usize) {
        self.want_lane();
        let opening = async {
            while self.consumer.reporter.waiting() == 0 && reported(&self.asked()).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap();
        for _ in 0..others {
            self.want_lane();
        }
        tokio::task::yield_now().await;
    }

    fn want_lane(&self) {
        let consumer = self.consumer.clone();
        tokio::spawn(async move {
            let _ = consumer.lane(Instant::now() + PATIENCE).await;
        });
    }

    /// The bundle dies, and is given up; `condemned` if it was disconnected.
    async fn die(&self, condemned: bool) {
        self.bundle.kill(condemned);
        *self.consumer.current.lock() = Current::None("it is dead");
        give_up_later(&self.consumer, self.bundle.clone(), false);
        self.consumer.giving_up.close();
        let given_up = self.consumer.giving_up.wait();
        tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    }

    fn asked(&self) -> Vec<Asked> {
        self.control_plane.asked()
    }
}

/// Takes all that it is told, but that its first answer to each link is lost on the way.
fn answer() -> impl FnMut(usize, &Asked) -> Answer + Send + 'static {
    let mut links = 0;
    move |_, asked| match &asked.path[..] {
        "/v1/endpoint/reports" => {
            let sent: ReportExchanges = asked.read();
            let verdicts = vec![armour_api::ReportVerdict::Accepted; sent.reports.len()];
            Answer::json(&armour_api::ReportedExchanges { verdicts })
        }
        "/v1/endpoint/links" => {
            links += 1;
            let items = vec![ItemOutcome { problem: None }];
            match links {
                1 => Answer::Lost,
                _ => Answer::json(&taken(&asked.link(), LinkOutcome::Items { items })),
            }
        }
        _ => Answer::Json(serde_json::Value::Null),
    }
}

/// Starts an endpoint: what it signed of itself.
async fn start(enclave: &Enclave, endpoint: u8) -> SignedStart {
    enclave.begin_start([endpoint; 16], None).await.unwrap();
    let start = enclave.start_kept().await.unwrap();
    enclave.start_accepted().await.unwrap();
    SignedStart::from_bytes(&start).unwrap()
}

async fn install(enclave: &Enclave, policy: Policy, producer: String) -> Arc<Bundle> {
    let other = Enclave::in_process().unwrap();
    let (own, peer) = (start(enclave, 4).await, start(&other, 5).await);
    let end = |party, start: &SignedStart| BindingEnd {
        party: [party; 16],
        endpoint: *start.unverified().endpoint(),
        key: start.unverified().key().to_bytes(),
    };
    let binding = Binding {
        suite: 1,
        tenant: [1; 16],
        pair: [2; 16],
        bundle: [3; 16],
        draw: 1,
        policy: [6; 32],
        consumer: end(7, &own),
        producer: end(8, &peer),
    };
    let context = Arc::new(binding.context().unwrap());
    let (secret, mut rng) = (
        BundleSecret::from_bytes([9; 32]),
        Random::seeded(8).generator(),
    );
    let key = own.unverified().hpke_key();
    let envelope = envelope::seal(key, &context, &secret, &mut rng).unwrap();
    let (signing_key, kem_key) = other.identity().await.unwrap();
    let install = Install {
        binding,
        consumer: true,
        peer: Peer {
            signing_key,
            kem_key,
            start: peer.to_bytes(),
            renewals: Vec::new(),
            certificate: None,
        },
        envelope,
        max_lanes: 4,
        now: 1_800_000_000,
    };
    let installed = enclave.install(install).await.unwrap();
    let gate = Gate::from_bytes(*installed.gate);
    Bundle::new(policy, context, gate, producer)
}

fn pair(policy: Policy) -> Pair {
    Pair {
        id: Uuid::from_bytes([2; 16]),
        consumer_id: OWN.id,
        producer_id: Uuid::nil(),
        consumer_name: String::new(),
        producer_name: String::new(),
        state: PairState::Active,
        policy,
        created_at: DateTime::UNIX_EPOCH,
        revision: 0,
    }
}

/// The last ticket of each run that was reported: lane and number.
fn reported(asked: &[Asked]) -> BTreeSet<(u16, u64)> {
    let reports = asked
        .iter()
        .filter(|one| one.path == "/v1/endpoint/reports");
    let reports = reports.flat_map(|one| one.read::<ReportExchanges>().reports);
    reports.map(|report| (report.lane, report.first)).collect()
}

/// The lanes that the bundle was retired with, and the place of the link.
fn listed(asked: &[Asked]) -> (usize, BTreeSet<(u16, u64)>) {
    let mut links = asked.iter().enumerate();
    let link = links.find(|(_, one)| one.path == "/v1/endpoint/links");
    let (at, link) = link.expect("it is retired");
    let LinkBody::Retire(retirement) = link.link().body().clone() else {
        panic!("another link");
    };
    let lanes = retirement.bundles.iter().flat_map(|one| &one.lanes);
    (at, lanes.map(|mark| (mark.lane, mark.n)).collect())
}

/// What a copy of the producer has answered is recorded when the producer compares.
#[tokio::test]
async fn a_bundle_is_retired_once_its_last_tickets_are_reported() {
    let dying = Dying::new(PATIENCE * 10).await;
    dying.call(0).await;
    dying.die(false).await;
    let asked = dying.asked();
    let (link, lanes) = listed(&asked);
    assert_eq!(reported(&asked[..link]), lanes);
    assert!(!lanes.is_empty());
}

#[tokio::test]
async fn no_ticket_follows_the_list_of_a_bundle_that_dies_while_callers_wait_for_a_lane() {
    let dying = Dying::new(Duration::from_millis(50)).await;
    dying.call(12).await;
    dying.die(false).await;
    dying.consumer.reporter.drain(PATIENCE).await;
    let asked = dying.asked();
    assert_eq!(reported(&asked), listed(&asked).1);
}

/// A copy may have used it until it was disconnected, and what it did is recorded.
#[tokio::test]
async fn a_disconnected_bundle_is_not_forgotten_before_the_ledger_is_told_of_its_lanes() {
    let dying = Dying::new(Duration::from_millis(50)).await;
    dying.call(0).await;
    dying.die(true).await;
    dying.consumer.reporter.drain(PATIENCE).await;
    let asked = dying.asked();
    let (_, lanes) = listed(&asked);
    assert_eq!(reported(&asked), lanes);
    assert!(!lanes.is_empty());
    assert!(dying.consumer.live_ids().is_empty(), "then it is forgotten");
}
