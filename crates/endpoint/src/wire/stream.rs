//! A stream on its way out: sealed piece by piece, and vouched for by checkpoints that the
//! enclave signs.

use std::sync::Arc;

use armour_enclave::{Enclave, binding::LaneId};
use armour_protocol::v2::{
    checkpoint::Mark,
    error::ContentError,
    message::Side,
    proof::Proof,
    proxy::{DueCheckpoint, MAX_PIECE, StreamWriter},
};
use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;

use super::content::Content;

/// Content is vouched for at least this often, though its source does not pause.
const CHECKPOINT_EVERY: usize = 256 * 1024;

/// The stream cannot go on: its lane is to be given up.
#[derive(Debug, Clone, Copy, Error)]
#[error("the stream is broken")]
pub struct Broken;

/// How far the other direction has been verified, as the next checkpoint says.
#[derive(Clone)]
pub struct PeerMark(Arc<Mutex<Mark>>);

impl Default for PeerMark {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Mark::NONE)))
    }
}

impl PeerMark {
    /// The other direction has been verified up to here.
    pub fn verified(&self, mark: Mark) {
        *self.0.lock() = mark;
    }

    fn get(&self) -> Mark {
        *self.0.lock()
    }
}

/// Seals a stream's content.
pub struct StreamSender<S> {
    /// None once a checkpoint could not be signed.
    writer: Option<StreamWriter<S>>,
    enclave: Enclave,
    lane: LaneId,
    peer: PeerMark,
    content: Content,
    /// Bytes since the last checkpoint.
    unsigned: usize,
}

impl<S: Side> StreamSender<S> {
    /// Goes on after the first content; `content` has been read, and is next.
    pub fn new(
        writer: StreamWriter<S>,
        enclave: Enclave,
        lane: LaneId,
        peer: PeerMark,
        content: Content,
    ) -> Self {
        Self {
            writer: Some(writer),
            enclave,
            lane,
            peer,
            content,
            unsigned: 0,
        }
    }

    /// Where content is to be written before it is sealed.
    pub fn content(&mut self) -> &mut Content {
        &mut self.content
    }

    /// Seals what fills whole segments.
    ///
    /// # Errors
    /// [`Broken`] if the enclave is gone, or the lane, or its numbers are used up.
    pub async fn seal_full(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut out = Vec::new();
        while self.content.len() >= MAX_PIECE {
            self.push(&mut out).await?;
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Seals all that is there, and a checkpoint if anything waits for one.
    ///
    /// # Errors
    /// As above.
    pub async fn flush(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut out = Vec::new();
        while !self.content.is_empty() {
            self.push(&mut out).await?;
        }
        if self.unsigned > 0 {
            self.checkpoint(&mut out).await?;
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// Seals the rest, and the checkpoint that ends the stream.
    ///
    /// # Errors
    /// As above.
    pub async fn finish(mut self) -> Result<Bytes, Broken> {
        let mut out = Vec::new();
        while !self.content.is_empty() {
            self.push(&mut out).await?;
        }
        let writer = self.writer.take().ok_or(Broken)?;
        self.sign(writer.finish(self.peer.get()), &mut out).await?;
        Ok(out.into())
    }

    async fn push(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let piece = self.content.split_to(MAX_PIECE);
        let writer = self.writer.as_mut().ok_or(Broken)?;
        writer.push(piece.as_slice(), out).map_err(broken)?;
        self.unsigned += piece.len();
        if self.unsigned >= CHECKPOINT_EVERY {
            self.checkpoint(out).await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let writer = self.writer.take().ok_or(Broken)?;
        self.writer = self.sign(writer.checkpoint(self.peer.get()), out).await?;
        self.unsigned = 0;
        Ok(())
    }

    async fn sign(
        &self,
        due: DueCheckpoint<S>,
        out: &mut Vec<u8>,
    ) -> Result<Option<StreamWriter<S>>, Broken> {
        let claim = due.claim().to_bytes().to_vec();
        let signed = self.enclave.checkpoint(self.lane, claim).await;
        let signed = signed.map_err(|error| {
            tracing::warn!(%error, lane = self.lane.lane, "no checkpoint");
            Broken
        })?;
        let proof = Proof::from_bytes(&signed).map_err(|_| Broken)?;
        due.seal(&proof, out).map_err(broken)
    }
}

fn broken(error: ContentError) -> Broken {
    tracing::error!(%error, "a stream cannot be sealed");
    Broken
}
