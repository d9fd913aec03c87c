//! A bundle of version 2 for tests, made from fixed seeds. All that crosses the network or
//! the enclave's door goes through its bytes.

use std::sync::Arc;

use armour_protocol::v2::{
    body::Direction,
    checkpoint::{CheckpointClaim, SignedCheckpoint},
    content::{DigestKind, Padding},
    context::{self, Context},
    enclave::{
        After,
        consumer::{self, Answered, Idle, Received, Waiting},
        producer::{self, Accepted, Answering, Concluded, Ready},
    },
    gate::{FRAME_PREFIX, Gate, frame_len},
    message::{SignedReceipt, SignedTicket},
    proof::Proof,
    proxy::{
        Arrived, Begun, Conclusion, DueCheckpoint, Incoming, Outgoing, Pending, SEGMENT_HEADER_LEN,
        SegmentHeader, Undecided, WholeContent,
    },
    schedule::BundleSecret,
    suite::{self, Suite},
    time::{LocalTime, ProducerTime},
    transient::Answer,
};
use ed25519_dalek::SigningKey;

use crate::recording::Recording;

#[path = "../../src/v2/testing.rs"]
mod testing;

pub use testing::binding;

pub const MINTED: [u8; 32] = [7; 32];
pub const MAX_LANES: u16 = 4;
pub const BUDGET: u32 = 2_000;
pub const LOG_HEAD: &[u8] = b"a signed log head";

pub struct World {
    pub consumer: SigningKey,
    pub producer: SigningKey,
    pub context: Arc<Context>,
    pub gate: Gate,
    pub consumer_lanes: consumer::Lanes,
    pub producer_lanes: producer::Lanes,
    pub rng: Recording,
    /// The consumer's clock and the producer's run alike here.
    pub now: u64,
}

/// A request on the wire.
#[derive(Clone)]
pub struct Sent {
    pub ticket: SignedTicket,
    pub body: Vec<u8>,
}

/// A response on the wire.
#[derive(Clone)]
pub struct Replied {
    pub receipt: SignedReceipt,
    pub body: Vec<u8>,
}

impl World {
    pub fn new(suite: Suite) -> Self {
        let consumer = SigningKey::from_bytes(&[1; 32]);
        let producer = SigningKey::from_bytes(&[2; 32]);
        let context = Arc::new(testing::context(suite));
        let consumer_lanes =
            consumer::Lanes::new(context.clone(), BundleSecret::from_bytes(MINTED), MAX_LANES);
        let producer_lanes =
            producer::Lanes::new(context.clone(), BundleSecret::from_bytes(MINTED), MAX_LANES);
        let gate = Gate::from_bytes(*consumer_lanes.gate().as_bytes());
        assert_eq!(gate.as_bytes(), producer_lanes.gate().as_bytes());
        Self {
            consumer,
            producer,
            context,
            gate,
            consumer_lanes,
            producer_lanes,
            rng: Recording::new([9; 32]),
            now: 10_000,
        }
    }

    pub fn local(&self) -> LocalTime {
        LocalTime(self.now)
    }

    pub fn clock(&self) -> ProducerTime {
        ProducerTime(self.now + 500)
    }

    /// Opens the next lane.
    pub fn opened(&mut self) -> (Idle, Ready) {
        let fresh = self.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(LOG_HEAD, None, &mut self.rng).unwrap();
        let ticket = self.ticket(&ticket.sign(&self.consumer));
        assert_eq!(ticket.unverified().log_head(), Some(LOG_HEAD));
        let (opened, replaced) = self.producer_lanes.open(&ticket).unwrap();
        assert_eq!(replaced, None);
        let (ready, receipt) = opened
            .answer(LOG_HEAD, self.clock(), &mut self.rng)
            .unwrap();
        let receipt = self.receipt(&receipt.sign(&self.producer));
        let idle = opening.receive(&receipt, self.local());
        (idle.map_err(|(_, error)| error).unwrap(), ready)
    }

    /// The ticket as it arrives.
    pub fn ticket(&self, sent: &SignedTicket) -> SignedTicket {
        let frame = self.gate.frame(Direction::Request, &sent.to_bytes());
        SignedTicket::from_bytes(self.pass(Direction::Request, &frame)).unwrap()
    }

    /// The receipt as it arrives.
    pub fn receipt(&self, sent: &SignedReceipt) -> SignedReceipt {
        let frame = self.gate.frame(Direction::Response, &sent.to_bytes());
        match Answer::from_bytes(self.pass(Direction::Response, &frame)).unwrap() {
            Answer::Receipt(receipt) => *receipt,
            Answer::Transient(_) => panic!("a receipt was sent"),
        }
    }

    fn pass<'a>(&self, direction: Direction, frame: &'a [u8]) -> &'a [u8] {
        let (prefix, rest) = frame.split_first_chunk::<FRAME_PREFIX>().unwrap();
        assert_eq!(frame_len(*prefix), Ok(rest.len()));
        self.gate.check(direction, rest).unwrap()
    }

    /// Begins a call with whole content.
    pub fn begin(&mut self, idle: Idle, content: &[u8]) -> (Waiting, Sent) {
        let content = whole(content);
        let claim = content.claim();
        let (waiting, ticket, outgoing) = idle
            .begin(claim, self.local(), BUDGET, &mut self.rng)
            .unwrap();
        let mut body = Vec::new();
        content.seal(door_out(outgoing), &mut body).unwrap();
        let ticket = ticket.sign(&self.consumer);
        (waiting, Sent { ticket, body })
    }

    /// Accepts a call at the producer's enclave.
    pub fn accept(&self, ready: Ready, sent: &Sent) -> (Answering, Pending) {
        let ticket = self.ticket(&sent.ticket);
        match ready.accept(&ticket).map_err(|(_, error)| error).unwrap() {
            Accepted::Call(answering, incoming) => {
                let pending = Pending::new(self.context.clone(), door_in(incoming));
                (answering, pending)
            }
            Accepted::Bare(_) => panic!("the ticket carries content"),
        }
    }

    /// Begins the call at the producer's proxy, and gives its content.
    pub fn run(&self, pending: Pending, sent: &Sent) -> (Begun, Vec<u8>) {
        match received(pending, &sent.body).begin(self.clock()) {
            Ok((begun, Arrived::Whole(content))) => (begun, content.content().to_vec()),
            _ => panic!("a whole request that is not late begins"),
        }
    }

    pub fn conclude(&mut self, answering: Answering, conclusion: Conclusion) -> Concluded {
        let conclusion = Conclusion::from_bytes(&conclusion.to_bytes()).unwrap();
        let concluded = answering.conclude(conclusion, self.clock(), &mut self.rng);
        concluded.map_err(|(_, error)| error).unwrap()
    }

    /// Answers a call that has begun, with whole content.
    pub fn reply(
        &mut self,
        answering: Answering,
        begun: Begun,
        content: &[u8],
    ) -> (Ready, Replied) {
        let content = whole(content);
        let concluded = self.conclude(answering, begun.answer(content.claim()));
        let mut body = Vec::new();
        let outgoing = door_out(concluded.outgoing.unwrap());
        content.seal(outgoing, &mut body).unwrap();
        let receipt = concluded.receipt.sign(&self.producer);
        (lane(concluded.lane), Replied { receipt, body })
    }

    /// Takes a response with whole content.
    pub fn take(&self, waiting: Waiting, replied: &Replied) -> (Idle, Vec<u8>) {
        let received = self.received(waiting, &replied.receipt);
        let Answered::Content(incoming) = received.answer else {
            panic!("the receipt carries content");
        };
        let (header, sealed) = one(&replied.body);
        let response = door_in(incoming).open(header, sealed).unwrap();
        match response.verify(&self.context).unwrap() {
            Arrived::Whole(content) => (lane(received.lane), content.into_bytes().to_vec()),
            Arrived::Stream(..) => panic!("the response is whole"),
        }
    }

    pub fn received(&self, waiting: Waiting, receipt: &SignedReceipt) -> Received {
        let receipt = self.receipt(receipt);
        let received = waiting.receive(&receipt, self.local());
        received.map_err(|(_, error)| error).unwrap()
    }

    /// One whole exchange.
    pub fn exchange(
        &mut self,
        idle: Idle,
        ready: Ready,
        request: &[u8],
        response: &[u8],
    ) -> (Idle, Ready) {
        let (waiting, sent) = self.begin(idle, request);
        let (answering, undecided) = self.accept(ready, &sent);
        let (begun, content) = self.run(undecided, &sent);
        assert_eq!(content, request);
        let (ready, replied) = self.reply(answering, begun, response);
        let (idle, content) = self.take(waiting, &replied);
        assert_eq!(content, response);
        (idle, ready)
    }
}

pub fn whole(content: &[u8]) -> WholeContent<'_> {
    let kind = DigestKind::suited_to(content.len());
    WholeContent::new(content, kind, Padding::Padme).unwrap()
}

pub fn lane<L>(after: After<L>) -> L {
    match after {
        After::Lane(lane) => lane,
        After::Streaming(_) => panic!("nothing streams"),
    }
}

/// A body's segments.
pub fn segments(mut body: &[u8]) -> Vec<(SegmentHeader, &[u8])> {
    let mut found = Vec::new();
    while let Some((header, rest)) = body.split_first_chunk::<SEGMENT_HEADER_LEN>() {
        let header = SegmentHeader::from_bytes(*header).unwrap();
        let (sealed, rest) = rest.split_at(header.len);
        found.push((header, sealed));
        body = rest;
    }
    assert!(body.is_empty());
    found
}

/// A genuine request, verified; of a stream the first segment.
pub fn received(pending: Pending, body: &[u8]) -> Undecided {
    let (header, sealed) = segments(body)[0];
    let received = pending.receive(header, sealed);
    received.map_err(|(_, error)| error).unwrap()
}

/// The one segment of whole content.
pub fn one(body: &[u8]) -> (SegmentHeader, &[u8]) {
    let [one] = segments(body)[..] else {
        panic!("whole content is one segment");
    };
    one
}

/// Through the enclave's door.
pub fn door_out<S: armour_protocol::v2::message::Side>(outgoing: Outgoing<S>) -> Outgoing<S> {
    Outgoing::from_bytes(&outgoing.to_bytes()).unwrap()
}

/// Through the enclave's door.
pub fn door_in<S: armour_protocol::v2::message::Side>(incoming: Incoming<S>) -> Incoming<S> {
    Incoming::from_bytes(&incoming.to_bytes()).unwrap()
}

/// What the proxy asks of the enclave for a checkpoint.
pub fn door_claim<S: armour_protocol::v2::message::Side>(
    due: &DueCheckpoint<S>,
) -> CheckpointClaim {
    CheckpointClaim::from_bytes(&due.claim().to_bytes()).unwrap()
}

/// A proof as it comes back.
pub fn proof(signed: &SignedCheckpoint) -> Proof {
    Proof::from_bytes(&signed.proof().to_bytes()).unwrap()
}
