//! What an enclave knows of a peer's incarnation. It installs bundles for the newest start
//! that it saw, and for none before it.

use ed25519_dalek::VerifyingKey;
use thiserror::Error;

use crate::v2::{VERSION, fields::Reader};

use super::{
    body::{LinkBody, NewKeys},
    error::IdentityError,
    link::SignedLink,
    mark::{Incarnated, LinkMark},
    read,
    start::{SignedStart, StartHash},
};

/// A peer's endpoint, as this enclave knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    endpoint: [u8; 16],
    known: Option<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    counter: u64,
    start: StartHash,
    keys: NewKeys,
    /// The link that made the keys current, or the chain's origin.
    since: LinkMark,
}

/// Why a peer's start or renewal is not believed. What is known has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeerError {
    /// It is not the peer's word.
    #[error(transparent)]
    Invalid(#[from] IdentityError),
    /// Before the newest start that this enclave saw.
    #[error("an earlier start than {highest}, which was seen")]
    Earlier {
        /// The highest start counter that was seen.
        highest: u64,
    },
    /// The peer signed this, and something that it cannot stand beside: its key was copied.
    #[error("the peer's key was copied")]
    Copied,
}

impl KnownPeer {
    /// A peer of which nothing is known yet.
    pub fn new(endpoint: [u8; 16]) -> Self {
        Self {
            endpoint,
            known: None,
        }
    }

    /// Whose starts these are.
    pub fn endpoint(&self) -> &[u8; 16] {
        &self.endpoint
    }

    /// What is kept, so that it is known after the enclave's next start as well.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.endpoint);
        out.extend_from_slice(&self.highest().to_be_bytes());
        if let Some(known) = &self.known {
            out.extend_from_slice(&known.start.0);
            out.extend_from_slice(known.keys.key.as_bytes());
            out.extend_from_slice(&known.keys.hpke_key);
            out.extend_from_slice(&known.since.k.to_be_bytes());
            out.extend_from_slice(&known.since.hash.0);
        }
        out
    }

    /// Reads what [`KnownPeer::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read::version(&mut reader)?;
        let endpoint = reader.array()?;
        let known = match reader.u64()? {
            0 => None,
            counter => Some(Known {
                counter,
                start: StartHash(reader.array()?),
                keys: NewKeys {
                    key: read::key(&mut reader)?,
                    hpke_key: reader.array()?,
                },
                since: LinkMark::read(&mut reader)?,
            }),
        };
        reader.end()?;
        Ok(Self { endpoint, known })
    }

    /// The highest start counter that was seen; 0 for none.
    pub fn highest(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.counter)
    }

    /// The keys that a bundle must name to be installed.
    pub fn keys(&self) -> Option<&NewKeys> {
        self.known.as_ref().map(|known| &known.keys)
    }

    /// Takes a start that the peer's long-term key signed: the one that a certificate
    /// names, if the peer is pinned; else the log's.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn take_start(
        &mut self,
        start: &SignedStart,
        long_term: &VerifyingKey,
    ) -> Result<(), PeerError> {
        let said = start.verify(&self.endpoint, long_term)?;
        let (counter, hash) = (said.counter(), said.hash());
        if let Some(known) = &self.known {
            if hash == known.start {
                return Ok(());
            }
            if counter < known.counter {
                return Err(PeerError::Earlier {
                    highest: known.counter,
                });
            }
            let beside = counter == known.counter;
            let named = said.ancestor(known.counter);
            if beside || named.is_some_and(|named| named != known.start) {
                return Err(PeerError::Copied);
            }
        }
        self.known = Some(Known {
            counter,
            start: hash,
            keys: NewKeys {
                key: *said.key(),
                hpke_key: *said.hpke_key(),
            },
            since: Incarnated::by(said).origin(),
        });
        Ok(())
    }

    /// Takes a renewal of the keys. Those up to the last one that was taken change nothing.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn take_renewal(&mut self, link: &SignedLink) -> Result<(), PeerError> {
        let known = self.known.as_mut().ok_or(IdentityError::Subject)?;
        let head = link.head();
        let of = Incarnated {
            endpoint: self.endpoint,
            start: known.start,
        };
        let LinkBody::Renew(keys) = link.body() else {
            return Err(IdentityError::Subject.into());
        };
        if *head.of() != of {
            return Err(IdentityError::Subject.into());
        }
        let mark = link.mark();
        if mark.k < known.since.k || mark == known.since {
            return Ok(());
        }
        if !link.is_signed_by(&known.keys.key) {
            return Err(IdentityError::Signature.into());
        }
        // The key that the last renewal named signed another link in that one's place.
        if mark.k == known.since.k {
            return Err(PeerError::Copied);
        }
        known.keys = *keys;
        known.since = mark;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::identity::{
        chain::Answered,
        testing::{Endpoint, long_term},
    };

    fn take(peer: &mut KnownPeer, endpoint: &Endpoint) -> Result<(), PeerError> {
        let start = endpoint.incarnation.start();
        peer.take_start(start, &long_term().verifying_key())
    }

    fn renewed(endpoint: Endpoint) -> Endpoint {
        let Endpoint {
            mut incarnation,
            chain,
            record,
            mut rng,
        } = endpoint;
        let in_flight = chain.renew(&incarnation, &mut rng);
        let in_flight = in_flight.unwrap_or_else(|_| panic!("it can be signed"));
        let mark = in_flight.link().mark();
        let Answered::Taken(chain) = in_flight.answered(&mark, &mut incarnation) else {
            panic!("it is answered");
        };
        Endpoint {
            incarnation,
            chain,
            record,
            rng,
        }
    }

    #[test]
    fn never_below_the_highest_start_that_was_seen() {
        let first = Endpoint::started(1);
        let second = Endpoint::after(&first.record, 2);
        let mut peer = KnownPeer::new([1; 16]);
        assert_eq!(take(&mut peer, &first), Ok(()));
        assert_eq!(take(&mut peer, &second), Ok(()));
        assert_eq!(
            take(&mut peer, &first),
            Err(PeerError::Earlier { highest: 2 })
        );
        assert_eq!(take(&mut peer, &second), Ok(()));
        assert_eq!(peer.keys(), Some(second.incarnation.keys()));
        assert_eq!(peer.highest(), 2);
    }

    #[test]
    fn two_starts_that_cannot_both_be_are_a_copy() {
        let first = Endpoint::started(1);
        let second = Endpoint::after(&first.record, 2);
        let copy = Endpoint::after(&first.record, 3);
        let after_copy = Endpoint::after(&copy.record, 4);
        let mut peer = KnownPeer::new([1; 16]);
        take(&mut peer, &first).unwrap();
        take(&mut peer, &second).unwrap();
        assert_eq!(take(&mut peer, &copy), Err(PeerError::Copied));
        assert_eq!(take(&mut peer, &after_copy), Err(PeerError::Copied));
        assert_eq!(peer.keys(), Some(second.incarnation.keys()));
    }

    #[test]
    fn renewals_are_taken_in_their_order() {
        let endpoint = renewed(renewed(Endpoint::started(1)));
        let links = endpoint.incarnation.renewals();
        let mut peer = KnownPeer::new([1; 16]);
        assert!(peer.take_renewal(&links[0]).is_err());
        take(&mut peer, &endpoint).unwrap();
        let wrong = Err(PeerError::Invalid(IdentityError::Signature));
        assert_eq!(peer.take_renewal(&links[1]), wrong);
        for _ in 0..2 {
            for link in links {
                assert_eq!(peer.take_renewal(link), Ok(()));
            }
        }
        assert_eq!(peer.keys(), Some(endpoint.incarnation.keys()));
        assert_eq!(KnownPeer::from_bytes(&peer.to_bytes()), Ok(peer.clone()));
        let unknown = KnownPeer::new([1; 16]);
        assert_eq!(KnownPeer::from_bytes(&unknown.to_bytes()), Ok(unknown));
        // A start that is known already does not bring its first key back.
        take(&mut peer, &endpoint).unwrap();
        assert_eq!(peer.keys(), Some(endpoint.incarnation.keys()));
    }

    /// The old key, copied before it was renewed, leads no peer away.
    #[test]
    fn a_second_renewal_of_one_key_is_not_taken() {
        let owner = renewed(Endpoint::started(1));
        let mut thief = Endpoint::started(1);
        thief.rng.set_word_pos(1_000);
        let thief = renewed(thief);
        let mut peer = KnownPeer::new([1; 16]);
        take(&mut peer, &owner).unwrap();
        peer.take_renewal(&owner.incarnation.renewals()[0]).unwrap();
        let taken = peer.take_renewal(&thief.incarnation.renewals()[0]);
        assert_eq!(taken, Err(PeerError::Invalid(IdentityError::Signature)));
        assert_eq!(peer.keys(), Some(owner.incarnation.keys()));
    }
}
