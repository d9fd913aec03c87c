//! The key schedule: a bundle's secret, roots, re-keying and one-time keys.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    body::BodyHash,
    context::Context,
    error::HeadError,
    fields::{Reader, hash, join},
    gate::Gate,
    secret::Secret,
};

const LABEL_BUNDLE: &[u8] = b"armour/2 bundle";
const LABEL_GATE: &[u8] = b"armour/2 gate";
const LABEL_ROOT_CONSUMER: &[u8] = b"armour/2 root consumer";
const LABEL_ROOT_PRODUCER: &[u8] = b"armour/2 root producer";
const LABEL_TRANSCRIPT: &[u8] = b"armour/2 transcript";
const LABEL_ABSORB: &[u8] = b"armour/2 absorb";
const LABEL_KEY: &[u8] = b"armour/2 key";
const LABEL_COMMIT: &[u8] = b"armour/2 commit";
const LABEL_NEXT: &[u8] = b"armour/2 next";
const LABEL_STREAM: &[u8] = b"armour/2 stream";
const LABEL_SESSION: &[u8] = b"armour/2 session";
const LABEL_KEY_REQUEST: &[u8] = b"armour/2 key request";
const LABEL_KEY_RESPONSE: &[u8] = b"armour/2 key response";

/// The secret that the control plane mints for a bundle.
pub struct BundleSecret(Secret);

/// What is kept of a bundle's secret: lanes and the gate follow from it.
pub(crate) struct BundleKeys(Secret);

/// A sender's root secret of one lane.
pub(crate) struct Root(Secret);

/// A one-time AEAD key. It and the root that is kept are siblings, so that neither leads
/// to the other.
pub struct MessageKey(Secret);

/// A hash over every head of a lane so far, without its key commitment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transcript([u8; 32]);

/// What both state machines of a lane start from.
pub(crate) struct LaneStart {
    pub(crate) consumer_root: Root,
    pub(crate) producer_root: Root,
    pub(crate) transcript: Transcript,
}

/// What re-keying a root gives.
pub(crate) struct Step {
    pub(crate) key: MessageKey,
    /// Makes the key committing, and tells a wrong root before any state changes.
    pub(crate) commitment: [u8; 32],
    pub(crate) root: Root,
    /// Of a call's ticket: what its streams re-key from.
    pub(crate) stream: Option<StreamRoot>,
}

/// The root secret of one exchange's streams, which both ends re-key while they flow. A
/// sibling of the lane's roots: it does not matter which of its sub-receipts come before the
/// exchange's receipt.
pub(crate) struct StreamRoot(Secret);

/// What re-keying an exchange's streams gives.
pub(crate) struct StreamStep {
    pub(crate) request: MessageKey,
    pub(crate) response: MessageKey,
    pub(crate) commitment: [u8; 32],
    pub(crate) root: StreamRoot,
}

impl BundleSecret {
    /// A secret from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The keys that the secret leads to; it is erased.
    pub(crate) fn into_keys(self) -> BundleKeys {
        BundleKeys(extract(LABEL_BUNDLE, &*self.0))
    }
}

impl ZeroizeOnDrop for BundleSecret {}

impl BundleKeys {
    pub(crate) fn gate(&self, context: &Context) -> Gate {
        Gate::new(expand(&self.0, LABEL_GATE, &[context.hash()]))
    }

    pub(crate) fn lane(&self, context: &Context, number: u16) -> LaneStart {
        let bound: [&[u8]; 2] = [context.hash(), &number.to_be_bytes()];
        LaneStart {
            consumer_root: Root(expand(&self.0, LABEL_ROOT_CONSUMER, &bound)),
            producer_root: Root(expand(&self.0, LABEL_ROOT_PRODUCER, &bound)),
            transcript: Transcript(hash(LABEL_TRANSCRIPT, &bound)),
        }
    }
}

impl Root {
    /// Takes in a message's agreed secret and transcript. The extracted secret itself is
    /// erased: it would lead to the key.
    pub(crate) fn rekey(&self, agreed: &[u8], transcript: &Transcript, streams: bool) -> Step {
        let extracted = rekeyed(&self.0, agreed, &transcript.0);
        let extracted = prk(&extracted);
        Step {
            key: MessageKey(expanded(&extracted, LABEL_KEY, &[])),
            commitment: *expanded(&extracted, LABEL_COMMIT, &[]),
            root: Self(expanded(&extracted, LABEL_NEXT, &[])),
            stream: streams.then(|| StreamRoot(expanded(&extracted, LABEL_STREAM, &[]))),
        }
    }

    /// The root after an exchange whose streams were re-keyed: whoever knew it before does not
    /// know it any more.
    pub(crate) fn after_streams(&self, stream: &StreamRoot) -> Self {
        let extracted = extract(&*self.0, &*stream.0);
        Self(expand(&extracted, LABEL_STREAM, &[]))
    }
}

impl StreamRoot {
    /// Takes in what a sub-ticket and its sub-receipt agreed on, and the session with them.
    pub(crate) fn rekey(&self, agreed: &[u8], session: &BodyHash) -> StreamStep {
        let extracted = rekeyed(&self.0, agreed, &session.0);
        let extracted = prk(&extracted);
        StreamStep {
            request: MessageKey(expanded(&extracted, LABEL_KEY_REQUEST, &[])),
            response: MessageKey(expanded(&extracted, LABEL_KEY_RESPONSE, &[])),
            commitment: *expanded(&extracted, LABEL_COMMIT, &[]),
            root: Self(expanded(&extracted, LABEL_NEXT, &[])),
        }
    }
}

/// S after one more sub-ticket and its sub-receipt, without key commitment and proof.
pub(crate) fn session(before: &BodyHash, ticket: &[u8], receipt: &[u8]) -> BodyHash {
    BodyHash(hash(LABEL_SESSION, &[&before.0, ticket, receipt]))
}

fn rekeyed(root: &Secret, agreed: &[u8], said: &[u8; 32]) -> Secret {
    let mut input = Zeroizing::new(Vec::with_capacity(agreed.len() + said.len()));
    input.extend_from_slice(agreed);
    input.extend_from_slice(said);
    extract(&**root, &input)
}

/// Copies for the demonstration of a theft.
#[cfg(feature = "state-export")]
mod stolen {
    use super::*;

    impl Root {
        pub(crate) fn as_bytes(&self) -> &[u8; 32] {
            &self.0
        }

        pub(crate) fn from_stolen(bytes: [u8; 32]) -> Self {
            Self(Secret::from_bytes(bytes))
        }
    }

    impl StreamRoot {
        pub(crate) fn as_bytes(&self) -> &[u8; 32] {
            &self.0
        }

        pub(crate) fn from_stolen(bytes: [u8; 32]) -> Self {
            Self(Secret::from_bytes(bytes))
        }
    }

    impl Transcript {
        pub(crate) fn as_bytes(&self) -> &[u8; 32] {
            &self.0
        }

        pub(crate) fn from_stolen(bytes: [u8; 32]) -> Self {
            Self(bytes)
        }
    }
}

impl MessageKey {
    /// The same key once more, for the proxy alone.
    pub(crate) fn again(&self) -> Self {
        Self(Secret::written(|bytes| bytes.copy_from_slice(&*self.0)))
    }

    /// Reads a key's 32 bytes.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, HeadError> {
        reader.secret().map(Self)
    }

    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key's bytes, to hand it from the enclave to the proxy.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ZeroizeOnDrop for MessageKey {}

impl Transcript {
    /// The transcript after one more head.
    #[must_use]
    pub(crate) fn absorb(&self, head: &[u8]) -> Self {
        Self(hash(LABEL_ABSORB, &[&self.0, head]))
    }
}

fn extract(salt: &[u8], input: &[u8]) -> Secret {
    let (mut prk, _) = Hkdf::<Sha256>::extract(Some(salt), input);
    let secret = Secret::from_bytes(prk.into());
    prk.zeroize();
    secret
}

fn expand(key: &Secret, label: &[u8], fields: &[&[u8]]) -> Secret {
    expanded(&prk(key), label, fields)
}

#[expect(clippy::expect_used, reason = "32 bytes are long enough for SHA-256")]
fn prk(key: &Secret) -> Hkdf<Sha256> {
    Hkdf::from_prk(&**key).expect("a 32-byte key")
}

fn expanded(prk: &Hkdf<Sha256>, label: &[u8], fields: &[&[u8]]) -> Secret {
    Secret::written(|out| {
        #[expect(clippy::expect_used, reason = "32 bytes are short enough for SHA-256")]
        prk.expand(&join(label, fields), out)
            .expect("32 bytes of output");
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::{suite::Suite, testing::context};

    /// R2: none of what a step gives is another, and none leads to another.
    #[test]
    fn r2_parts_of_a_step_are_siblings() {
        let root = Root(Secret::from_bytes([5; 32]));
        let transcript = Transcript([6; 32]);
        let step = root.rekey(b"agreed", &transcript, true);
        let stream = step.stream.unwrap();
        let parts = [
            *step.key.as_bytes(),
            step.commitment,
            *step.root.0,
            *stream.0,
            *root.0,
        ];
        for (place, part) in parts.iter().enumerate() {
            assert!(!parts[..place].contains(part));
            let onwards = Root(Secret::from_bytes(*part)).rekey(b"agreed", &transcript, false);
            let led_back = [*onwards.key.as_bytes(), onwards.commitment, *onwards.root.0];
            // From the first root it is the step itself, from no other part.
            assert_eq!(led_back.iter().any(|p| parts.contains(p)), place == 4);
        }
    }

    /// R2, within a stream: parts are siblings, and each follows from the root, from what was
    /// agreed and from the session together.
    #[test]
    fn r2_parts_of_a_streams_step_are_siblings() {
        let root = || StreamRoot(Secret::from_bytes([5; 32]));
        let parts = |root: &StreamRoot, agreed: &[u8], session: u8| {
            let step = root.rekey(agreed, &BodyHash([session; 32]));
            let keys = [*step.request.as_bytes(), *step.response.as_bytes()];
            [keys[0], keys[1], step.commitment, *step.root.0]
        };
        let lane = Root(Secret::from_bytes([6; 32]));
        let mut seen = vec![[5; 32], *lane.after_streams(&root()).0];
        seen.extend(parts(&root(), b"agreed", 1));
        seen.extend(parts(&root(), b"other", 1));
        seen.extend(parts(&root(), b"agreed", 2));
        for part in seen.clone() {
            seen.extend(parts(&StreamRoot(Secret::from_bytes(part)), b"agreed", 3));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn every_lane_and_context_has_roots_of_its_own() {
        let first = context(Suite::X25519ChaCha20Poly1305);
        let other = context(Suite::X25519Aes256Gcm);
        let keys = BundleSecret::from_bytes([7; 32]).into_keys();
        let mut seen = Vec::new();
        for (context, lane) in [(&first, 0), (&first, 1), (&other, 0)] {
            let start = keys.lane(context, lane);
            seen.extend([*start.consumer_root.0, *start.producer_root.0]);
            assert!(start.transcript != keys.lane(context, lane + 7).transcript);
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
