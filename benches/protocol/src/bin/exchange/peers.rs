//! The named peers.

use anyhow::Context as _;

use crate::parameters::CONTENT;

/// Two Olm sessions that answer each other, so that each message ratchets.
pub struct Ratchet {
    alice: vodozemac::olm::Session,
    bob: vodozemac::olm::Session,
    content: Vec<u8>,
}

impl Ratchet {
    pub fn new() -> anyhow::Result<Self> {
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

    pub fn ping_pong(&mut self) -> anyhow::Result<()> {
        let ping = self.alice.encrypt(&self.content)?;
        self.bob.decrypt(&ping)?;
        let pong = self.bob.encrypt(&self.content)?;
        self.alice.decrypt(&pong)?;
        Ok(())
    }
}

/// An OHTTP gateway and its clients; each request makes a fresh context.
pub struct Oblivious {
    server: ohttp::Server,
    config: Vec<u8>,
    content: Vec<u8>,
}

impl Oblivious {
    pub fn new() -> anyhow::Result<Self> {
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

    pub fn request_response(&self) -> anyhow::Result<()> {
        let client = ohttp::ClientRequest::from_encoded_config(&self.config)?;
        let (request, response) = client.encapsulate(&self.content)?;
        let (_, answer) = self.server.decapsulate(&request)?;
        let sealed = answer.encapsulate(&self.content)?;
        response.decapsulate(&sealed)?;
        Ok(())
    }
}
