//! Who signed: a start of the endpoint, and the keys that followed each other in it.

use armour_api::Evidence;
use armour_protocol::v2::identity::{
    body::LinkBody,
    judge::KeySpan,
    link::{LinkEvidence, SignedLink},
    mark::Incarnated,
    start::SignedStart,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;

use crate::head;

/// A start that the endpoint's long-term key signed, and its keys.
pub struct Identity {
    /// Whose links these are.
    pub of: Incarnated,
    /// Its keys, in the order in which they were made.
    pub keys: Vec<KeySpan>,
}

impl Identity {
    /// The start that the evidence names, once all signatures were checked.
    ///
    /// # Errors
    /// A sentence that says what does not hold.
    pub fn of(evidence: &Evidence) -> Result<Self, String> {
        let long_term = head::public_key(&evidence.signing_key)?;
        let start = SignedStart::from_bytes(&decode(&evidence.start)?)
            .map_err(|error| format!("the start: {error}"))?;
        let start = start
            .verify(evidence.collision.endpoint_id.as_bytes(), &long_term)
            .map_err(|error| format!("the start: {error}"))?;
        let of = Incarnated::by(start);
        if hex(&of.start.0) != evidence.collision.start {
            return Err("the start is not the one that the collision names".into());
        }
        let mut keys = vec![KeySpan {
            key: *start.key(),
            since: of.origin(),
        }];
        for renewal in &evidence.renewals {
            let link = SignedLink::from_bytes(&decode(renewal)?)
                .map_err(|error| format!("a renewal: {error}"))?;
            let follows = keys
                .last()
                .is_some_and(|last| last.since.k < link.head().k() && link.is_signed_by(&last.key));
            match link.body() {
                LinkBody::Renew(new) if follows && *link.head().of() == of => keys.push(KeySpan {
                    key: new.key,
                    since: link.mark(),
                }),
                _ => return Err("a renewal is not signed by the key before it".into()),
            }
        }
        Ok(Self { of, keys })
    }

    /// Whether this is one of its keys.
    pub fn has(&self, key: &VerifyingKey) -> bool {
        self.keys.iter().any(|span| span.key == *key)
    }

    /// The key that signs link `k`.
    pub fn key_of(&self, k: u64) -> Option<&VerifyingKey> {
        let span = self.keys.iter().rev().find(|span| span.since.k < k);
        span.map(|span| &span.key)
    }

    /// The key that signed a link of this start.
    pub fn signer(&self, link: &LinkEvidence) -> Option<&VerifyingKey> {
        let ours = *link.head.of() == self.of;
        let mut keys = self.keys.iter().map(|span| &span.key);
        keys.find(|key| ours && link.is_signed_by(key))
    }
}

/// What base64 stands for.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
