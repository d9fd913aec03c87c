//! Lanes of the tests, by the protocol's own states at both ends. The same seeds make the
//! same messages: whoever shares some and then differs holds a copy.

use std::sync::Arc;

use armour_ambient::{Generator, Random};
use armour_api::{BundleGrant, LaneReport, Role};
use armour_protocol::{
    crypto::Sign,
    v2::{
        body::{BodyHash, Kind},
        context::Context,
        enclave::{
            LaneMark, consumer,
            producer::{self, Accepted, BareAfter},
        },
        ledger::Run,
        message::Evidence,
        run_builder::RunBuilder,
        schedule::BundleSecret,
        time::{LocalTime, ProducerTime},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::endpoint::context;

const MAX_LANES: u16 = 16;
const NOW: u64 = 10_000;

/// A bundle and who signs in it.
pub struct TestBundle<'a> {
    pub id: Uuid,
    pub context: Arc<Context>,
    /// Signs receipts.
    producer: &'a (dyn Sign + Sync),
    /// Signs tickets.
    consumer: &'a (dyn Sign + Sync),
}

impl<'a> TestBundle<'a> {
    /// A bundle, with whoever holds its two ends' keys.
    pub fn of(
        grant: &BundleGrant,
        consumer: &'a (dyn Sign + Sync),
        producer: &'a (dyn Sign + Sync),
    ) -> Self {
        Self {
            id: grant.bundle.id,
            context: Arc::new(context(grant)),
            consumer,
            producer,
        }
    }

    /// A lane's tickets and receipts in turn, from its opening on: for each exchange the seeds
    /// of the two.
    pub fn history(&self, lane: u16, exchanges: &[(u64, u64)]) -> Vec<Evidence> {
        let secret = || BundleSecret::from_bytes([7; 32]);
        let mut consumers = consumer::Lanes::new(self.context.clone(), secret(), MAX_LANES);
        let mut producers = producer::Lanes::new(self.context.clone(), secret(), MAX_LANES);
        let (now, clock) = (LocalTime(NOW), ProducerTime(NOW));
        let (consumer, producer) = (By(self.consumer), By(self.producer));
        let (first, rest) = exchanges.split_first().expect("an opening");
        let mut fresh = consumers.fresh().expect("a lane");
        for _ in 0..lane {
            fresh = consumers.fresh().expect("a lane");
        }
        let mut said = Vec::new();
        let (opening, ticket) = fresh
            .open(b"", None, &mut random(first.0, Role::Consumer))
            .expect("opens");
        let ticket = ticket.sign(&consumer);
        let (opened, _) = producers.open(&ticket).expect("opened");
        let answer = opened.answer(b"", clock, &mut random(first.1, Role::Producer));
        let (mut ready, receipt) = answer.expect("answers");
        let receipt = receipt.sign(&producer);
        let mut idle = opening
            .receive(&receipt, now)
            .unwrap_or_else(|_| panic!("a receipt"));
        said.extend([ticket.evidence(), receipt.evidence()]);
        for seeds in rest {
            let refreshed = idle.refresh(now, &mut random(seeds.0, Role::Consumer));
            let (waiting, ticket) = refreshed.expect("refreshes");
            let ticket = ticket.sign(&consumer);
            let Ok(Accepted::Bare(bare)) = ready.accept(&ticket) else {
                panic!("a ticket without content");
            };
            let answer = bare.answer(clock, &mut random(seeds.1, Role::Producer));
            let (BareAfter::Ready(after), receipt) = answer.expect("answers") else {
                panic!("it was not the last ticket");
            };
            let receipt = receipt.sign(&producer);
            ready = *after;
            idle = waiting
                .receive(&receipt, now)
                .unwrap_or_else(|_| panic!("a receipt"));
            said.extend([ticket.evidence(), receipt.evidence()]);
        }
        said
    }

    /// A lane with so many exchanges, those of everybody who has this seed alone.
    pub fn plain(&self, lane: u16, exchanges: u64) -> Vec<Evidence> {
        let seeds: Vec<(u64, u64)> = (0..exchanges).map(|n| (n, n)).collect();
        self.history(lane, &seeds)
    }

    /// A report of a part of a history, which begins with a ticket.
    pub fn report(&self, part: &[Evidence]) -> LaneReport {
        wire(self.id, &self.run(part))
    }

    /// A run of so many exchanges whose messages nobody made, signed by both ends. The same
    /// seed makes the same rests. It follows `before`, or opens the lane.
    pub fn made_up(&self, lane: u16, exchanges: u64, seed: u8, before: Option<&Run>) -> Run {
        let (first, previous) = match before {
            None => (0, BodyHash::opening(&self.context, lane)),
            Some(run) => (
                run.first + run.rests.len() as u64 / 2,
                run.next(&self.context).expect("it ends with a receipt"),
            ),
        };
        let rests = (2 * first..2 * (first + exchanges)).map(|place| {
            let mut rest = [seed; 32];
            rest[..8].copy_from_slice(&place.to_be_bytes());
            rest
        });
        let keys = (&By(self.consumer), &By(self.producer));
        Run::signed(&self.context, lane, first, previous, rests.collect(), keys).expect("a run")
    }

    /// Who signs tickets, and who receipts.
    pub(super) fn keys(&self) -> (By<'_>, By<'_>) {
        (By(self.consumer), By(self.producer))
    }

    /// A report of a run.
    pub fn report_of(&self, run: &Run) -> LaneReport {
        wire(self.id, run)
    }

    /// The part as a run.
    pub fn run(&self, part: &[Evidence]) -> Run {
        let (first, rest) = part.split_first().expect("a ticket");
        let mut run = RunBuilder::of(first);
        for next in rest {
            assert!(run.push(&self.context, next), "it follows");
        }
        run.finish()
    }
}

/// A run as a report of a bundle.
fn wire(bundle: Uuid, run: &Run) -> LaneReport {
    LaneReport {
        bundle_id: bundle,
        lane: run.lane,
        exchange: None,
        first: run.first,
        previous: STANDARD.encode(run.previous.0),
        before: run.before.map(|before| STANDARD.encode(before.to_bytes())),
        rests: STANDARD.encode(run.rests.concat()),
        ticket: STANDARD.encode(run.ticket.to_bytes()),
        receipt: run
            .receipt
            .as_ref()
            .map(|proof| STANDARD.encode(proof.to_bytes())),
    }
}

/// How far a lane came, by its last body of a kind.
pub fn mark(history: &[Evidence], kind: Kind) -> LaneMark {
    let last = history
        .iter()
        .rev()
        .find(|said| said.body.header.kind == kind);
    let body = last.expect("one of this kind").body;
    LaneMark {
        lane: body.header.lane,
        n: body.header.n,
        k: 0,
        hash: body.hash(),
    }
}

pub(super) struct By<'a>(&'a (dyn Sign + Sync));

impl Sign for By<'_> {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.0.signature(message)
    }
}

/// What each side draws for its message.
fn random(seed: u64, side: Role) -> Generator {
    Random::seeded(2 * seed + u64::from(side == Role::Producer)).generator()
}
