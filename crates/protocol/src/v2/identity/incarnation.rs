//! What signs for a start of an endpoint, in memory alone.

use std::sync::Arc;

use ed25519_dalek::{SigningKey, VerifyingKey};
use rand_core::CryptoRng;

use crate::{
    crypto::{Sign, Signer, verify},
    envelope,
    v2::{fields::join, secret::Secret},
};

use super::{
    body::NewKeys,
    link::SignedLink,
    mark::Incarnated,
    start::{SignedStart, StartHash},
};

const LABEL_PRESENCE: &[u8] = b"armour/2 presence";

/// A start's keys, in memory alone, and those that renewed them.
pub struct Incarnation {
    pub(super) start: SignedStart,
    pub(super) current: Keys,
    /// For bundles that name them, until these end.
    pub(super) old: Vec<Keys>,
    pub(super) renewals: Vec<SignedLink>,
}

/// One generation of keys.
pub(super) struct Keys {
    pub(super) public: NewKeys,
    pub(super) signer: Arc<Signer>,
    pub(super) hpke: Secret,
    /// What the signing key was made from.
    #[cfg(feature = "state-export")]
    pub(super) seed: Secret,
}

/// An incarnation's word that it lives, while another start wants its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    signature: [u8; 64],
}

impl Incarnation {
    pub(super) fn new(start: SignedStart, keys: Keys) -> Self {
        Self {
            start,
            current: keys,
            old: Vec::new(),
            renewals: Vec::new(),
        }
    }

    /// The start that all this is of.
    pub fn start(&self) -> &SignedStart {
        &self.start
    }

    /// The links by which one key signed the next: with the start, what a peer checks.
    pub fn renewals(&self) -> &[SignedLink] {
        &self.renewals
    }

    /// The keys that new bundles name.
    pub fn keys(&self) -> &NewKeys {
        &self.current.public
    }

    /// What signs in bundles that name this key. An old one signs in no others.
    pub fn signer(&self, key: &VerifyingKey) -> Option<&Arc<Signer>> {
        self.generation(key).map(|keys| &keys.signer)
    }

    /// What opens envelopes of bundles that name this key.
    pub fn hpke_secret(&self, key: &VerifyingKey) -> Option<&[u8; 32]> {
        self.generation(key).map(|keys| &*keys.hpke)
    }

    /// Forgets the keys that were renewed and that no bundle signs with any more: nobody holds
    /// what [`Incarnation::signer`] gave.
    pub fn forget_unused(&mut self) {
        self.old.retain(|keys| Arc::strong_count(&keys.signer) > 1);
    }

    /// That this incarnation lives, although `other` wants its place. It waits behind
    /// nothing. Nothing is said against this start itself.
    pub fn present(&self, other: StartHash) -> Option<Presence> {
        let of = self.of();
        (other != of.start).then(|| Presence {
            signature: self.current.signer.signature(&presence(&of, other)),
        })
    }

    pub(super) fn of(&self) -> Incarnated {
        Incarnated::by(self.start.unverified())
    }

    pub(super) fn current(&self) -> &Keys {
        &self.current
    }

    pub(super) fn renewed(&mut self, link: SignedLink, keys: Keys) {
        self.renewals.push(link);
        self.old.push(std::mem::replace(&mut self.current, keys));
    }

    fn generation(&self, key: &VerifyingKey) -> Option<&Keys> {
        let mut all = std::iter::once(&self.current).chain(&self.old);
        all.find(|keys| keys.public.key == *key)
    }
}

impl Keys {
    pub(super) fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        let seed = Secret::written(|seed| rng.fill_bytes(seed));
        let signing = Box::new(SigningKey::from_bytes(&seed));
        let (private, hpke_key) = envelope::generate(rng);
        Self {
            public: NewKeys {
                key: signing.verifying_key(),
                hpke_key,
            },
            signer: Arc::new(Signer::new(&signing)),
            hpke: Secret::from_bytes(*private),
            #[cfg(feature = "state-export")]
            seed,
        }
    }
}

impl Sign for Keys {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.signer.signature(message)
    }
}

impl Presence {
    /// Whether the incarnation that signs with this key answered about this other start.
    pub fn verify(&self, of: &Incarnated, key: &VerifyingKey, other: StartHash) -> bool {
        verify(key, &presence(of, other), &self.signature)
    }

    /// The signature.
    pub fn to_bytes(&self) -> [u8; 64] {
        self.signature
    }

    /// Takes a signature; nothing of it is checked.
    pub fn from_bytes(signature: [u8; 64]) -> Self {
        Self { signature }
    }
}

fn presence(of: &Incarnated, other: StartHash) -> Vec<u8> {
    join(LABEL_PRESENCE, &[&of.endpoint, &of.start.0, &other.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::testing::{Endpoint, long_term};

    #[test]
    fn presence_is_said_of_one_other_start() {
        let incarnation = Endpoint::started(3).incarnation;
        let (of, key) = (incarnation.of(), incarnation.keys().key);
        let other = StartHash([7; 32]);
        let said = incarnation.present(other).unwrap();
        let said = Presence::from_bytes(said.to_bytes());
        assert!(said.verify(&of, &key, other));
        assert!(!said.verify(&of, &key, StartHash([8; 32])));
        assert!(!said.verify(&of, &long_term().verifying_key(), other));
        assert!(incarnation.present(of.start).is_none());
    }

    #[test]
    fn what_is_sealed_to_a_start_opens_with_its_secret() {
        let Endpoint {
            incarnation,
            mut rng,
            ..
        } = Endpoint::started(3);
        let keys = *incarnation.keys();
        let sealed = envelope::seal_bytes(&keys.hpke_key, b"i", b"a", &[9; 32], &mut rng);
        let secret = incarnation.hpke_secret(&keys.key).unwrap();
        let opened = envelope::open_bytes(secret, b"i", b"a", &sealed.unwrap());
        assert_eq!(*opened.unwrap(), [9; 32]);
        assert!(incarnation.signer(&long_term().verifying_key()).is_none());
    }
}
