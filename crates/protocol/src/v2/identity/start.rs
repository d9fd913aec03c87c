//! The statement of a start: the long-term key's word for an incarnation key.
//!
//! It names every start of the same folder since the last one that the control plane
//! answered: so whatever the control plane has recorded is either one of these, or another
//! holder's.

use ed25519_dalek::VerifyingKey;

use crate::{
    crypto::{Sign, verify},
    v2::{
        VERSION,
        fields::{Reader, hash, join},
    },
};

use super::{error::IdentityError, read};

const LABEL: &[u8] = b"armour/2 start";

/// How many starts in a row can go without an answer. After these the endpoint enrols anew.
pub const MAX_UNANSWERED: usize = 256;

/// H of a start's statement; zeros where there is none. It names the incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StartHash(pub [u8; 32]);

/// What a start says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub(super) endpoint: [u8; 16],
    pub(super) counter: u64,
    pub(super) answered: StartHash,
    pub(super) unanswered: Vec<StartHash>,
    pub(super) key: VerifyingKey,
    pub(super) hpke_key: [u8; 32],
}

/// A start and its signature, which may not be the endpoint's: verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStart {
    start: Start,
    signature: [u8; 64],
}

impl StartHash {
    /// In the place of a start where there was none.
    pub const NONE: Self = Self([0; 32]);
}

impl Start {
    /// Whose start it is.
    pub fn endpoint(&self) -> &[u8; 16] {
        &self.endpoint
    }

    /// The start's number, from 1.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// What this start signs with.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// What is sealed to this start.
    pub fn hpke_key(&self) -> &[u8; 32] {
        &self.hpke_key
    }

    /// The start's name.
    pub fn hash(&self) -> StartHash {
        let (counter, unanswered) = self.numbers();
        StartHash(hash(LABEL, &self.fields(&counter, &unanswered)))
    }

    /// The start of this counter that this one goes back to; nothing for a counter that it
    /// says nothing of.
    pub fn ancestor(&self, counter: u64) -> Option<StartHash> {
        let anchor = self.anchor();
        let after = counter.checked_sub(anchor)?;
        match usize::try_from(after).ok()?.checked_sub(1) {
            None => Some(self.answered),
            Some(index) => self.unanswered.get(index).copied(),
        }
    }

    /// Signs the start with the long-term key.
    pub fn sign(self, long_term: &impl Sign) -> SignedStart {
        let signature = long_term.signature(&self.statement());
        SignedStart {
            start: self,
            signature,
        }
    }

    /// The counter of the last answered start, 0 for none. Counters have no holes.
    pub(super) fn anchor(&self) -> u64 {
        let since = self.unanswered.len() as u64 + 1;
        self.counter.saturating_sub(since)
    }

    fn statement(&self) -> Vec<u8> {
        let (counter, unanswered) = self.numbers();
        join(LABEL, &self.fields(&counter, &unanswered))
    }

    fn numbers(&self) -> ([u8; 8], Vec<u8>) {
        let unanswered = self.unanswered.iter().flat_map(|hash| hash.0).collect();
        (self.counter.to_be_bytes(), unanswered)
    }

    fn fields<'a>(&'a self, counter: &'a [u8; 8], unanswered: &'a [u8]) -> [&'a [u8]; 6] {
        [
            &self.endpoint,
            counter,
            &self.answered.0,
            unanswered,
            self.key.as_bytes(),
            &self.hpke_key,
        ]
    }
}

impl SignedStart {
    /// What it says, which may be nobody's word.
    pub fn unverified(&self) -> &Start {
        &self.start
    }

    /// What it says, if this endpoint's long-term key signed it.
    ///
    /// # Errors
    /// [`IdentityError::Subject`] or [`IdentityError::Signature`].
    pub fn verify(
        &self,
        endpoint: &[u8; 16],
        long_term: &VerifyingKey,
    ) -> Result<&Start, IdentityError> {
        if self.start.endpoint != *endpoint {
            return Err(IdentityError::Subject);
        }
        match verify(long_term, &self.start.statement(), &self.signature) {
            true => Ok(&self.start),
            false => Err(IdentityError::Signature),
        }
    }

    /// The start's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = &self.start;
        let (counter, unanswered) = start.numbers();
        let mut out = vec![VERSION];
        out.extend_from_slice(&start.endpoint);
        out.extend_from_slice(&counter);
        out.extend_from_slice(&start.answered.0);
        // At most `MAX_UNANSWERED`, as records and the parser check.
        out.extend_from_slice(&(start.unanswered.len() as u16).to_be_bytes());
        out.extend_from_slice(&unanswered);
        out.extend_from_slice(start.key.as_bytes());
        out.extend_from_slice(&start.hpke_key);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads what [`SignedStart::to_bytes`] wrote; the signature is not checked.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read::version(&mut reader)?;
        let endpoint = reader.array()?;
        let counter = reader.u64()?;
        let (answered, unanswered) = read_history(&mut reader)?;
        let start = Start {
            endpoint,
            counter,
            answered,
            unanswered,
            key: read::key(&mut reader)?,
            hpke_key: reader.array()?,
        };
        let signature = reader.array()?;
        reader.end()?;
        let first = start.anchor() == 0;
        let enough = start.counter > start.unanswered.len() as u64;
        match enough && first == (start.answered == StartHash::NONE) {
            true => Ok(Self { start, signature }),
            false => Err(IdentityError::Malformed),
        }
    }
}

/// Hash of the last answered start, count, hashes of those since.
pub(super) fn read_history(
    reader: &mut Reader<'_>,
) -> Result<(StartHash, Vec<StartHash>), IdentityError> {
    let answered = StartHash(reader.array()?);
    let count = usize::from(reader.u16()?);
    if count > MAX_UNANSWERED {
        return Err(IdentityError::Malformed);
    }
    let unanswered = (0..count).map(|_| Ok(StartHash(reader.array()?)));
    Ok((answered, unanswered.collect::<Result<_, IdentityError>>()?))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn start() -> Start {
        Start {
            endpoint: [1; 16],
            counter: 7,
            answered: StartHash([4; 32]),
            unanswered: vec![StartHash([5; 32]), StartHash([6; 32])],
            key: SigningKey::from_bytes(&[7; 32]).verifying_key(),
            hpke_key: [8; 32],
        }
    }

    #[test]
    fn a_start_names_what_it_goes_back_to() {
        let start = start();
        for (counter, named) in [
            (3, None),
            (4, Some(4)),
            (5, Some(5)),
            (6, Some(6)),
            (7, None),
            (u64::MAX, None),
        ] {
            let named = named.map(|byte| StartHash([byte; 32]));
            assert_eq!(start.ancestor(counter), named);
        }
    }

    #[test]
    fn every_field_is_signed_and_read_as_it_is_written() {
        let long_term = SigningKey::from_bytes(&[9; 32]);
        let key = long_term.verifying_key();
        let bytes = start().sign(&long_term).to_bytes();
        let read = SignedStart::from_bytes(&bytes).unwrap();
        assert_eq!(read.verify(&[1; 16], &key), Ok(&start()));
        assert_eq!(read.verify(&[2; 16], &key), Err(IdentityError::Subject));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = SignedStart::from_bytes(&changed);
            let verified = read.and_then(|read| {
                let endpoint = read.start.endpoint;
                read.verify(&endpoint, &key).map(|_| ())
            });
            assert!(verified.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_history_fits_its_counter() {
        let long_term = SigningKey::from_bytes(&[9; 32]);
        let read = |start: Start| SignedStart::from_bytes(&start.sign(&long_term).to_bytes());
        let malformed = Err(IdentityError::Malformed);
        // Nothing was answered before the first three, and 0 is no start.
        for counter in [0, 2, 3] {
            assert_eq!(read(Start { counter, ..start() }), malformed);
        }
        let none = StartHash::NONE;
        let first = Start {
            counter: 3,
            answered: none,
            ..start()
        };
        assert!(read(first).is_ok());
        let later = Start {
            answered: none,
            ..start()
        };
        assert_eq!(read(later), malformed);
        let long = Start {
            counter: 1000,
            unanswered: vec![none; MAX_UNANSWERED + 1],
            ..start()
        };
        assert_eq!(read(long), malformed);
    }
}
