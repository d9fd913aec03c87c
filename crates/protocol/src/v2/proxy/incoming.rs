//! Opening: content stays out of reach until its sender's word for it has been verified.

use std::{marker::PhantomData, ops::Range, sync::Arc};

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::v2::{
    checkpoint::{Checkpoint, CheckpointClaim, Place, SignedCheckpoint, read_tail},
    content::{Disclosure, Padding, Running},
    context::Context,
    error::ContentError,
    fields::Reader,
    message::{Response, Side},
    mode::Mode,
    proof::{Proof, Signed},
};

use super::{
    buffer::{Held, Verified, Wiped},
    keys::Incoming,
    limits::MAX_UNVERIFIED,
    segment::{SegmentCipher, SegmentHeader, SegmentKind, data_range, read_preamble},
};

/// An opened first segment that is not known to be its sender's. Nobody can read it.
pub struct Unverified<S> {
    opened: Wiped,
    content: Range<usize>,
    preamble: Disclosure,
    mode: Mode,
    commitment: [u8; 32],
    cipher: SegmentCipher,
    place: Place,
    side: PhantomData<S>,
}

/// Verified content: all of a message, or what a stream begins with and the stream.
pub enum Arrived<S> {
    /// All of it.
    Whole(Verified),
    /// The beginning, and the rest.
    Stream(Verified, Box<StreamReader<S>>),
}

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
    /// The same, and the stream has ended as its sender meant it to.
    Final {
        /// The content.
        content: Verified,
        /// What vouches for it; the enclave is shown it.
        checkpoint: SignedCheckpoint,
    },
}

impl<S> ZeroizeOnDrop for Unverified<S> {}
impl<S> ZeroizeOnDrop for StreamReader<S> {}

impl<S: Side> Incoming<S> {
    /// Opens the first segment. It can be tried with other bytes if that fails.
    pub(super) fn open_first(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Unverified<S>, ContentError> {
        match (self.keys.mode, header.kind) {
            (Mode::Whole, SegmentKind::Whole) | (Mode::Stream, SegmentKind::First) => {}
            _ => return Err(ContentError::Malformed),
        }
        let mut cipher = self.keys.cipher();
        let opened = cipher.open(header, sealed)?;
        let (preamble, content) = read_preamble(&opened)?;
        Ok(Unverified {
            opened,
            content,
            preamble,
            mode: self.keys.mode,
            commitment: self.keys.commitment,
            cipher,
            place: self.keys.place,
            side: PhantomData,
        })
    }
}

impl Incoming<Response> {
    /// Opens the response's first segment. It can be tried with other bytes if that fails.
    ///
    /// # Errors
    /// [`ContentError`]; the bytes are not the ones that were sent.
    pub fn open(
        &self,
        header: SegmentHeader,
        sealed: &[u8],
    ) -> Result<Unverified<Response>, ContentError> {
        self.open_first(header, sealed)
    }
}

impl Unverified<Response> {
    /// Compares the content with what the signed receipt committed to.
    ///
    /// # Errors
    /// [`ContentError::Commitment`]: it is not what the producer signed.
    pub fn verify(self, context: &Arc<Context>) -> Result<Arrived<Response>, ContentError> {
        self.verified(context)
    }
}

impl<S: Side> Unverified<S> {
    /// Compares the content with what the signed head committed to.
    pub(super) fn verified(self, context: &Arc<Context>) -> Result<Arrived<S>, ContentError> {
        let content = &self.opened[self.content.clone()];
        let commitment = self.preamble.commitment(S::DIRECTION, self.mode, content);
        if !bool::from(commitment.ct_eq(&self.commitment)) {
            return Err(ContentError::Commitment);
        }
        let Disclosure {
            blinding,
            kind,
            padding,
        } = self.preamble;
        let bytes = content.len() as u64;
        let running = (self.mode == Mode::Stream).then(|| {
            let mut running = Running::start(kind, &blinding);
            running.update(content);
            running
        });
        let verified = Verified::new(self.opened, self.content, Some(self.preamble));
        Ok(match running {
            None => Arrived::Whole(verified),
            Some(running) => {
                let reader = StreamReader {
                    context: context.clone(),
                    verified: LastVerified {
                        segments: self.cipher.segments(),
                        running: running.clone(),
                        bytes,
                    },
                    cipher: self.cipher,
                    place: self.place,
                    padding,
                    running,
                    held: Held::default(),
                    bytes,
                    sequence: 0,
                    side: PhantomData,
                };
                Arrived::Stream(verified, Box::new(reader))
            }
        })
    }
}

impl<S: Side> StreamReader<S> {
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
            SegmentKind::Whole | SegmentKind::First => Err(ContentError::Malformed),
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
            place: Place {
                n: 1,
                session: BodyHash([2; 32]),
            },
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
