//! What a lane is at either end: two roots and a transcript.

use std::sync::Arc;

use crate::v2::{
    body::{Body, BodyHash, Direction, Header, Kind},
    context::Context,
    error::LaneError,
    message::{Head, MAX_LOG_HEAD, Side},
    schedule::{BundleKeys, Root, Step, StreamRoot, Transcript},
};

/// How far a lane came: until a last comparison after the bundle's end, that is what is
/// kept of lanes that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneMark {
    /// The lane.
    pub lane: u16,
    /// The last exchange.
    pub n: u64,
    /// Consumer: of the last ticket. Producer: of the last receipt.
    pub hash: BodyHash,
}

pub(super) struct Core {
    pub(super) context: Arc<Context>,
    pub(super) lane: u16,
    pub(super) consumer_root: Root,
    pub(super) producer_root: Root,
    pub(super) transcript: Transcript,
}

impl Core {
    pub(super) fn new(keys: &BundleKeys, context: Arc<Context>, lane: u16) -> Self {
        let start = keys.lane(&context, lane);
        Self {
            context,
            lane,
            consumer_root: start.consumer_root,
            producer_root: start.producer_root,
            transcript: start.transcript,
        }
    }

    pub(super) fn header(&self, kind: Kind, n: u64) -> Header {
        Header {
            suite: self.context.suite(),
            kind,
            bundle: self.context.binding().bundle,
            lane: self.lane,
            n,
        }
    }

    /// What a message would make of the lane; nothing changes.
    pub(super) fn step<S: Side>(&self, head: &Head<S>, agreed: &[u8]) -> (Step, Transcript) {
        let transcript = self.transcript.absorb(&head.transcript_bytes());
        let root = match S::DIRECTION {
            Direction::Request => &self.consumer_root,
            Direction::Response => &self.producer_root,
        };
        // Only a call has streams, and they begin with its ticket.
        let streams = S::DIRECTION == Direction::Request && head.mode.has_content();
        (root.rekey(agreed, &transcript, streams), transcript)
    }

    /// The lane after an exchange whose streams were re-keyed.
    pub(super) fn after_streams(&self, stream: &StreamRoot) -> Self {
        Self {
            context: self.context.clone(),
            lane: self.lane,
            consumer_root: self.consumer_root.after_streams(stream),
            producer_root: self.producer_root.after_streams(stream),
            transcript: self.transcript,
        }
    }

    /// Takes on what [`Core::step`] gave.
    pub(super) fn moved(self, direction: Direction, root: Root, transcript: Transcript) -> Self {
        match direction {
            Direction::Request => Self {
                consumer_root: root,
                transcript,
                ..self
            },
            Direction::Response => Self {
                producer_root: root,
                transcript,
                ..self
            },
        }
    }
}

impl LaneMark {
    pub(super) fn of(body: &Body) -> Self {
        Self {
            lane: body.header.lane,
            n: body.header.n,
            hash: body.hash(),
        }
    }

    /// Whether the ledger's head of this lane can be this end's own work: it is not ahead
    /// of this, and the same where it is the same exchange. `false` proves another holder.
    pub fn owns(&self, head: &Self) -> bool {
        head.lane == self.lane && (head.n < self.n || head == self)
    }
}

pub(super) fn checked_log_head(log_head: &[u8]) -> Result<Vec<u8>, LaneError> {
    match log_head.len() {
        0..=MAX_LOG_HEAD => Ok(log_head.to_vec()),
        _ => Err(LaneError::LogHead),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ahead_or_beside_is_not_ours() {
        let mark = |n, hash| LaneMark {
            lane: 1,
            n,
            hash: BodyHash([hash; 32]),
        };
        let own = mark(5, 1);
        assert!(own.owns(&mark(4, 9)) && own.owns(&mark(5, 1)));
        assert!(!own.owns(&mark(5, 2)) && !own.owns(&mark(6, 1)));
        assert!(!own.owns(&LaneMark { lane: 2, ..own }));
    }
}
