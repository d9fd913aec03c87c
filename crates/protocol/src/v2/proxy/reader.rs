//! The rest of a stream: content stays out of reach until its checkpoint has been verified.

use std::{marker::PhantomData, sync::Arc};

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::v2::{
    checkpoint::{Checkpoint, CheckpointClaim, Place, SignedCheckpoint, read_tail},
    content::{Padding, Running},
    context::Context,
    error::{ContentError, HeadError},
    fields::Reader,
    message::Side,
    proof::{Proof, Signed},
};

use super::{
    buffer::{Held, Verified},
    epoch::Epoch,
    limits::MAX_UNVERIFIED,
    segment::{SegmentCipher, SegmentHeader, SegmentKind, data_range},
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
    sequence: u64,
    verified: LastVerified,
    side: PhantomData<S>,
}

/// Where a stream's last verified segment ended.
struct LastVerified {
    segments: u64,
    running: Running,
    bytes: u64,
}

/// What one segment of a stream gave.
pub enum Read<S> {
    /// Content that waits for its checkpoint.
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
    /// The stream goes on under another key.
    Switch(Box<Switching<S>>),
    /// The same as [`Read::Verified`], and the stream has ended as its sender meant it to.
    Final {
        /// The content.
        content: Verified,
        /// What vouches for it; the enclave is shown it.
        checkpoint: SignedCheckpoint,
    },
}

/// A stream whose sender has switched to another epoch's key. It can be read on with that
/// epoch's key alone, which its receiver may have to wait for.
pub struct Switching<S> {
    reader: Box<StreamReader<S>>,
    k: u32,
    commitment: [u8; 32],
    /// Segments up to the last that was verified, which stands before the switch.
    before: u64,
}

impl<S> ZeroizeOnDrop for StreamReader<S> {}
impl<S> ZeroizeOnDrop for Switching<S> {}

impl<S: Side> Switching<S> {
    fn new(
        reader: Box<StreamReader<S>>,
        before: u64,
        (k, commitment): (u32, [u8; 32]),
    ) -> Box<Self> {
        Box::new(Self {
            reader,
            k,
            commitment,
            before,
        })
    }

    /// Goes back to before the switch, which nobody vouches for: whoever holds the key that it
    /// leaves can have made it.
    #[must_use]
    pub fn back(self: Box<Self>) -> Box<StreamReader<S>> {
        let mut reader = self.reader;
        reader.verified.segments = self.before;
        reader.back()
    }

    /// The epoch that it goes on in.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The stream, in its next epoch.
    ///
    /// # Errors
    /// [`ContentError::Switch`] for other keys; it still waits for its own.
    pub fn with(
        self: Box<Self>,
        epoch: &Epoch<S>,
    ) -> Result<Box<StreamReader<S>>, (Box<Self>, ContentError)> {
        let fits = epoch.place.is_beside(&self.reader.place)
            && epoch.place.k == self.k
            && bool::from(epoch.commitment.ct_eq(&self.commitment));
        if !fits {
            return Err((self, ContentError::Switch));
        }
        let mut reader = self.reader;
        reader.cipher.switch(epoch.suite, &epoch.key);
        reader.place = epoch.place;
        Ok(reader)
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
            },
            cipher,
            place,
            padding,
            running,
            held: Held::default(),
            bytes,
            sequence: 0,
            side: PhantomData,
        }
    }

    /// Takes the next segment.
    ///
    /// # Errors
    /// [`ContentError`]: it is not what was sent. What was held is gone; the reader awaits the
    /// segments after its last checkpoint, which may come by another connection.
    pub fn read(
        mut self: Box<Self>,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Read<S>, (Box<Self>, ContentError)> {
        if header.kind == SegmentKind::Switch {
            let before = self.verified.segments;
            return match self.switch(header, sealed) {
                Ok(to) => Ok(Read::Switch(Switching::new(self, before, to))),
                Err(error) => Err((self.back(), error)),
            };
        }
        let checkpoint = match self.take(header, sealed) {
            Ok(None) => return Ok(Read::Held(self)),
            Ok(Some(checkpoint)) => checkpoint,
            Err(error) => return Err((self.back(), error)),
        };
        let content = self.held.verified();
        self.sequence = checkpoint.message.sequence;
        self.verified = LastVerified {
            segments: self.cipher.segments(),
            running: self.running.clone(),
            bytes: self.bytes,
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
        self.cipher.back_to(self.verified.segments);
        self.running = self.verified.running.clone();
        self.bytes = self.verified.bytes;
        self.held = Held::default();
        self
    }

    /// Takes content, or finds a checkpoint to be its sender's.
    fn take(
        &mut self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Option<SignedCheckpoint>, ContentError> {
        match header.kind {
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
                Ok(None)
            }
            SegmentKind::Checkpoint => {
                let opened = self.cipher.open(header, sealed)?;
                self.checkpoint(&opened).map(Some)
            }
            SegmentKind::Whole | SegmentKind::First | SegmentKind::Switch => {
                Err(ContentError::Malformed)
            }
        }
    }

    fn checkpoint(&mut self, opened: &[u8]) -> Result<SignedCheckpoint, ContentError> {
        let malformed = |_| ContentError::Malformed;
        let mut reader = Reader::new(opened);
        let (peer, last) = read_tail(&mut reader).map_err(malformed)?;
        let proof = Proof::read(&mut reader).map_err(malformed)?;
        reader.end().map_err(malformed)?;
        let sequence = self.sequence.checked_add(1);
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
    fn switch(
        &mut self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<(u32, [u8; 32]), ContentError> {
        if self.held.len() != 0 {
            return Err(ContentError::CheckpointDue);
        }
        let opened = self.cipher.open(header, sealed)?;
        let mut reader = Reader::new(&opened);
        let mut read = || Ok((reader.u32()?, reader.array()?));
        let (k, commitment) = read().map_err(|_: HeadError| ContentError::Malformed)?;
        if k <= self.place.k {
            return Err(ContentError::Malformed);
        }
        // From here on it is not gone back: what came before is verified.
        self.verified.segments = self.cipher.segments();
        Ok((k, commitment))
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
            },
            held: Held::default(),
            bytes: 0,
            sequence: 0,
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
