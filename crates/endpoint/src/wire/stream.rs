//! A stream on its way out: sealed piece by piece, and vouched for by checkpoints that the
//! enclave signs.

use std::sync::Arc;

use armour_enclave::{Enclave, binding::LaneId};
use armour_protocol::v2::{
    checkpoint::Mark,
    error::ContentError,
    message::Side,
    proof::Proof,
    proxy::{DueCheckpoint, Epoch, MAX_PIECE, StreamWriter},
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

    /// Up to where it has been.
    pub fn get(&self) -> Mark {
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
    /// What has been sealed and not been handed out yet.
    out: Vec<u8>,
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
            out: Vec::new(),
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
        while self.content.len() >= MAX_PIECE {
            self.push().await?;
        }
        Ok(self.sealed())
    }

    /// Seals all that is there, and a checkpoint if anything waits for one.
    ///
    /// # Errors
    /// As above.
    pub async fn flush(&mut self) -> Result<Option<Bytes>, Broken> {
        self.vouch().await?;
        Ok(self.sealed())
    }

    /// Seals the rest, and the checkpoint that ends the stream.
    ///
    /// # Errors
    /// As above.
    pub async fn finish(mut self) -> Result<Bytes, Broken> {
        while !self.content.is_empty() {
            self.push().await?;
        }
        let writer = self.writer.take().ok_or(Broken)?;
        self.sign(writer.finish(self.peer.get())).await?;
        Ok(self.out.into())
    }

    /// Vouches for all that is there: that is where the stream goes on in another epoch, if it
    /// is re-keyed.
    ///
    /// # Errors
    /// As above.
    pub async fn vouch(&mut self) -> Result<(), Broken> {
        while !self.content.is_empty() {
            self.push().await?;
        }
        match self.unsigned {
            0 => Ok(()),
            _ => self.checkpoint().await,
        }
    }

    /// Goes on under the keys of another epoch, directly behind what was vouched for. Its
    /// checkpoint shows that the direction is there.
    ///
    /// # Errors
    /// As above, and if they are another stream's.
    pub async fn switch(&mut self, epoch: &Epoch<S>) -> Result<(), Broken> {
        let writer = self.writer.as_mut().ok_or(Broken)?;
        writer.switch(epoch, &mut self.out).map_err(broken)?;
        self.checkpoint().await
    }

    fn sealed(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).into())
    }

    async fn push(&mut self) -> Result<(), Broken> {
        let piece = self.content.split_to(MAX_PIECE);
        let writer = self.writer.as_mut().ok_or(Broken)?;
        writer
            .push(piece.as_slice(), &mut self.out)
            .map_err(broken)?;
        self.unsigned += piece.len();
        match self.unsigned >= CHECKPOINT_EVERY {
            true => self.checkpoint().await,
            false => Ok(()),
        }
    }

    /// A checkpoint, though it may add nothing.
    ///
    /// # Errors
    /// As above.
    pub async fn checkpoint(&mut self) -> Result<(), Broken> {
        let writer = self.writer.take().ok_or(Broken)?;
        self.writer = self.sign(writer.checkpoint(self.peer.get())).await?;
        self.unsigned = 0;
        Ok(())
    }

    async fn sign(&mut self, due: DueCheckpoint<S>) -> Result<Option<StreamWriter<S>>, Broken> {
        let claim = due.claim().to_bytes().to_vec();
        let signed = self.enclave.checkpoint(self.lane, claim).await;
        let signed = signed.map_err(|error| {
            tracing::warn!(%error, lane = self.lane.lane, "no checkpoint");
            Broken
        })?;
        let proof = Proof::from_bytes(&signed).map_err(|_| Broken)?;
        due.seal(&proof, &mut self.out).map_err(broken)
    }
}

fn broken(error: ContentError) -> Broken {
    tracing::error!(%error, "a stream cannot be sealed");
    Broken
}
