//! A consumer's endpoint that has tickets to report, signed beforehand.

use std::sync::Arc;

use anyhow::Context as _;
use armour_api::{LaneReport, NewPair, Policy, Role};
use armour_benches::service::{Drawn, enrol, report};
use armour_client::Client;
use armour_protocol::{
    crypto::Signer,
    v2::{
        body::BodyHash,
        context::{Binding, Context},
        ledger::Run,
    },
};
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
pub type Ends = Vec<(usize, End)>;

/// Where a lane ends: its next exchange, and what that ticket names.
pub type End = (u64, BodyHash);

/// What one call reports.
#[derive(Default)]
pub struct Call {
    /// The reports.
    pub reports: Vec<LaneReport>,
    /// Where their lanes end.
    pub ends: Ends,
}

/// An enrolled consumer with bundles, and the key of the producer's end.
pub struct Reporter {
    /// Its client.
    pub client: Client,
    /// Its endpoint's id.
    pub endpoint: Uuid,
    /// Its pair's id.
    pub pair: Uuid,
    keys: (Arc<Signer>, Arc<Signer>),
    lanes: Vec<Lane>,
}

/// A lane of a bundle, and where it ends.
pub struct Lane {
    bundle: Arc<Context>,
    lane: u16,
    end: End,
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
        let mut producer = enrol(base, operator, Role::Producer, producer.id).await?;
        // Once it has said that it serves.
        producer.heartbeat(&[]).await?;
        let mut consumer = enrol(base, operator, Role::Consumer, consumer.id).await?;
        let Drawn { context, .. } = consumer.draw(pair.id).await?;
        let context = Arc::new(context);
        Ok(Self {
            keys: (consumer.signer()?, producer.signer()?),
            endpoint: consumer.id,
            pair: pair.id,
            lanes: (0..512).map(|lane| Lane::of(&context, lane)).collect(),
            client: consumer.client,
        })
    }

    /// The bundle of its first lane.
    pub fn bundle(&self) -> Uuid {
        let first = self.lanes.first();
        first.map_or(Uuid::nil(), |lane| {
            Uuid::from_bytes(lane.bundle.binding().bundle)
        })
    }

    /// Reports of the first lane of a bundle of each of these pairs from now on, which the
    /// ledger knows up to the first exchange. Returns bundles and exchanges.
    pub fn set_pairs(&mut self, pairs: &[Uuid]) -> anyhow::Result<Vec<(Arc<Context>, Run)>> {
        let sample = self.lanes.first().context("a lane")?;
        let sample = sample.bundle.binding().clone();
        let bundles = pairs.iter().map(|pair| {
            Arc::new(Context::new(Binding {
                pair: pair.into_bytes(),
                bundle: Uuid::now_v7().into_bytes(),
                draw: 1,
                ..sample.clone()
            }))
        });
        self.lanes = bundles.map(|bundle| Lane::of(&bundle, 0)).collect();
        let keys = self.keys.clone();
        let lanes = self.lanes.iter_mut();
        lanes
            .map(|lane| Ok((lane.bundle.clone(), lane.run(&keys, 1)?)))
            .collect()
    }

    /// So many calls, each of which reports the next exchanges of some lanes, drawn at
    /// random. They count for nothing until [`Self::accepted`].
    pub fn calls(&mut self, shape: Shape, count: usize) -> anyhow::Result<Vec<Call>> {
        let before: Vec<End> = self.lanes.iter().map(|lane| lane.end).collect();
        let calls = (0..count).map(|_| self.call(shape)).collect();
        for (lane, end) in self.lanes.iter_mut().zip(before) {
            lane.end = end;
        }
        calls
    }

    /// The ledger has accepted a call; in their order.
    pub fn accepted(&mut self, ends: Ends) {
        for (at, end) in ends {
            self.lanes[at].end = end;
        }
    }

    fn call(&mut self, shape: Shape) -> anyhow::Result<Call> {
        let mut rng = rand::rng();
        let most = self.lanes.len();
        let start = rng.random_range(0..most);
        // Far from each other, and no lane twice.
        let step = (most / shape.lanes).max(1);
        let mut call = Call::default();
        for place in 0..shape.lanes {
            let at = (start + place * step) % most;
            let lane = &mut self.lanes[at];
            let run = lane.run(&self.keys, shape.tickets)?;
            let bundle = Uuid::from_bytes(lane.bundle.binding().bundle);
            call.reports.push(report(bundle, &run));
            call.ends.push((at, lane.end));
        }
        Ok(call)
    }
}

impl Lane {
    fn of(bundle: &Arc<Context>, lane: u16) -> Self {
        Self {
            end: (0, BodyHash::opening(bundle, lane)),
            bundle: bundle.clone(),
            lane,
        }
    }

    /// Its next exchanges.
    fn run(&mut self, keys: &(Arc<Signer>, Arc<Signer>), count: usize) -> anyhow::Result<Run> {
        let (first, previous) = self.end;
        let rests = (0..2 * count).map(|_| rand::rng().random()).collect();
        let keys = (&*keys.0, &*keys.1);
        let run = Run::signed(&self.bundle, self.lane, first, previous, rests, keys);
        let run = run.context("a run")?;
        let next = run.next(&self.bundle).context("what follows")?;
        self.end = (first + count as u64, next);
        Ok(run)
    }
}
