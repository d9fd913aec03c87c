//! What an end signed of its own direction, to compare what its peer says that it verified.

use std::collections::VecDeque;

use crate::v2::{checkpoint::Mark, error::HeadError};

/// The last checkpoints that this end signed.
pub(super) struct History {
    last: Mark,
    /// Beginnings of their digests, the last one's at the back.
    kept: VecDeque<[u8; KEPT_LEN]>,
}

/// How many are kept: with a few for each of an agent's streams, tens of thousands of streams are
/// some hundred MB, in memory that is locked.
const KEPT: usize = 256;
/// Bytes of each: nobody finds other content with so much of its digest.
const KEPT_LEN: usize = 16;

impl History {
    pub(super) fn new() -> Self {
        Self {
            last: Mark::NONE,
            kept: VecDeque::new(),
        }
    }

    /// The last one.
    pub(super) fn last(&self) -> Mark {
        self.last
    }

    /// This end signed another one.
    pub(super) fn signed(&mut self, mark: Mark) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(beginning(&mark));
        self.last = mark;
    }

    /// Compares what the peer verified. What was signed so long ago that it is not kept any more
    /// passes: whoever reads slowly is behind by as much as the network holds.
    ///
    /// # Errors
    /// [`HeadError::ForeignCheckpoint`] if this end did not sign it.
    pub(super) fn compare(&self, said: &Mark) -> Result<(), HeadError> {
        if *said == Mark::NONE || *said == self.last {
            return Ok(());
        }
        let foreign = Err(HeadError::ForeignCheckpoint);
        let behind = self.last.number().checked_sub(said.number());
        let behind = match behind.map(usize::try_from) {
            Some(Ok(behind)) if behind > 0 && !said.is_last() => behind,
            Some(Err(_)) => return Ok(()),
            _ => return foreign,
        };
        let kept = self.kept.len().checked_sub(behind + 1);
        match kept.and_then(|at| self.kept.get(at)) {
            Some(kept) if *kept != beginning(said) => foreign,
            _ => Ok(()),
        }
    }

    /// All that a thief copies of it.
    #[cfg(feature = "state-export")]
    pub(super) fn from_last(last: Mark) -> Self {
        let mut history = Self::new();
        if last != Mark::NONE {
            history.signed(last);
        }
        history
    }
}

fn beginning(mark: &Mark) -> [u8; KEPT_LEN] {
    let mut kept = [0; KEPT_LEN];
    kept.copy_from_slice(&mark.digest[..KEPT_LEN]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64, digest: u8) -> Mark {
        Mark {
            sequence,
            digest: [digest; 32],
        }
    }

    #[test]
    fn a_mark_is_compared_with_the_checkpoint_of_its_number() {
        let mut history = History::new();
        assert_eq!(history.compare(&Mark::NONE), Ok(()));
        for number in 1..=3 {
            history.signed(mark(number, number as u8));
        }
        for number in 1..=3 {
            assert_eq!(history.compare(&mark(number, number as u8)), Ok(()));
            let other = history.compare(&mark(number, 9));
            assert_eq!(other, Err(HeadError::ForeignCheckpoint));
            let last = history.compare(&mark(number | 1 << 63, number as u8));
            assert_eq!(last, Err(HeadError::ForeignCheckpoint));
        }
        let ahead = history.compare(&mark(4, 4));
        assert_eq!(ahead, Err(HeadError::ForeignCheckpoint));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut history = History::new();
        let most = KEPT as u64;
        for number in 1..=most + 1 {
            history.signed(mark(number, number as u8));
        }
        assert_eq!(history.kept.len(), KEPT);
        assert_eq!(history.compare(&mark(1, 9)), Ok(()), "it is not kept");
        assert_eq!(history.compare(&mark(2, 2)), Ok(()));
        let other = history.compare(&mark(2, 9));
        assert_eq!(other, Err(HeadError::ForeignCheckpoint));
    }
}
