//! An endpoint's start: the long-term key signs an incarnation key, once.
//!
//! The folder keeps a [`StartRecord`]. A start takes a counter from it, and is not to be
//! had before the record that counts it is kept. A start that the control plane has not
//! answered is named by those after it, so that a restart between any two steps is nobody's
//! theft.

use rand_core::CryptoRng;

use crate::{
    crypto::Sign,
    v2::{VERSION, fields::Reader},
};

use super::{
    chain::Chain,
    error::IdentityError,
    incarnation::{Incarnation, Keys},
    keep::Keep,
    mark::Incarnated,
    read,
    start::{MAX_UNANSWERED, SignedStart, Start, StartHash, read_history},
};

/// What an endpoint's folder keeps of its starts. It holds no secret, but each is used for
/// one start.
#[derive(Debug, PartialEq, Eq)]
pub struct StartRecord {
    endpoint: [u8; 16],
    /// Of the last start.
    counter: u64,
    answered: StartHash,
    unanswered: Vec<StartHash>,
}

/// A start that is kept, and is sent word for word until it is accepted.
pub struct Starting {
    record: StartRecord,
    start: SignedStart,
    keys: Keys,
}

/// What an accepted start gives.
pub struct Started {
    /// What signs.
    pub incarnation: Incarnation,
    /// Its links to the control plane.
    pub chain: Chain,
    /// To be kept when it suits: until then the next start only names more than it must.
    pub record: StartRecord,
}

impl StartRecord {
    /// Of an endpoint that has just enrolled.
    pub fn new(endpoint: [u8; 16]) -> Self {
        Self {
            endpoint,
            counter: 0,
            answered: StartHash::NONE,
            unanswered: Vec::new(),
        }
    }

    /// Whose starts these are.
    pub fn endpoint(&self) -> &[u8; 16] {
        &self.endpoint
    }

    /// Makes the next start. The long-term key signs it and is dropped: nothing else needs
    /// it, and what is sent later is the same bytes.
    ///
    /// # Errors
    /// [`IdentityError::TooLarge`] if too many starts in a row have had no answer: the
    /// endpoint enrols anew.
    pub fn begin<R: CryptoRng>(
        self,
        long_term: impl Sign,
        rng: &mut R,
    ) -> Result<Keep<Starting>, IdentityError> {
        let counter = self.counter.checked_add(1);
        let counter = counter.ok_or(IdentityError::TooLarge)?;
        if self.unanswered.len() >= MAX_UNANSWERED {
            return Err(IdentityError::TooLarge);
        }
        let keys = Keys::generate(rng);
        let start = Start {
            endpoint: self.endpoint,
            counter,
            answered: self.answered,
            unanswered: self.unanswered.clone(),
            key: keys.public.key,
            hpke_key: keys.public.hpke_key,
        };
        let mut record = Self { counter, ..self };
        record.unanswered.push(start.hash());
        let bytes = record.to_bytes();
        let start = start.sign(&long_term);
        Ok(Keep::new(
            bytes,
            Starting {
                record,
                start,
                keys,
            },
        ))
    }

    /// The record's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.endpoint);
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(&self.answered.0);
        // At most `MAX_UNANSWERED`, as `begin` and the parser check.
        out.extend_from_slice(&(self.unanswered.len() as u16).to_be_bytes());
        out.extend(self.unanswered.iter().flat_map(|hash| hash.0));
        out
    }

    /// Reads what [`StartRecord::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::Version`]: the folder was not kept,
    /// and its endpoint enrols anew.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let mut reader = Reader::new(bytes);
        read::version(&mut reader)?;
        let endpoint = reader.array()?;
        let counter = reader.u64()?;
        let (answered, unanswered) = read_history(&mut reader)?;
        reader.end()?;
        let since = unanswered.len() as u64;
        match counter.checked_sub(since) {
            Some(anchor) if (anchor == 0) == (answered == StartHash::NONE) => Ok(Self {
                endpoint,
                counter,
                answered,
                unanswered,
            }),
            _ => Err(IdentityError::Malformed),
        }
    }
}

impl Starting {
    /// What is sent, the same each time.
    pub fn start(&self) -> &SignedStart {
        &self.start
    }

    /// The control plane has accepted this start. Whatever else it answers, the start is
    /// sent again later, or the process ends.
    pub fn accepted(self) -> Started {
        let start = self.start.unverified();
        let record = StartRecord {
            answered: start.hash(),
            unanswered: Vec::new(),
            ..self.record
        };
        Started {
            chain: Chain::new(Incarnated::by(start)),
            incarnation: Incarnation::new(self.start, self.keys),
            record,
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    const ENDPOINT: [u8; 16] = [1; 16];

    fn long_term() -> SigningKey {
        SigningKey::from_bytes(&[2; 32])
    }

    fn begin(record: StartRecord, rng: &mut ChaCha20Rng) -> (StartRecord, Starting) {
        let made = record.begin(long_term(), rng).unwrap();
        let kept = StartRecord::from_bytes(made.bytes()).unwrap();
        (kept, made.kept())
    }

    #[test]
    fn a_start_names_all_since_the_last_answer() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let (record, first) = begin(StartRecord::new(ENDPOINT), &mut rng);
        let (record, second) = begin(record, &mut rng);
        let (_, third) = begin(record, &mut rng);
        let hash = |starting: &Starting| starting.start().unverified().hash();
        let says = third
            .start()
            .verify(&ENDPOINT, &long_term().verifying_key());
        let says = says.unwrap();
        assert_eq!(says.counter(), 3);
        assert_eq!(says.ancestor(1), Some(hash(&first)));
        assert_eq!(says.ancestor(2), Some(hash(&second)));
        let answered = hash(&third);
        let started = third.accepted();
        let record = StartRecord::from_bytes(&started.record.to_bytes()).unwrap();
        let (_, fourth) = begin(record, &mut rng);
        let says = fourth.start().unverified();
        assert_eq!((says.counter(), says.ancestor(3)), (4, Some(answered)));
        assert_eq!(says.ancestor(2), None);
    }

    #[test]
    fn starts_without_an_answer_are_bounded() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let mut record = StartRecord::new(ENDPOINT);
        for _ in 0..MAX_UNANSWERED {
            let (kept, starting) = begin(record, &mut rng);
            assert!(SignedStart::from_bytes(&starting.start().to_bytes()).is_ok());
            record = kept;
        }
        let refused = record.begin(long_term(), &mut rng).err();
        assert_eq!(refused, Some(IdentityError::TooLarge));
    }

    #[test]
    fn a_record_that_contradicts_itself_is_none() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let (record, _) = begin(StartRecord::new(ENDPOINT), &mut rng);
        let bytes = record.to_bytes();
        for (at, value) in [(0, 1), (24, 0), (24, 2), (25, 1), (58, 0), (58, 2)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            assert!(StartRecord::from_bytes(&changed).is_err(), "byte {at}");
        }
    }
}
