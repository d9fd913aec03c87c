//! The rest of a stream: content stays out of reach until its checkpoint has been verified.

use std::{marker::PhantomData, sync::Arc};

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::{
    crypto::Cipher,
    v2::{
        checkpoint::{Checkpoint, CheckpointClaim, Mark, Place, SignedCheckpoint, read_tail},
        content::{Padding, Running},
        context::Context,
        error::ContentError,
        fields::Reader,
        message::Side,
        proof::{Proof, Signed},
    },
};

use super::{
    buffer::{Held, Verified},
    keyring::Keyring,
    limits::MAX_UNVERIFIED,
    segment::{SegmentCipher, SegmentHeader, SegmentKind, data_range, read_switch},
};

/// The rest of a stream. What it holds unverified nobody can read; an error takes it back to
/// its last checkpoint.
pub struct StreamReader<S> {
    context: Arc<Context>,
    cipher: SegmentCipher,
    place: Place,
    padding: Padding,
    running: Running,
    held: Held,
    bytes: u64,
    epochs: Keyring<S>,
    /// The epoch before, until a checkpoint of the next one is verified.
    before: Option<(Box<Cipher>, Place)>,
    verified: LastVerified,
    /// One that its sender did not sign, by its key.
    foreign: Option<SignedCheckpoint>,
    side: PhantomData<S>,
}

/// Where a stream's last verified segment ended.
struct LastVerified {
    segments: u64,
    running: Running,
    bytes: u64,
    mark: Mark,
    checkpoint: Option<SignedCheckpoint>,
}

/// What one segment of a stream gave.
pub enum Read<S> {
    /// Content that waits for its checkpoint, or a switch to an epoch whose keys were there.
    Held(Box<StreamReader<S>>),
    /// All content since the checkpoint before.
    Verified {
        /// The content.
        content: Verified,
        /// What vouches for it.
        checkpoint: SignedCheckpoint,
        /// The stream goes on.
        reader: Box<StreamReader<S>>,
    },
    /// A switch to an epoch whose keys are not here. Nobody has signed it.
    Switch(Box<Switching<S>>),
    /// The same as [`Read::Verified`], and the stream has ended as its sender meant it to.
    Final {
        /// The content.
        content: Verified,
        /// What vouches for it; the enclave is shown it.
        checkpoint: SignedCheckpoint,
    },
}

/// A stream that comes to a switch before its receiver has that epoch's keys. If a sub-receipt
/// with that number is under way they are waited for; else the switch was forged.
pub struct Switching<S> {
    reader: Box<StreamReader<S>>,
    k: u32,
    commitment: [u8; 32],
}

/// What a segment is.
enum Next {
    Held,
    Checkpoint(Box<SignedCheckpoint>),
    Waits { k: u32, commitment: [u8; 32] },
}

/// The stream in its next epoch, or as it was and why not.
pub type Switched<S> = Result<Box<StreamReader<S>>, (Box<StreamReader<S>>, ContentError)>;

impl<S> ZeroizeOnDrop for StreamReader<S> {}
impl<S> ZeroizeOnDrop for Switching<S> {}

impl<S: Side> Switching<S> {
    /// The epoch that it goes on in.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The stream in its next epoch, whose keys are in its [`Keyring`] by now.
    ///
    /// # Errors
    /// As [`StreamReader::read`].
    pub fn go_on(self) -> Switched<S> {
        let Self {
            mut reader,
            k,
            commitment,
        } = self;
        let switched = reader.switch_to(k, &commitment);
        match switched.unwrap_or(Err(ContentError::Switch)) {
            Ok(()) => Ok(reader),
            Err(error) => Err((reader.back(), error)),
        }
    }

    /// As [`StreamReader::back`]: the switch may be forged.
    #[must_use]
    pub fn back(self) -> Box<StreamReader<S>> {
        self.reader.back()
    }
}

impl<S: Side> StreamReader<S> {
    /// A stream whose first segment was verified: so much content of this exchange, padded like
    /// that.
    pub(super) fn new(
        context: Arc<Context>,
        cipher: SegmentCipher,
        (place, padding, running, bytes): (Place, Padding, Running, u64),
    ) -> Self {
        Self {
            context,
            verified: LastVerified {
                segments: cipher.segments(),
                running: running.clone(),
                bytes,
                mark: Mark::NONE,
                checkpoint: None,
            },
            cipher,
            place,
            padding,
            running,
            held: Held::default(),
            bytes,
            epochs: Keyring::default(),
            before: None,
            foreign: None,
            side: PhantomData,
        }
    }

    /// Knows these epochs, and those that are added to them: what their sender has said of
    /// where the direction goes on in them binds whoever sends.
    #[must_use]
    pub fn follow(mut self: Box<Self>, epochs: Keyring<S>) -> Box<Self> {
        epochs.reached(self.place.k);
        self.epochs = epochs;
        self
    }

    /// After [`ContentError::ForeignCheckpoint`]: the checkpoint that its sender did not sign,
    /// though its key did.
    pub fn evidence(&self) -> Option<&SignedCheckpoint> {
        self.foreign.as_ref()
    }

    /// Takes the next segment.
    ///
    /// # Errors
    /// [`ContentError`]: it is not what was sent. What was held is gone; the reader awaits the
    /// segments after its last checkpoint, which may come by another connection.
    /// [`ContentError::ForeignCheckpoint`] is an alarm.
    pub fn read(
        mut self: Box<Self>,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Read<S>, (Box<Self>, ContentError)> {
        let checkpoint = match self.take(header, sealed) {
            Ok(Next::Held) => return Ok(Read::Held(self)),
            Ok(Next::Waits { k, commitment }) => {
                return Ok(Read::Switch(Box::new(Switching {
                    reader: self,
                    k,
                    commitment,
                })));
            }
            Ok(Next::Checkpoint(checkpoint)) => *checkpoint,
            Err(error) => return Err((self.back(), error)),
        };
        let content = self.held.verified();
        self.before = None;
        self.epochs.reached(self.place.k);
        self.verified = LastVerified {
            segments: self.cipher.segments(),
            running: self.running.clone(),
            bytes: self.bytes,
            mark: checkpoint.message.mark(),
            checkpoint: Some(checkpoint.clone()),
        };
        Ok(match checkpoint.message.claim.last {
            true => Read::Final {
                content,
                checkpoint,
            },
            false => Read::Verified {
                content,
                checkpoint,
                reader: self,
            },
        })
    }

    /// Goes back to the last checkpoint: what came after it was cut, or may be forged.
    #[must_use]
    pub fn back(mut self: Box<Self>) -> Box<Self> {
        if let Some((cipher, place)) = self.before.take() {
            self.cipher.restore(cipher);
            self.place = place;
        }
        self.cipher.back_to(self.verified.segments);
        self.running = self.verified.running.clone();
        self.bytes = self.verified.bytes;
        self.held = Held::default();
        self
    }

    /// Takes content, a switch, or a checkpoint that is found to be its sender's.
    fn take(&mut self, header: SegmentHeader, sealed: &[u8]) -> Result<Next, ContentError> {
        self.in_epoch()?;
        match header.kind {
            // Behind a switch comes a checkpoint.
            SegmentKind::Data if self.before.is_some() => Err(ContentError::Malformed),
            SegmentKind::Data => {
                let (cipher, padding) = (&mut self.cipher, self.padding);
                let content = self.held.extend(header.content_len(), |opened| {
                    cipher.open_into(header, sealed, opened)?;
                    data_range(opened, padding)
                })?;
                if self.held.len() > MAX_UNVERIFIED {
                    return Err(ContentError::CheckpointDue);
                }
                self.bytes = self.bytes.saturating_add(content as u64);
                Ok(Next::Held)
            }
            SegmentKind::Checkpoint => {
                let opened = self.cipher.open(header, sealed)?;
                let checkpoint = self.checkpoint(&opened)?;
                self.has_its_place(&checkpoint)?;
                Ok(Next::Checkpoint(Box::new(checkpoint)))
            }
            SegmentKind::Switch => self.switch(header, sealed),
            SegmentKind::Whole | SegmentKind::First => Err(ContentError::Malformed),
        }
    }

    /// Whether what was verified in this epoch is what its sender says that it signed in it:
    /// the next one may have become known since.
    fn in_epoch(&mut self) -> Result<(), ContentError> {
        let end = self.epochs.end_of(self.place.k);
        match end.is_none_or(|end| end.follows(&self.verified.mark)) {
            true => Ok(()),
            false => {
                self.foreign.clone_from(&self.verified.checkpoint);
                Err(ContentError::ForeignCheckpoint)
            }
        }
    }

    /// The same of a checkpoint whose signature holds.
    fn has_its_place(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), ContentError> {
        let mark = checkpoint.message.mark();
        let end = self.epochs.end_of(self.place.k);
        match end.is_none_or(|end| end.follows(&mark)) {
            true => Ok(()),
            false => {
                self.foreign = Some(checkpoint.clone());
                Err(ContentError::ForeignCheckpoint)
            }
        }
    }

    fn checkpoint(&mut self, opened: &[u8]) -> Result<SignedCheckpoint, ContentError> {
        let malformed = |_| ContentError::Malformed;
        let mut reader = Reader::new(opened);
        let (peer, last) = read_tail(&mut reader).map_err(malformed)?;
        let proof = Proof::read(&mut reader).map_err(malformed)?;
        reader.end().map_err(malformed)?;
        let sequence = self.verified.mark.number().checked_add(1);
        // Long input in one go: BLAKE3 hashes many parts of it at a time.
        self.running.update(self.held.unverified());
        let message = Checkpoint {
            direction: S::DIRECTION,
            place: self.place,
            sequence: sequence.ok_or(ContentError::TooLarge)?,
            claim: CheckpointClaim {
                bytes: self.bytes,
                digest: self.running.digest(),
                peer,
                last,
            },
        };
        let checkpoint = Signed { message, proof };
        let verified = checkpoint.verify(&self.context);
        verified.map_err(|_| ContentError::Signature)?;
        Ok(checkpoint)
    }

    /// Takes a switch, which stands directly behind what was verified.
    fn switch(&mut self, header: SegmentHeader, sealed: &[u8]) -> Result<Next, ContentError> {
        if self.held.len() != 0 || self.before.is_some() {
            return Err(ContentError::CheckpointDue);
        }
        let opened = self.cipher.open(header, sealed)?;
        let (k, commitment) = read_switch(&opened)?;
        if k <= self.place.k {
            return Err(ContentError::Malformed);
        }
        match self.switch_to(k, &commitment) {
            Some(switched) => switched.map(|()| Next::Held),
            None => Ok(Next::Waits { k, commitment }),
        }
    }

    /// Goes on in an epoch whose keys are here, where its sender says that it does.
    fn switch_to(&mut self, k: u32, commitment: &[u8; 32]) -> Option<Result<(), ContentError>> {
        let epochs = self.epochs.clone();
        epochs.with(k, |epoch| {
            let fits = epoch.place.is_beside(&self.place)
                && epoch.mark == self.verified.mark
                && bool::from(epoch.commitment.ct_eq(commitment));
            if !fits {
                return Err(ContentError::Switch);
            }
            let before = self.cipher.switch(epoch.suite, &epoch.key);
            self.before = Some((before, self.place));
            self.place = epoch.place;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::{
        body::BodyHash, content::DigestKind, message::Request, proxy::MAX_PIECE,
        schedule::MessageKey, suite::Suite, testing::context,
    };

    /// Whoever holds the key can send without end, but nobody holds it all.
    #[test]
    fn a_receiver_holds_no_more_than_its_limit() {
        let suite = Suite::X25519ChaCha20Poly1305;
        let cipher = || {
            let key = MessageKey::from_bytes([1; 32]);
            SegmentCipher::new(suite, &key, BodyHash([2; 32]))
        };
        let running = || Running::start(DigestKind::Sha256, &[3; 32]);
        let mut reader = Box::new(StreamReader::<Request> {
            context: Arc::new(context(suite)),
            cipher: cipher(),
            place: Place::first(1, BodyHash([2; 32])),
            padding: Padding::None,
            running: running(),
            verified: LastVerified {
                segments: 0,
                running: running(),
                bytes: 0,
                mark: Mark::NONE,
                checkpoint: None,
            },
            held: Held::default(),
            bytes: 0,
            epochs: Keyring::default(),
            before: None,
            foreign: None,
            side: PhantomData,
        });
        let (mut sender, piece) = (cipher(), vec![0; MAX_PIECE]);
        let length = (MAX_PIECE as u32).to_be_bytes();
        for number in 0..=MAX_UNVERIFIED / MAX_PIECE {
            let mut wire = Vec::new();
            sender
                .seal(SegmentKind::Data, &[&length, &piece], 0, &mut wire)
                .unwrap();
            let (header, sealed) = wire.split_first_chunk().unwrap();
            let header = SegmentHeader::from_bytes(*header).unwrap();
            reader = match reader.read(header, sealed) {
                Ok(Read::Held(reader)) => reader,
                Err((_, ContentError::CheckpointDue)) => {
                    assert_eq!(number, MAX_UNVERIFIED / MAX_PIECE);
                    return;
                }
                _ => panic!("neither held nor refused"),
            };
        }
        panic!("it holds too much");
    }
}
