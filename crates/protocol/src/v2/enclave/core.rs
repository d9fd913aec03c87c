//! What a lane is at either end: two roots and a transcript.

use std::sync::Arc;

use crate::v2::{
    body::{Body, BodyHash, Direction, Header, Kind},
    context::Context,
    error::LaneError,
    message::{Head, MAX_LOG_HEAD, Side},
    rekey::SubBody,
    schedule::{BundleKeys, Root, Step, StreamRoot, Transcript},
};

/// How far a lane came: until a last comparison after the bundle's end, that is what is
/// kept of lanes that have ended. A lane has one with k = 0 and, if the streams after it
/// re-keyed, a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneMark {
    /// The lane.
    pub lane: u16,
    /// The last exchange.
    pub n: u64,
    /// Number of the last sub-ticket or sub-receipt of the exchange; 0 for its ticket or receipt.
    pub k: u32,
    /// Consumer: of the last ticket, or sub-ticket. Producer: of the last receipt, or
    /// sub-receipt.
    pub hash: BodyHash,
}

/// A lane's marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneMarks {
    /// That of its last ticket or receipt.
    pub mark: LaneMark,
    /// That of the last sub-ticket or sub-receipt, if it is of that exchange or a later one.
    pub sub: Option<LaneMark>,
}

impl From<LaneMark> for LaneMarks {
    fn from(mark: LaneMark) -> Self {
        Self { mark, sub: None }
    }
}

impl LaneMarks {
    /// One directly behind the other.
    pub fn iter(self) -> impl Iterator<Item = LaneMark> {
        std::iter::once(self.mark).chain(self.sub)
    }

    /// As [`LaneMark::own_among`].
    pub fn own(self, head: &LaneMark) -> bool {
        let marks = [self.mark, self.sub.unwrap_or(self.mark)];
        LaneMark::own_among(&marks, head)
    }
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
    /// Of a ticket or receipt.
    pub fn of(body: &Body) -> Self {
        Self {
            lane: body.header.lane,
            n: body.header.n,
            k: 0,
            hash: body.hash(),
        }
    }

    /// Of a sub-ticket or sub-receipt.
    pub fn of_sub(body: &SubBody) -> Self {
        Self {
            lane: body.lane,
            n: body.n,
            k: body.k,
            hash: body.hash(),
        }
    }

    /// Whether the ledger's head of this lane can be this end's own work: it is not ahead
    /// of this, and the same where it is the same exchange, or sub-ticket of it. `false` proves
    /// another holder. A head with k = 0 is compared with the mark with k = 0, another one with
    /// the lane's last mark, as [`LaneMark::own_among`] does.
    pub fn owns(&self, head: &Self) -> bool {
        let place = |mark: &Self| (mark.n, mark.k);
        head.lane == self.lane && (place(head) < place(self) || head == self)
    }

    /// The same, by a lane's marks: that with k = 0 and maybe the one behind it.
    pub fn own_among(marks: &[Self], head: &Self) -> bool {
        let comparable = marks.iter().filter(|mark| head.k > 0 || mark.k == 0);
        comparable
            .max_by_key(|mark| (mark.n, mark.k))
            .is_some_and(|mark| mark.owns(head))
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
        let sub = |n, k, hash| LaneMark {
            lane: 1,
            n,
            k,
            hash: BodyHash([hash; 32]),
        };
        let mark = |n, hash| sub(n, 0, hash);
        let own = mark(5, 1);
        assert!(own.owns(&mark(4, 9)) && own.owns(&mark(5, 1)));
        assert!(!own.owns(&mark(5, 2)) && !own.owns(&mark(6, 1)));
        assert!(!own.owns(&LaneMark { lane: 2, ..own }));
        // The producer's last receipt is the fifth, and the sixth exchange re-keyed twice.
        let marks = [own, sub(6, 2, 7)];
        let owns = |head| LaneMark::own_among(&marks, &head);
        assert!(owns(mark(5, 1)) && owns(sub(5, 9, 9)) && owns(sub(6, 1, 9)) && owns(sub(6, 2, 7)));
        assert!(!owns(mark(5, 2)) && !owns(mark(6, 7)) && !owns(sub(6, 2, 8)));
        assert!(!owns(sub(6, 3, 7)) && !owns(sub(7, 1, 7)));
        // Without a second mark there was no sub-ticket of the last exchange.
        assert!(!LaneMark::own_among(&[own], &sub(5, 1, 1)));
        assert!(LaneMark::own_among(&[own], &sub(4, 1, 1)));
        assert!(!LaneMark::own_among(&[], &own));
    }
}
