//! Both ends of a lane, in one process.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, Keyed},
    crypto::Signer,
    message::sign_payload,
    producer::ReadyLane,
    schedule::{MessageKey, Transcript},
    segment::{HEADER_LEN, Header, MAX_CONTENT, Opener, Sealer},
};
use ed25519_dalek::{SigningKey, VerifyingKey};

/// Both ends of a lane.
pub struct Pair {
    consumer: (Signer, VerifyingKey),
    producer: (Signer, VerifyingKey),
    lanes: Option<(IdleLane, ReadyLane)>,
    content: Vec<u8>,
}

impl Pair {
    /// An opened lane whose messages have so many bytes of content each.
    ///
    /// # Errors
    /// If the opening exchange fails.
    pub fn new(suite: Suite, content: usize) -> anyhow::Result<Self> {
        let consumer_key = SigningKey::from_bytes(&[1; 32]);
        let producer_key = SigningKey::from_bytes(&[2; 32]);
        let context = Arc::new(BundleContext {
            suite,
            tenant: [1; 16],
            pair: [2; 16],
            bundle: [3; 16],
            consumer: [4; 16],
            producer: [5; 16],
            consumer_key: consumer_key.verifying_key(),
            producer_key: producer_key.verifying_key(),
        });
        let secret = BundleSecret::from_bytes([6; 32]);
        let mut pair = Self {
            lanes: Some((
                IdleLane::new(context.clone(), &secret, 0),
                ReadyLane::new(context, &secret, 0),
            )),
            consumer: (Signer::new(&consumer_key), consumer_key.verifying_key()),
            producer: (Signer::new(&producer_key), producer_key.verifying_key()),
            content: vec![1; content],
        };
        pair.exchange()?;
        Ok(pair)
    }

    /// One exchange, content both ways.
    ///
    /// # Errors
    /// If either end refuses what the other sends.
    pub fn exchange(&mut self) -> anyhow::Result<()> {
        let (consumer, producer) = self.lanes.take().context("the lanes")?;
        let mut rng = rand::rng();
        let (waiting, request) = consumer.begin(&self.consumer.0, &mut rng)?;
        let aad = request.head.associated_data();
        let wire = seal(&request, &aad, &self.consumer.0, &self.content)?;
        let (answering, accepted) = producer
            .accept(request.head)
            .map_err(|(_, error)| anyhow!(error))?;
        let (key, transcript) = (&accepted.key, &accepted.transcript);
        open(key, transcript, &aad, &self.consumer.1, &wire)?;
        let (ready, response) = answering.respond(&mut rng)?;
        let aad = response.head.associated_data();
        let wire = seal(&response, &aad, &self.producer.0, &self.content)?;
        let (idle, received) = waiting
            .receive(response.head)
            .map_err(|(_, error)| anyhow!(error))?;
        let (key, transcript) = (&received.key, &received.transcript);
        open(key, transcript, &aad, &self.producer.1, &wire)?;
        self.lanes = Some((idle, ready));
        Ok(())
    }
}

fn seal<H>(
    keyed: &Keyed<H>,
    aad: &[u8],
    signer: &Signer,
    content: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut sealer = Sealer::new(&keyed.key, aad);
    let mut wire = Vec::with_capacity(content.len() + content.len() / 1024 + 128);
    let mut rest = content;
    while rest.len() > MAX_CONTENT {
        let (piece, after) = rest.split_at(MAX_CONTENT);
        sealer.push(piece, &mut wire)?;
        rest = after;
    }
    let digest = sealer.finish_digest(rest);
    let signature = sign_payload(signer, &keyed.transcript, &digest);
    sealer.finish(rest, &signature, &mut wire)?;
    Ok(wire)
}

fn open(
    key: &MessageKey,
    transcript: &Transcript,
    aad: &[u8],
    signer: &VerifyingKey,
    mut wire: &[u8],
) -> anyhow::Result<()> {
    let mut opener = Opener::new(key, aad);
    while !opener.is_done() {
        let (header, rest) = wire.split_first_chunk::<HEADER_LEN>().context("a header")?;
        let header = Header::from_bytes(*header)?;
        let (sealed, rest) = rest.split_at_checked(header.len).context("a segment")?;
        opener.open(header, sealed, signer, transcript)?;
        wire = rest;
    }
    Ok(())
}
