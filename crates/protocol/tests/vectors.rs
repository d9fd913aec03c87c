//! Writes and checks the published test vectors, `tests/vectors/suite-N.json`.
//! An independent program, `tests/test_vectors.py`, derives them anew.

use std::convert::Infallible;

use armour_protocol::{
    Suite, bundle::BundleSecret, envelope, ledger::Chain, message::share_digest,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng},
};
use serde_json::{Value, json};

use crate::common::{World, accept, open, receive, seal};

/// Keeps what was drawn: ephemeral secrets, in their order.
pub struct Recording {
    inner: ChaCha20Rng,
    pub drawn: Vec<u8>,
}

impl TryRng for Recording {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.fill_bytes(bytes);
        self.drawn.extend_from_slice(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Recording {}

impl Recording {
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            inner: ChaCha20Rng::from_seed(seed),
            drawn: Vec::new(),
        }
    }

    /// What was drawn since the last call: X25519 secret, then ML-KEM's seed.
    fn ephemerals(&mut self, suite: Suite) -> Value {
        let drawn = std::mem::take(&mut self.drawn);
        match suite {
            Suite::X25519 => json!({ "x25519_secret": hex::encode(&drawn[..32]) }),
            Suite::X25519MlKem768 => json!({
                "x25519_secret": hex::encode(&drawn[..32]),
                "ml_kem_seed": hex::encode(&drawn[32..96]),
            }),
        }
    }
}

const CONTENTS: [[&[&[u8]]; 2]; 3] = [
    // Opening exchanges are empty.
    [&[b""], &[b""]],
    [&[b"a request"], &[b"a response"]],
    [
        &[b"in ", b"three ", b"segments"],
        &[b"first, ", b"and last"],
    ],
];

fn vector(suite: Suite) -> Value {
    let world = World::new(suite);
    let mut rng = Recording::new([0x42; 32]);
    let context = &world.context;
    let minted = BundleSecret::from_bytes([7; 32]);
    let (kem_secret, kem_public) = envelope::generate(&mut rng);
    let sealed = envelope::seal(&kem_public, context, &minted, &mut rng).unwrap();
    rng.drawn.clear();
    let lane = 5;
    let (mut consumer, mut producer) = world.lane(lane);
    let mut exchanges = Vec::new();
    let mut chain: Option<Chain> = None;
    let mut last = None;
    for [request_content, response_content] in CONTENTS {
        let (waiting, request) = consumer.begin(&world.consumer, &mut rng).unwrap();
        let request_ephemerals = rng.ephemerals(suite);
        let request_body = seal(
            &request.key,
            &request.head.associated_data(),
            &request.transcript,
            &world.consumer,
            request_content,
        );
        let (answering, accepted) = accept(producer, &request.head).unwrap();
        let opened = open(
            &accepted.key,
            &accepted.head.associated_data(),
            &accepted.transcript,
            &context.consumer_key,
            &request_body,
        );
        assert_eq!(opened.unwrap(), request_content.concat());
        let (ready, response) = answering.respond(&mut rng).unwrap();
        let response_ephemerals = rng.ephemerals(suite);
        let response_body = seal(
            &response.key,
            &response.head.associated_data(),
            &response.transcript,
            &world.producer,
            response_content,
        );
        let (idle, _) = receive(waiting, &response.head).unwrap();
        let ticket = request.head.ticket;
        match (&mut chain, last) {
            (Some(chain), Some(last)) => assert!(chain.push(&last, &ticket)),
            _ => chain = Some(Chain::of(&ticket)),
        }
        last = Some(ticket.ticket);
        assert_eq!(
            ticket.ticket.share_digest,
            share_digest(&request.head.share)
        );
        exchanges.push(json!({
            "request": {
                "ephemerals": request_ephemerals,
                "head": hex::encode(request.head.to_bytes()),
                "transcript": hex::encode(request.transcript.as_bytes()),
                "key": hex::encode(request.key.as_bytes()),
                "content": hex::encode(request_content.concat()),
                "body": hex::encode(&request_body),
            },
            "response": {
                "ephemerals": response_ephemerals,
                "head": hex::encode(response.head.to_bytes()),
                "transcript": hex::encode(response.transcript.as_bytes()),
                "key": hex::encode(response.key.as_bytes()),
                "content": hex::encode(response_content.concat()),
                "body": hex::encode(&response_body),
            },
            "ticket_hash": hex::encode(ticket.ticket.hash().0),
        }));
        (consumer, producer) = (idle, ready);
    }
    json!({
        "suite": suite as u8,
        "tenant": hex::encode(context.tenant),
        "pair": hex::encode(context.pair),
        "bundle": hex::encode(context.bundle),
        "consumer": hex::encode(context.consumer),
        "producer": hex::encode(context.producer),
        "consumer_signing_secret": hex::encode(world.consumer.as_bytes()),
        "producer_signing_secret": hex::encode(world.producer.as_bytes()),
        "minted_secret": hex::encode([7; 32]),
        "context": hex::encode(context.to_bytes()),
        "envelope": {
            "kem_secret": hex::encode(*kem_secret),
            "kem_public": hex::encode(kem_public),
            "sealed": hex::encode(sealed),
        },
        "lane": lane,
        "exchanges": exchanges,
        "ledger_entries": hex::encode(chain.unwrap().entries),
    })
}

#[test]
fn published_vectors_are_what_this_code_does() {
    for suite in [Suite::X25519, Suite::X25519MlKem768] {
        let path = format!(
            "{}/../../tests/vectors/suite-{}.json",
            env!("CARGO_MANIFEST_DIR"),
            suite as u8
        );
        let text = serde_json::to_string_pretty(&vector(suite)).unwrap() + "\n";
        if std::env::var_os("ARMOUR_UPDATE_VECTORS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap();
        assert!(
            published == text,
            "{path} differs; a change of the protocol needs a new version, and `make vectors`"
        );
    }
}
