//! One exchange, 1 KiB each way, both ends: against the sum of its primitives,
//! against a Double Ratchet's ping-pong (`vodozemac`, Olm) and against Oblivious
//! HTTP (`ohttp`, RFC 9458), all in one run on one core.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use armour_benches::{Contestant, Race};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, Keyed},
    message::sign_payload,
    producer::ReadyLane,
    schedule::{MessageKey, Transcript},
    segment::{HEADER_LEN, Header, Opener, Sealer},
};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, aead::Aead};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

const CONTENT: usize = 1024;

fn main() -> anyhow::Result<()> {
    let mut one = Pair::new(Suite::X25519)?;
    let mut two = Pair::new(Suite::X25519MlKem768)?;
    let mut ratchet = Ratchet::new()?;
    let oblivious = Oblivious::new()?;
    let mut contestants: Vec<Contestant<'_>> = vec![
        ("exchange, suite 1", Box::new(|| check(one.exchange()))),
        ("exchange, suite 2", Box::new(|| check(two.exchange()))),
        ("vodozemac", Box::new(|| check(ratchet.ping_pong()))),
        ("ohttp", Box::new(|| check(oblivious.request_response()))),
    ];
    contestants.extend(primitives());
    let race = Race::run(&mut contestants, 15, Duration::from_millis(60));
    drop(contestants);

    let sum: f64 = PRIMITIVES
        .iter()
        .map(|(name, count)| race.median(name) * f64::from(*count))
        .sum();
    println!("primitives of one exchange, suite 1, 1 KiB each way");
    println!("{:34} {:>5} {:>9} {:>9}", "", "times", "µs each", "µs");
    for (name, count) in PRIMITIVES {
        let each = race.median(name);
        println!(
            "{name:34} {count:>5} {each:>9.2} {:>9.1}",
            each * f64::from(count)
        );
    }
    println!("{:34} {:>5} {:>9} {sum:>9.1}\n", "sum", "", "");
    let exchange = race.median("exchange, suite 1");
    println!(
        "{:34} {:>9} {:>17} {:>22}",
        "", "µs", "least..most", "exchange / this"
    );
    for (name, time) in [
        ("exchange, suite 1", exchange),
        ("sum of its primitives", sum),
        ("vodozemac", race.median("vodozemac")),
        ("ohttp", race.median("ohttp")),
        ("exchange, suite 2", race.median("exchange, suite 2")),
    ] {
        let (least, most) = race.spread(name);
        let spread = match least.is_nan() {
            true => String::new(),
            false => format!("{least:.1}..{most:.1}"),
        };
        println!(
            "{name:34} {time:>9.1} {spread:>17} {:>22.2}",
            exchange / time
        );
    }
    Ok(())
}

fn check(done: anyhow::Result<()>) {
    if let Err(error) = done {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}

/// How often an exchange uses each primitive, at both ends together.
const PRIMITIVES: [(&str, u32); 8] = [
    ("X25519, fixed base", 2),
    ("X25519", 4),
    ("Ed25519 sign", 3),
    ("Ed25519 verify, strict", 3),
    ("HKDF-SHA-256 extract", 4),
    ("HKDF-SHA-256 expand", 8),
    ("SHA-256 of 1 KiB", 4),
    ("ChaCha20-Poly1305, 1 KiB, one way", 4),
];

fn primitives() -> Vec<Contestant<'static>> {
    use std::hint::black_box;
    let secret = StaticSecret::from([7; 32]);
    let peer = PublicKey::from(&StaticSecret::from([8; 32]));
    let signer = SigningKey::from_bytes(&[9; 32]);
    let verifier = signer.verifying_key();
    let message = [5u8; 110];
    let signature = signer.sign(&message);
    let content = vec![1u8; CONTENT];
    let cipher = ChaCha20Poly1305::new(&[3; 32].into());
    let nonce = Nonce::default();
    let expander = Hkdf::<Sha256>::new(Some(&[1; 32]), &[2; 64]);
    let (base, dh) = (secret.clone(), secret);
    let hashed = content.clone();
    vec![
        (
            "X25519, fixed base",
            Box::new(move || {
                let _ = black_box(PublicKey::from(&base));
            }),
        ),
        (
            "X25519",
            Box::new(move || {
                let _ = black_box(dh.diffie_hellman(&peer));
            }),
        ),
        (
            "Ed25519 sign",
            Box::new(move || {
                let _ = black_box(signer.sign(&message));
            }),
        ),
        (
            "Ed25519 verify, strict",
            Box::new(move || {
                let _ = black_box(verifier.verify_strict(&message, &signature));
            }),
        ),
        (
            "HKDF-SHA-256 extract",
            Box::new(|| {
                let _ = black_box(Hkdf::<Sha256>::extract(Some(&[1; 32]), &[2; 64]));
            }),
        ),
        (
            "HKDF-SHA-256 expand",
            Box::new(move || {
                let mut out = [0u8; 32];
                let _ = expander.expand(b"armour/1 key", &mut out);
                black_box(out);
            }),
        ),
        (
            "SHA-256 of 1 KiB",
            Box::new(move || {
                let _ = black_box(Sha256::digest(&hashed));
            }),
        ),
        (
            "ChaCha20-Poly1305, 1 KiB, one way",
            Box::new(move || {
                let _ = black_box(cipher.encrypt(&nonce, content.as_slice()));
            }),
        ),
    ]
}

/// Both ends of a lane.
struct Pair {
    consumer_key: SigningKey,
    producer_key: SigningKey,
    lanes: Option<(IdleLane, ReadyLane)>,
    content: Vec<u8>,
}

impl Pair {
    fn new(suite: Suite) -> anyhow::Result<Self> {
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
            consumer_key,
            producer_key,
            content: vec![1; CONTENT],
        };
        // The opening exchange.
        pair.exchange()?;
        Ok(pair)
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        let (consumer, producer) = self.lanes.take().context("the lanes")?;
        let mut rng = rand::rng();
        let (waiting, request) = consumer.begin(&self.consumer_key, &mut rng)?;
        let aad = request.head.associated_data();
        let wire = seal(&request, &aad, &self.consumer_key, &self.content)?;
        let (answering, accepted) = producer
            .accept(request.head)
            .map_err(|(_, error)| anyhow!(error))?;
        open(
            &accepted.key,
            &accepted.transcript,
            &aad,
            &self.consumer_key.verifying_key(),
            &wire,
        )?;
        let (ready, response) = answering.respond(&mut rng)?;
        let aad = response.head.associated_data();
        let wire = seal(&response, &aad, &self.producer_key, &self.content)?;
        let (idle, received) = waiting
            .receive(response.head)
            .map_err(|(_, error)| anyhow!(error))?;
        open(
            &received.key,
            &received.transcript,
            &aad,
            &self.producer_key.verifying_key(),
            &wire,
        )?;
        self.lanes = Some((idle, ready));
        Ok(())
    }
}

fn seal<H>(
    keyed: &Keyed<H>,
    aad: &[u8],
    signer: &SigningKey,
    content: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut sealer = Sealer::new(&keyed.key, aad);
    let digest = sealer.finish_digest(content);
    let signature = sign_payload(signer, &keyed.transcript, &digest);
    let mut wire = Vec::with_capacity(content.len() + 128);
    sealer.finish(content, &signature, &mut wire)?;
    Ok(wire)
}

fn open(
    key: &MessageKey,
    transcript: &Transcript,
    aad: &[u8],
    signer: &VerifyingKey,
    wire: &[u8],
) -> anyhow::Result<()> {
    let (header, sealed) = wire.split_first_chunk::<HEADER_LEN>().context("a header")?;
    let header = Header::from_bytes(*header)?;
    Opener::new(key, aad).open(header, sealed, signer, transcript)?;
    Ok(())
}

/// Two Olm sessions that answer each other, so that each message ratchets.
struct Ratchet {
    alice: vodozemac::olm::Session,
    bob: vodozemac::olm::Session,
    content: Vec<u8>,
}

impl Ratchet {
    fn new() -> anyhow::Result<Self> {
        use vodozemac::olm::{Account, OlmMessage, SessionConfig};
        let alice = Account::new();
        let mut bob = Account::new();
        bob.generate_one_time_keys(1);
        let key = *bob.one_time_keys().values().next().context("a key")?;
        let config = SessionConfig::version_1();
        let mut session = alice.create_outbound_session(config, bob.curve25519_key(), key)?;
        let OlmMessage::PreKey(first) = session.encrypt("first")? else {
            anyhow::bail!("the first message opens the session");
        };
        let theirs = bob.create_inbound_session(config, alice.curve25519_key(), &first)?;
        let mut ratchet = Self {
            alice: session,
            bob: theirs.session,
            content: vec![1; CONTENT],
        };
        let answer = ratchet.bob.encrypt("established")?;
        ratchet.alice.decrypt(&answer)?;
        Ok(ratchet)
    }

    fn ping_pong(&mut self) -> anyhow::Result<()> {
        let ping = self.alice.encrypt(&self.content)?;
        self.bob.decrypt(&ping)?;
        let pong = self.bob.encrypt(&self.content)?;
        self.alice.decrypt(&pong)?;
        Ok(())
    }
}

/// An OHTTP gateway and its clients; each request makes a fresh context.
struct Oblivious {
    server: ohttp::Server,
    config: Vec<u8>,
    content: Vec<u8>,
}

impl Oblivious {
    fn new() -> anyhow::Result<Self> {
        use ohttp::hpke::{Aead, Kdf, Kem};
        ohttp::init();
        let suites = vec![ohttp::SymmetricSuite::new(
            Kdf::HkdfSha256,
            Aead::ChaCha20Poly1305,
        )];
        let server = ohttp::Server::new(ohttp::KeyConfig::new(1, Kem::X25519Sha256, suites)?)?;
        Ok(Self {
            config: server.config().encode()?,
            server,
            content: vec![1; CONTENT],
        })
    }

    fn request_response(&self) -> anyhow::Result<()> {
        let client = ohttp::ClientRequest::from_encoded_config(&self.config)?;
        let (request, response) = client.encapsulate(&self.content)?;
        let (_, answer) = self.server.decapsulate(&request)?;
        let sealed = answer.encapsulate(&self.content)?;
        response.decapsulate(&sealed)?;
        Ok(())
    }
}
