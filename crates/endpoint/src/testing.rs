//! Both ends of a lane in this process, without enclaves: what one of them sends the other.

pub(crate) mod ends;

use std::sync::Arc;

use armour_ambient::Random;
use armour_protocol::v2::{
    checkpoint::Mark,
    content::{DigestKind, Padding},
    context::{Binding, Context, End},
    enclave::{
        consumer::{self, Idle, Waiting},
        producer::{self, Accepted, Ready},
    },
    message::Request,
    proxy::{FirstContent, Incoming, Pending, StreamWriter, WholeContent},
    schedule::BundleSecret,
    suite::Suite,
    time::{LocalTime, ProducerTime},
};
use bytes::Bytes;
use ed25519_dalek::SigningKey;

/// How long a call has to begin; the clocks stand at 0.
pub const BUDGET: u32 = 2_000;

/// One lane, open.
pub struct Lane {
    pub context: Arc<Context>,
    consumer: SigningKey,
    random: Random,
    idle: Idle,
    ready: Ready,
}

/// A call that the producer accepted.
pub struct Accept {
    pub ticket: armour_protocol::v2::body::Body,
    pub pending: Pending,
    /// Its segments.
    pub wire: Vec<u8>,
    /// What thieves of this key would know.
    pub keys: Vec<u8>,
    waiting: Waiting,
    writer: Option<StreamWriter<Request>>,
    consumer: SigningKey,
}

impl Lane {
    pub fn open() -> Self {
        let random = Random::seeded(7);
        let (consumer, producer) = (
            SigningKey::from_bytes(&[1; 32]),
            SigningKey::from_bytes(&[2; 32]),
        );
        let end = |number, key: &SigningKey| End {
            party: [number; 16],
            endpoint: [number + 1; 16],
            key: key.verifying_key(),
        };
        let context = Arc::new(Context::new(Binding {
            suite: Suite::X25519ChaCha20Poly1305,
            tenant: [1; 16],
            pair: [2; 16],
            bundle: [3; 16],
            draw: 1,
            policy: [4; 32],
            consumer: end(5, &consumer),
            producer: end(7, &producer),
        }));
        let secret = || BundleSecret::from_bytes([9; 32]);
        let mut ours = consumer::Lanes::new(context.clone(), secret(), 4);
        let mut theirs = producer::Lanes::new(context.clone(), secret(), 4);
        let mut rng = random.generator();
        let fresh = ours.fresh().unwrap();
        let (opening, ticket) = fresh.open(&[], None, &mut rng).unwrap();
        let (opened, _) = theirs.open(&ticket.sign(&consumer)).unwrap();
        let (ready, receipt) = opened.answer(&[], ProducerTime(0), &mut rng).unwrap();
        let idle = opening.receive(&receipt.sign(&producer), LocalTime(0));
        let idle = idle.map_err(|(_, error)| error).unwrap();
        Self {
            context,
            consumer,
            random,
            idle,
            ready,
        }
    }

    /// A call whose request is whole.
    pub fn whole(self, content: &[u8]) -> Accept {
        let whole = WholeContent::new(content, DigestKind::Sha256, Padding::None).unwrap();
        let mut rng = self.random.generator();
        let (waiting, ticket, outgoing) = self
            .idle
            .begin(whole.claim(), LocalTime(0), BUDGET, &mut rng)
            .unwrap();
        let keys = outgoing.to_bytes().to_vec();
        let mut wire = Vec::new();
        whole.seal(outgoing, &mut wire).unwrap();
        let ticket = ticket.sign(&self.consumer);
        let Ok(Accepted::Call(_, incoming)) = self.ready.accept(&ticket) else {
            panic!("not accepted");
        };
        Accept {
            pending: Pending::new(self.context, door(&incoming)),
            ticket: ticket.unverified().body(),
            wire,
            keys,
            waiting,
            writer: None,
            consumer: self.consumer,
        }
    }

    /// A call whose request is a stream that begins with this.
    pub fn stream(self, first: &[u8]) -> Accept {
        let first = FirstContent::new(first, DigestKind::Sha256, Padding::None).unwrap();
        let mut rng = self.random.generator();
        let (waiting, ticket, outgoing) = self
            .idle
            .begin(first.claim(), LocalTime(0), BUDGET, &mut rng)
            .unwrap();
        let keys = outgoing.to_bytes().to_vec();
        let mut wire = Vec::new();
        let writer = first.seal(outgoing, &mut wire).unwrap();
        let ticket = ticket.sign(&self.consumer);
        let Ok(Accepted::Call(_, incoming)) = self.ready.accept(&ticket) else {
            panic!("not accepted");
        };
        Accept {
            pending: Pending::new(self.context, door(&incoming)),
            ticket: ticket.unverified().body(),
            wire,
            keys,
            waiting,
            writer: Some(writer),
            consumer: self.consumer,
        }
    }
}

impl Accept {
    /// Appends content to the stream, without a checkpoint.
    pub fn push(&mut self, content: &[u8]) {
        let writer = self.writer.as_mut().unwrap();
        writer.push(content, &mut self.wire).unwrap();
    }

    /// Appends a checkpoint that the consumer's enclave, or whoever holds this key, signs.
    pub fn checkpoint(&mut self, last: bool, key: Option<&SigningKey>) {
        let writer = self.writer.take().unwrap();
        let due = match last {
            true => writer.finish(Mark::NONE),
            false => writer.checkpoint(Mark::NONE),
        };
        let unsigned = self.waiting.checkpoint(due.claim()).unwrap();
        let signed = unsigned.sign(key.unwrap_or(&self.consumer));
        self.writer = due.seal(signed.proof(), &mut self.wire).unwrap();
    }

    /// The segments as a connection brings them.
    pub fn reader(&self) -> crate::wire::message::MessageReader {
        let body = axum::body::Body::from(Bytes::copy_from_slice(&self.wire));
        crate::wire::message::MessageReader::new(body)
    }
}

fn door(incoming: &Incoming<Request>) -> Incoming<Request> {
    Incoming::from_bytes(&incoming.to_bytes()).unwrap()
}
