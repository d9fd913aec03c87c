//! A bundle of two endpoints for tests, made from fixed seeds.

use std::sync::Arc;

use armour_protocol::{
    Result, Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, Keyed, WaitingLane},
    message::{RequestHead, ResponseHead, sign_payload},
    producer::{AnsweringLane, ReadyLane},
    schedule::{MessageKey, Transcript},
    segment::{HEADER_LEN, Header, Opener, Sealer},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub struct World {
    pub consumer: SigningKey,
    pub producer: SigningKey,
    pub context: Arc<BundleContext>,
    pub secret: BundleSecret,
    pub rng: ChaCha20Rng,
}

impl World {
    pub fn new(suite: Suite) -> Self {
        let consumer = SigningKey::from_bytes(&[1; 32]);
        let producer = SigningKey::from_bytes(&[2; 32]);
        let context = BundleContext {
            suite,
            tenant: [0x10; 16],
            pair: [0x11; 16],
            bundle: [0x12; 16],
            consumer: [0x13; 16],
            producer: [0x14; 16],
            consumer_key: consumer.verifying_key(),
            producer_key: producer.verifying_key(),
        };
        Self {
            consumer,
            producer,
            context: Arc::new(context),
            secret: BundleSecret::from_bytes([7; 32]),
            rng: ChaCha20Rng::from_seed([9; 32]),
        }
    }

    pub fn lane(&self, lane: u32) -> (IdleLane, ReadyLane) {
        (
            IdleLane::new(self.context.clone(), &self.secret, lane),
            ReadyLane::new(self.context.clone(), &self.secret, lane),
        )
    }

    pub fn begin(&mut self, lane: IdleLane) -> (WaitingLane, Keyed<RequestHead>) {
        lane.begin(&self.consumer, &mut self.rng).expect("begin")
    }

    pub fn respond(&mut self, lane: AnsweringLane) -> (ReadyLane, Keyed<ResponseHead>) {
        lane.respond(&mut self.rng).expect("respond")
    }

    /// One whole exchange, heads going through their bytes.
    pub fn exchange(&mut self, consumer: IdleLane, producer: ReadyLane) -> (IdleLane, ReadyLane) {
        let (waiting, request) = self.begin(consumer);
        let (answering, _) = accept(producer, &request.head).expect("accept");
        let (ready, response) = self.respond(answering);
        let (idle, _) = receive(waiting, &response.head).expect("receive");
        (idle, ready)
    }
}

pub fn accept(lane: ReadyLane, head: &RequestHead) -> Result<(AnsweringLane, Keyed<RequestHead>)> {
    let head = RequestHead::from_bytes(&head.to_bytes())?;
    lane.accept(head).map_err(|(_, error)| error)
}

pub fn receive(lane: WaitingLane, head: &ResponseHead) -> Result<(IdleLane, Keyed<ResponseHead>)> {
    let head = ResponseHead::from_bytes(&head.to_bytes())?;
    lane.receive(head).map_err(|(_, error)| error)
}

pub fn seal(
    key: &MessageKey,
    associated_data: &[u8],
    transcript: &Transcript,
    signer: &SigningKey,
    pieces: &[&[u8]],
) -> Vec<u8> {
    let (last, first) = pieces.split_last().expect("at least one piece");
    let mut sealer = Sealer::new(key, associated_data);
    let mut out = Vec::new();
    for piece in first {
        sealer.push(piece, &mut out).expect("push");
    }
    let digest = sealer.finish_digest(last);
    let signature = sign_payload(signer, transcript, &digest);
    sealer.finish(last, &signature, &mut out).expect("finish");
    out
}

pub fn open(
    key: &MessageKey,
    associated_data: &[u8],
    transcript: &Transcript,
    signer: &VerifyingKey,
    mut sealed: &[u8],
) -> Result<Vec<u8>> {
    use armour_protocol::Error;
    let mut opener = Opener::new(key, associated_data);
    let mut out = Vec::new();
    while !sealed.is_empty() {
        let header = sealed.get(..HEADER_LEN).ok_or(Error::Truncated)?;
        let header = Header::from_bytes(header.try_into().expect("four bytes"))?;
        let end = HEADER_LEN + header.len;
        let body = sealed.get(HEADER_LEN..end).ok_or(Error::Truncated)?;
        out.extend(opener.open(header, body, signer, transcript)?);
        sealed = &sealed[end..];
    }
    opener.is_done().then_some(out).ok_or(Error::Truncated)
}
