//! A consumer whose bundle dies: its enclave runs in this process, and its producer is silent.

mod fleet;

use std::{collections::BTreeSet, net::TcpListener, sync::Arc, time::Duration};

use armour_api::{ItemOutcome, LinkOutcome, Policy, ReportExchanges};
use armour_enclave::{Enclave, ipc::Accepted};
use armour_protocol::v2::{identity::body::LinkBody, message::SignedTicket};
use futures::FutureExt as _;
use tokio::time::Instant;

use super::{
    bundle::{Bundle, Kind},
    giving_up::{Grace, give_up_later},
    lanes::Need,
    pair::ConsumerPair,
    testing::consumer,
    transport,
};
use crate::{
    control_plane::testing::{Answer, Asked, ControlPlane, taken},
    testing::ends::Ends,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A consumer with one bundle, of which a call opens the first lane.
struct Dying {
    consumer: Arc<ConsumerPair>,
    bundle: Arc<Bundle>,
    control_plane: ControlPlane,
    /// The producer's.
    other: Enclave,
    /// It takes connections and says nothing.
    _producer: TcpListener,
}

impl Dying {
    async fn new(report_interval: Duration) -> Self {
        let control_plane = ControlPlane::start(answer()).await;
        let producer = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", producer.local_addr().unwrap());
        let policy = Policy {
            max_lanes: 1,
            ..Policy::default()
        };
        let ends = Ends::installed(4).await;
        let (consumer, bundle) = consumer(&ends, policy, address, &control_plane);
        let reporter = consumer.reporter.clone();
        tokio::spawn(reporter.run(move || report_interval));
        Self {
            consumer,
            bundle,
            control_plane,
            other: ends.producer,
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
            let need = Need {
                kind: Kind::Call,
                until: Instant::now() + PATIENCE,
                before: &[],
            };
            let _ = consumer.lane(&need).await;
        });
    }

    /// The bundle dies, and is given up; `condemned` if it was disconnected.
    async fn die(&self, condemned: bool) {
        self.bundle.kill(condemned);
        self.consumer.serve_without(self.bundle.id);
        give_up_later(&self.consumer, self.bundle.clone(), Grace::None);
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

/// Nobody would believe the producer that it has answered.
#[tokio::test]
async fn a_receipt_that_the_enclave_took_is_reported_though_the_caller_leaves_in_that_moment() {
    let dying = Dying::new(PATIENCE * 10).await;
    let (consumer, bundle) = (&dying.consumer, &dying.bundle);
    let opened = consumer.enclave.open(bundle.id.into_bytes(), None).await;
    let (number, head) = opened.unwrap();
    let ticket = SignedTicket::from_bytes(&head).unwrap();
    consumer.reporter.add(&bundle.context, ticket.evidence());
    let lane = bundle.lane_id(number);
    let accepted = dying.other.accept(lane, head).await.unwrap();
    let Accepted::Answered { receipt, .. } = accepted else {
        panic!("it is not answered");
    };
    // The enclave is asked, and then nobody waits for its answer.
    let judged = transport::judge(consumer, bundle, lane, &receipt).now_or_never();
    assert!(judged.is_none());
    let reported = async {
        while consumer.reporter.waiting() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reported).await.unwrap();
}
