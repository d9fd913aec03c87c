//! A consumer's endpoint that has tickets to report, signed beforehand.

use armour_api::{NewPair, Policy, Role, TicketReport};
use armour_benches::service::enrol;
use armour_client::Client;
use armour_protocol::{
    Suite,
    crypto::Signer,
    ledger::Chain,
    ticket::{NO_PREVIOUS, SignedTicket, Ticket},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::RngExt;
use uuid::Uuid;

/// How much is reported in one call.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Lanes, one report each.
    pub lanes: usize,
    /// Tickets of each.
    pub tickets: usize,
}

impl Shape {
    /// Exchanges that one call reports.
    pub fn exchanges(self) -> usize {
        self.lanes * self.tickets
    }
}

/// Where lanes end after a call.
pub type Ends = Vec<(usize, Option<Ticket>)>;

/// What one call reports.
#[derive(Default)]
pub struct Call {
    /// The reports.
    pub reports: Vec<TicketReport>,
    /// Where their lanes end.
    pub ends: Ends,
}

/// An enrolled consumer with bundles.
pub struct Reporter {
    /// Its client.
    pub client: Client,
    /// Its endpoint's id.
    pub endpoint: Uuid,
    /// The producer's endpoint's.
    pub producer: Uuid,
    /// Its pair's id.
    pub pair: Uuid,
    key: Signer,
    lanes: Vec<Lane>,
}

/// A lane of a bundle, and its last ticket.
pub struct Lane {
    /// The bundle.
    pub bundle: Uuid,
    lane: u32,
    last: Option<Ticket>,
}

impl Reporter {
    /// Enrols in a pair of its own and draws a bundle.
    pub async fn new(base: &str, operator: &Client) -> anyhow::Result<Self> {
        let name = Uuid::new_v4().to_string();
        let consumer = operator.create_party(Role::Consumer, &name).await?;
        let producer = operator.create_party(Role::Producer, &name).await?;
        let pair = operator
            .create_pair(&NewPair {
                consumer_id: consumer.id,
                producer_id: producer.id,
                policy: Policy::default(),
            })
            .await?;
        let producer = enrol(base, operator, Role::Producer, producer.id).await?;
        let consumer = enrol(base, operator, Role::Consumer, consumer.id).await?;
        let grant = consumer.client.request_bundle(pair.id, None).await?;
        let mut reporter = Self {
            key: Signer::new(&consumer.key),
            client: consumer.client,
            endpoint: consumer.id,
            producer: producer.id,
            pair: pair.id,
            lanes: Vec::new(),
        };
        reporter.set_lanes(grant.bundle.id, 512);
        Ok(reporter)
    }

    /// Reports of these many lanes of one bundle from now on.
    fn set_lanes(&mut self, bundle: Uuid, count: u32) {
        let lanes = (0..count).map(|lane| Lane {
            bundle,
            lane,
            last: None,
        });
        self.lanes = lanes.collect();
    }

    /// Reports of the first lane of each of these bundles from now on, which the
    /// ledger knows up to the first ticket. Returns these tickets.
    pub fn set_bundles(&mut self, bundles: &[Uuid]) -> Vec<SignedTicket> {
        self.lanes.clear();
        bundles
            .iter()
            .map(|bundle| {
                let mut lane = Lane {
                    bundle: *bundle,
                    lane: 0,
                    last: None,
                };
                let signed = next(&self.key, &mut lane);
                self.lanes.push(lane);
                signed
            })
            .collect()
    }

    /// So many calls, each of which reports the next tickets of some lanes, drawn at
    /// random. They count for nothing until [`Self::accepted`].
    pub fn calls(&mut self, shape: Shape, count: usize) -> Vec<Call> {
        let before: Vec<_> = self.lanes.iter().map(|lane| lane.last).collect();
        let calls = (0..count).map(|_| self.call(shape)).collect();
        for (lane, last) in self.lanes.iter_mut().zip(before) {
            lane.last = last;
        }
        calls
    }

    /// The ledger has accepted a call; in their order.
    pub fn accepted(&mut self, ends: Ends) {
        for (at, last) in ends {
            self.lanes[at].last = last;
        }
    }

    fn call(&mut self, shape: Shape) -> Call {
        let mut rng = rand::rng();
        let most = self.lanes.len();
        let start = rng.random_range(0..most);
        // Far from each other, and no lane twice.
        let step = (most / shape.lanes).max(1);
        let mut call = Call::default();
        for place in 0..shape.lanes {
            let at = (start + place * step) % most;
            let report = report(&self.key, &mut self.lanes[at], shape.tickets);
            call.reports.push(report);
            call.ends.push((at, self.lanes[at].last));
        }
        call
    }
}

fn next(key: &Signer, lane: &mut Lane) -> SignedTicket {
    let ticket = Ticket {
        suite: Suite::X25519,
        bundle: *lane.bundle.as_bytes(),
        lane: lane.lane,
        n: lane.last.map_or(0, |last| last.n + 1),
        previous: lane.last.map_or(NO_PREVIOUS, |last| last.hash()),
        share_digest: rand::rng().random(),
    };
    lane.last = Some(ticket);
    ticket.sign(key)
}

fn report(key: &Signer, lane: &mut Lane, tickets: usize) -> TicketReport {
    let first = next(key, lane);
    let mut chain = Chain::of(&first);
    let mut before = first.ticket;
    for _ in 1..tickets {
        let signed = next(key, lane);
        chain.push(&before, &signed);
        before = signed.ticket;
    }
    TicketReport {
        bundle_id: lane.bundle,
        lane: lane.lane,
        first: chain.first,
        previous: STANDARD.encode(chain.previous.0),
        entries: STANDARD.encode(chain.entries),
        age_ms: 0,
    }
}
