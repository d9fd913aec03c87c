//! Whom a bundle is installed with: what a peer has signed of itself, and what is held
//! against it.

use std::collections::HashMap;

use armour_protocol::v2::{
    context::{Binding, End},
    identity::{
        certificate::{Certificate, Pin, Role, UnixTime},
        link::SignedLink,
        peer::KnownPeer,
        start::SignedStart,
    },
};
use ed25519_dalek::VerifyingKey;

use super::failed::Failed;
use crate::{
    ipc::Peer,
    known_pair::KnownPair,
    pins::{HeldTo, Pins},
};

/// Pins, and what is known of peers' starts and of pairs.
pub(super) struct Peers {
    pins: Pins,
    known: HashMap<[u8; 16], KnownPeer>,
    /// Each pair's other party: a pair never changes it.
    parties: HashMap<[u8; 16], [u8; 16]>,
}

/// A peer that is who it should be, before anything is kept of it.
pub(super) struct Verified {
    peer: KnownPeer,
    /// Whether something is known that was not before.
    pub(super) changed: bool,
    pair: KnownPair,
    /// Whether a pinned party's certificate vouches for it.
    pub(super) pinned: bool,
}

impl Peers {
    pub(super) fn new(pins: Pins) -> Self {
        Self {
            pins,
            known: HashMap::new(),
            parties: HashMap::new(),
        }
    }

    /// Takes what earlier starts of this endpoint knew; all of it, or nothing.
    pub(super) fn remember(&mut self, peers: &[Vec<u8>], pairs: &[Vec<u8>]) -> Result<(), Failed> {
        let read = peers.iter().map(|peer| KnownPeer::from_bytes(peer));
        let read: Vec<KnownPeer> = read.collect::<Result<_, _>>()?;
        let pairs = pairs.iter().map(|pair| KnownPair::from_bytes(pair));
        let pairs: Option<Vec<KnownPair>> = pairs.collect();
        for KnownPair { pair, party } in pairs.ok_or(Failed("malformed"))? {
            self.parties.entry(pair).or_insert(party);
        }
        for peer in read {
            let known = self.known.entry(*peer.endpoint());
            // Nothing that was seen since is forgotten.
            known
                .and_modify(|known| {
                    if known.highest() < peer.highest() {
                        *known = peer.clone();
                    }
                })
                .or_insert(peer);
        }
        Ok(())
    }

    /// Checks that the bundle's other end signs with the key that the binding names.
    pub(super) fn verify(
        &self,
        binding: &Binding,
        end: &End,
        role: Role,
        said: &Peer,
        now: UnixTime,
    ) -> Result<Verified, Failed> {
        let (long_term, pinned, in_pair) = match self.pins.of(binding, &end.party) {
            HeldTo::Refused => return Err(Failed("not-certified")),
            HeldTo::Nothing => {
                let key = VerifyingKey::from_bytes(&said.signing_key);
                (key.map_err(|_| Failed("malformed"))?, false, false)
            }
            HeldTo::Key { pin, in_pair } => (certified(pin, role, end, said, now)?, true, in_pair),
        };
        // Only a pin that names the pair is a person's word that its party is another one.
        let party = self.parties.get(&binding.pair);
        if !in_pair && party.is_some_and(|party| *party != end.party) {
            return Err(Failed("party-changed"));
        }
        let before = self.known.get(&end.endpoint);
        let mut peer = match before {
            Some(known) => known.clone(),
            None => KnownPeer::new(end.endpoint),
        };
        peer.take_start(&SignedStart::from_bytes(&said.start)?, &long_term)?;
        for renewal in &said.renewals {
            peer.take_renewal(&SignedLink::from_bytes(renewal)?)?;
        }
        match peer.keys() {
            Some(keys) if keys.key == end.key => Ok(Verified {
                changed: before != Some(&peer),
                peer,
                pair: KnownPair {
                    pair: binding.pair,
                    party: end.party,
                },
                pinned,
            }),
            _ => Err(Failed("peer-key")),
        }
    }

    /// Keeps what a verified peer has shown; what of it was not known before, as bytes: of the
    /// peer, and of the pair.
    pub(super) fn keep(&mut self, verified: Verified) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let peer = verified.changed.then(|| verified.peer.to_bytes());
        let endpoint = *verified.peer.endpoint();
        self.known.insert(endpoint, verified.peer);
        let KnownPair { pair, party } = verified.pair;
        let before = self.parties.insert(pair, party);
        let changed = before != Some(party);
        (peer, changed.then(|| verified.pair.to_bytes()))
    }
}

/// The long-term key that the pinned party vouches for.
fn certified(
    pin: &Pin,
    role: Role,
    end: &End,
    said: &Peer,
    now: UnixTime,
) -> Result<VerifyingKey, Failed> {
    let refused = Failed("not-certified");
    let Some(bytes) = &said.certificate else {
        return Err(refused);
    };
    let certificate = Certificate::from_bytes(bytes).map_err(|_| Failed("not-certified"))?;
    let certified = certificate.verify(pin, role, &end.endpoint, now);
    let certified = certified.map_err(|_| refused)?;
    Ok(*certified.signing_key)
}
