//! Sealing: whole content, or a stream and its checkpoints.

use crate::v2::{
    checkpoint::{CheckpointClaim, Mark, Place, tail},
    content::{ContentClaim, DigestKind, Padding, Running},
    error::ContentError,
    message::Side,
    mode::Mode,
    proof::Proof,
};

use super::{
    epoch::Epoch,
    keys::Outgoing,
    limits::{MAX_PIECE, MAX_UNVERIFIED, MAX_WHOLE},
    segment::{SegmentCipher, SegmentKind},
};

/// Content that is to be sent whole. What is larger is made a stream.
pub struct WholeContent<'a>(Content<'a>);

/// What a stream begins with, such as a request's method, target and fields.
pub struct FirstContent<'a>(Content<'a>);

struct Content<'a> {
    content: &'a [u8],
    claim: ContentClaim,
}

/// A stream that goes on.
pub struct StreamWriter<S> {
    cipher: SegmentCipher,
    place: Place,
    padding: Padding,
    running: Running,
    bytes: u64,
    /// Bytes since the last checkpoint.
    unsigned: usize,
    /// It has switched: its next segment is a checkpoint.
    switched: bool,
    side: std::marker::PhantomData<S>,
}

/// A stream that waits for a checkpoint's signature.
pub struct DueCheckpoint<S> {
    writer: StreamWriter<S>,
    claim: CheckpointClaim,
}

macro_rules! claimed {
    ($($content:ident, $mode:expr, at most $limit:ident;)*) => {$(
        impl<'a> $content<'a> {
            #[doc = concat!("Content of at most [`", stringify!($limit), "`] bytes.")]
            ///
            /// # Errors
            /// [`ContentError::TooLarge`].
            pub fn new(
                content: &'a [u8],
                kind: DigestKind,
                padding: Padding,
            ) -> Result<Self, ContentError> {
                Content::new($mode, content, $limit, kind, padding).map(Self)
            }

            /// What the enclave is told of it.
            pub fn claim(&self) -> ContentClaim {
                self.0.claim
            }
        }
    )*};
}
claimed! {
    WholeContent, Mode::Whole, at most MAX_WHOLE;
    FirstContent, Mode::Stream, at most MAX_PIECE;
}

impl WholeContent<'_> {
    /// Seals it under the key of the head that committed to it, or behind a switch to the
    /// epoch that the message begins in; appends the segments.
    ///
    /// # Errors
    /// [`ContentError::Commitment`] if it was another's head; [`ContentError::Switch`] if it
    /// must begin in an epoch ([`Outgoing::in_epoch`]). Nothing was sealed.
    pub fn seal<S: Side>(
        self,
        outgoing: Outgoing<S>,
        out: &mut Vec<u8>,
    ) -> Result<(), ContentError> {
        self.0.seal(SegmentKind::Whole, &outgoing, out)?;
        Ok(())
    }
}

impl FirstContent<'_> {
    /// As [`WholeContent::seal`]; the stream goes on with what is returned.
    ///
    /// # Errors
    /// As [`WholeContent::seal`].
    pub fn seal<S: Side>(
        self,
        outgoing: Outgoing<S>,
        out: &mut Vec<u8>,
    ) -> Result<StreamWriter<S>, ContentError> {
        let cipher = self.0.seal(SegmentKind::First, &outgoing, out)?;
        let Content { content, claim } = self.0;
        let mut running = Running::start(claim.kind, &outgoing.blinding);
        running.update(content);
        Ok(StreamWriter {
            cipher,
            place: outgoing
                .epoch
                .map_or(outgoing.keys.place, |epoch| epoch.place),
            padding: claim.padding,
            running,
            bytes: claim.length,
            unsigned: 0,
            switched: false,
            side: outgoing.keys.side,
        })
    }
}

impl<S: Side> StreamWriter<S> {
    /// How many bytes more may be pushed before a checkpoint is due. None behind a switch.
    pub fn room(&self) -> usize {
        match self.switched {
            true => 0,
            false => MAX_UNVERIFIED - self.unsigned,
        }
    }

    /// Seals content; its receiver hands it on after the next checkpoint.
    ///
    /// # Errors
    /// [`ContentError::CheckpointDue`] for more than [`StreamWriter::room`]: then nothing
    /// was sealed.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), ContentError> {
        if content.len() > self.room() {
            return Err(ContentError::CheckpointDue);
        }
        for piece in content.chunks(MAX_PIECE) {
            // At most `MAX_PIECE`.
            let length = (piece.len() as u32).to_be_bytes();
            let zeros = self.padding.padded(piece.len()) - piece.len();
            self.cipher
                .seal(SegmentKind::Data, &[&length, piece], zeros, out)?;
            self.running.update(piece);
            self.unsigned += piece.len();
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// Goes on under the keys that the streams were re-keyed to. All that was pushed before
    /// needs its checkpoint first; and a checkpoint comes next, though it adds nothing: so the
    /// receiver sees the direction in its new epoch.
    ///
    /// # Errors
    /// [`ContentError::CheckpointDue`], or [`ContentError::Switch`] for another exchange's
    /// keys or an epoch that is over; then nothing was sealed.
    pub fn switch(&mut self, epoch: &Epoch<S>, out: &mut Vec<u8>) -> Result<(), ContentError> {
        if self.unsigned != 0 || self.switched {
            return Err(ContentError::CheckpointDue);
        }
        if !epoch.place.is_beside(&self.place) || epoch.place.k <= self.place.k {
            return Err(ContentError::Switch);
        }
        seal_switch(&mut self.cipher, epoch, out)?;
        self.place = epoch.place;
        self.switched = true;
        Ok(())
    }

    /// Asks for a checkpoint, which names how far the other direction was verified.
    pub fn checkpoint(self, peer: Mark) -> DueCheckpoint<S> {
        self.due(peer, false)
    }

    /// Asks for the checkpoint that ends the direction.
    pub fn finish(self, peer: Mark) -> DueCheckpoint<S> {
        self.due(peer, true)
    }

    fn due(self, peer: Mark, last: bool) -> DueCheckpoint<S> {
        let claim = CheckpointClaim {
            bytes: self.bytes,
            digest: self.running.digest(),
            peer,
            last,
        };
        DueCheckpoint {
            writer: self,
            claim,
        }
    }
}

impl<S: Side> DueCheckpoint<S> {
    /// What the enclave is asked to sign.
    pub fn claim(&self) -> CheckpointClaim {
        self.claim
    }

    /// Seals the checkpoint; the stream goes on, unless that was its last.
    ///
    /// # Errors
    /// [`ContentError`] if the segments' numbers are used up.
    pub fn seal(
        self,
        proof: &Proof,
        out: &mut Vec<u8>,
    ) -> Result<Option<StreamWriter<S>>, ContentError> {
        let Self { mut writer, claim } = self;
        let tail = tail(&claim.peer, claim.last);
        writer
            .cipher
            .seal(SegmentKind::Checkpoint, &[&tail, &proof.to_bytes()], 0, out)?;
        (writer.unsigned, writer.switched) = (0, false);
        Ok((!claim.last).then_some(writer))
    }
}

impl<'a> Content<'a> {
    fn new(
        mode: Mode,
        content: &'a [u8],
        limit: usize,
        kind: DigestKind,
        padding: Padding,
    ) -> Result<Self, ContentError> {
        if content.len() > limit {
            return Err(ContentError::TooLarge);
        }
        let claim = ContentClaim::of(mode, content, kind, padding);
        Ok(Self { content, claim })
    }

    fn seal<S: Side>(
        &self,
        segment: SegmentKind,
        outgoing: &Outgoing<S>,
        out: &mut Vec<u8>,
    ) -> Result<SegmentCipher, ContentError> {
        let Self { content, claim } = self;
        let blinding = &outgoing.blinding;
        if claim.commitment(S::DIRECTION, blinding) != outgoing.keys.commitment {
            return Err(ContentError::Commitment);
        }
        let mut cipher = outgoing.keys.cipher();
        match &outgoing.epoch {
            Some(epoch) => seal_switch(&mut cipher, epoch, out)?,
            None if outgoing.k() > 0 => return Err(ContentError::Switch),
            None => {}
        }
        let kinds = [claim.kind as u8, claim.padding as u8];
        // At most `MAX_WHOLE`.
        let length = (content.len() as u32).to_be_bytes();
        let zeros = claim.padding.padded(content.len()) - content.len();
        cipher.seal(
            segment,
            &[&**blinding, &kinds, &length, content],
            zeros,
            out,
        )?;
        Ok(cipher)
    }
}

/// Seals a switch, the last segment under its key.
fn seal_switch<S: Side>(
    cipher: &mut SegmentCipher,
    epoch: &Epoch<S>,
    out: &mut Vec<u8>,
) -> Result<(), ContentError> {
    let parts: [&[u8]; 2] = [&epoch.place.k.to_be_bytes(), &epoch.commitment];
    cipher.seal(SegmentKind::Switch, &parts, 0, out)?;
    drop(cipher.switch(epoch.suite, &epoch.key));
    Ok(())
}
