//! A bundle of fixed seeds and its lanes, from which genuine messages are made.

use std::sync::Arc;

use armour_protocol::v2::{
    content::{DigestKind, Padding},
    context::{Binding, Context, End},
    enclave::{
        After,
        consumer::{self, Idle, Waiting},
        producer::{self, Accepted, Answering, Ready},
    },
    message::{Receipt, Request, Response, SignedReceipt, SignedTicket},
    proof::Unsigned,
    proxy::{
        Arrived, Conclusion, FirstContent, Incoming, Outgoing, Pending, SEGMENT_HEADER_LEN,
        SegmentHeader, WholeContent,
    },
    schedule::BundleSecret,
    suite::Suite,
    time::{LocalTime, ProducerTime},
};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub const NOW: LocalTime = LocalTime(1);
pub const CLOCK: ProducerTime = ProducerTime(1);
pub const BUDGET: u32 = 2_000;
const LOG_HEAD: &[u8] = b"a signed log head";

/// Both ends. What it makes is the same each time.
pub struct Stage {
    pub context: Arc<Context>,
    pub consumer: SigningKey,
    pub producer: SigningKey,
    pub consumer_lanes: consumer::Lanes,
    pub producer_lanes: producer::Lanes,
    pub rng: ChaCha20Rng,
}

/// A call that was sent and accepted, and awaits its conclusion.
pub struct Called {
    pub waiting: Waiting,
    pub ticket: SignedTicket,
    pub sealed: Vec<u8>,
    pub answering: Answering,
    /// What the producer's enclave hands to its proxy.
    pub incoming: Incoming<Request>,
}

/// A response that was sent.
pub struct Replied {
    pub ready: After<Ready>,
    pub receipt: SignedReceipt,
    /// What the producer's enclave hands to its proxy.
    pub outgoing: Outgoing<Response>,
}

impl Stage {
    pub fn new(suite: Suite) -> Self {
        let [consumer, producer] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let end = |party, key: &SigningKey| End {
            party: [party; 16],
            endpoint: [party + 1; 16],
            key: key.verifying_key(),
        };
        let context = Arc::new(Context::new(Binding {
            suite,
            tenant: [0x10; 16],
            pair: [0x11; 16],
            bundle: [0x12; 16],
            draw: 1,
            policy: [0x13; 32],
            consumer: end(0x14, &consumer),
            producer: end(0x16, &producer),
        }));
        let secret = || BundleSecret::from_bytes([7; 32]);
        Self {
            consumer_lanes: consumer::Lanes::new(context.clone(), secret(), 4),
            producer_lanes: producer::Lanes::new(context.clone(), secret(), 4),
            context,
            consumer,
            producer,
            rng: ChaCha20Rng::from_seed([9; 32]),
        }
    }

    /// Opens the next lane; its two messages.
    pub fn opened(&mut self) -> (Idle, Ready, SignedTicket, SignedReceipt) {
        let fresh = self.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(LOG_HEAD, Some(3), &mut self.rng).unwrap();
        let ticket = ticket.sign(&self.consumer);
        let (opened, _) = self.producer_lanes.open(&ticket).unwrap();
        let (ready, receipt) = opened.answer(LOG_HEAD, CLOCK, &mut self.rng).unwrap();
        let receipt = receipt.sign(&self.producer);
        let idle = opening.receive(&receipt, NOW).map_err(|(_, error)| error);
        (idle.unwrap(), ready, ticket, receipt)
    }

    /// A call with whole content.
    pub fn call(&mut self, idle: Idle, ready: Ready, content: &[u8]) -> Called {
        let content = whole(content);
        let (waiting, ticket, outgoing) = idle
            .begin(content.claim(), NOW, BUDGET, &mut self.rng)
            .unwrap();
        let ticket = ticket.sign(&self.consumer);
        let mut sealed = Vec::new();
        content.seal(outgoing, &mut sealed).unwrap();
        let Ok(Accepted::Call(answering, incoming)) = ready.accept(&ticket) else {
            panic!("it is a call");
        };
        Called {
            waiting,
            ticket,
            sealed,
            answering,
            incoming,
        }
    }

    /// How the call ends when its content, opened by the proxy, has been answered with
    /// the first of a stream.
    pub fn conclusion(&self, called: &Called, answer: &FirstContent<'_>) -> Conclusion {
        let incoming = Incoming::from_bytes(&called.incoming.to_bytes()).unwrap();
        let pending = Pending::new(self.context.clone(), incoming);
        let (header, sealed) = segment(&called.sealed).unwrap();
        let undecided = pending.receive(header, sealed).map_err(|(_, error)| error);
        let Ok((begun, Arrived::Whole(_))) = undecided.unwrap().begin(CLOCK) else {
            panic!("a whole request that is not late begins");
        };
        begun.answer(answer.claim())
    }

    /// The call's receipt.
    pub fn reply(&mut self, answering: Answering, conclusion: Conclusion) -> Replied {
        let concluded = answering.conclude(conclusion, CLOCK, &mut self.rng);
        let concluded = concluded.map_err(|(_, error)| error).unwrap();
        let receipt: Unsigned<Receipt> = concluded.receipt;
        Replied {
            ready: concluded.lane,
            receipt: receipt.sign(&self.producer),
            outgoing: concluded.outgoing.unwrap(),
        }
    }
}

pub fn whole(content: &[u8]) -> WholeContent<'_> {
    WholeContent::new(content, DigestKind::Sha256, Padding::Padme).unwrap()
}

pub fn first(content: &[u8]) -> FirstContent<'_> {
    FirstContent::new(content, DigestKind::Blake3, Padding::Padme).unwrap()
}

/// The first segment; none if these bytes hold none.
pub fn segment(bytes: &[u8]) -> Option<(SegmentHeader, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<SEGMENT_HEADER_LEN>()?;
    let header = SegmentHeader::from_bytes(*header).ok()?;
    Some((header, rest.get(..header.len)?))
}
