//! A bundle that is not served any more. Its use is evidence, which the ledger judges; and
//! what the ledger holds in the producer's name is compared once more before the marks of its
//! lanes are erased.

use std::{collections::BTreeSet, sync::Arc};

use armour_protocol::v2::{
    body::Direction,
    context::Context,
    gate::Gate,
    message::{Evidence, SignedTicket},
    rekey::{SignedSubTicket, SubEvidence},
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// A bundle that is not served any more.
pub struct Gone {
    context: Arc<Context>,
    gate: Arc<Gate>,
    /// Lanes whose use was reported.
    reported: Mutex<BTreeSet<u16>>,
    sub_reported: Mutex<BTreeSet<u16>>,
    comparison: Mutex<Comparison>,
}

/// How far the last comparison with the ledger's heads is. A copy of this producer may have
/// answered in its place until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// It is that of a heartbeat which is sent from this moment on.
    Due(Instant),
    /// A heartbeat has asked for it.
    Asked,
    /// It was made; the enclave knows nothing of the bundle any more.
    Made,
}

impl Gone {
    /// A bundle that has ended just now. Its last comparison is made from a moment on.
    pub fn new(context: Arc<Context>, gate: Arc<Gate>, compared_from: Instant) -> Self {
        Self {
            context,
            gate,
            reported: Mutex::default(),
            sub_reported: Mutex::default(),
            comparison: Mutex::new(Comparison::Due(compared_from)),
        }
    }

    /// What a frame proves of the use of this bundle, if it is its consumer's and news.
    pub fn evidence(&self, frame: &[u8]) -> Option<(Arc<Context>, Evidence)> {
        let head = self.gate.check(Direction::Request, frame).ok()?;
        let ticket = SignedTicket::from_bytes(head).ok()?.evidence();
        let lane = ticket.body.header.lane;
        if self.reported.lock().contains(&lane) || ticket.verify(&self.context).is_err() {
            return None;
        }
        let news = self.reported.lock().insert(lane);
        news.then(|| (self.context.clone(), ticket))
    }

    /// The same of the frame of a sub-ticket.
    pub fn sub_evidence(&self, frame: &[u8]) -> Option<(Arc<Context>, SubEvidence)> {
        let head = self.gate.check(Direction::Request, frame).ok()?;
        let ticket = SignedSubTicket::from_bytes(head).ok()?.evidence();
        let lane = ticket.body.lane;
        if self.sub_reported.lock().contains(&lane) || ticket.verify(&self.context).is_err() {
            return None;
        }
        let news = self.sub_reported.lock().insert(lane);
        news.then(|| (self.context.clone(), ticket))
    }

    /// Whether the enclave still knows how far its lanes came.
    pub fn is_kept(&self) -> bool {
        *self.comparison.lock() != Comparison::Made
    }

    /// A heartbeat that names it is about to be sent.
    pub fn named(&self) {
        let mut comparison = self.comparison.lock();
        if matches!(*comparison, Comparison::Due(from) if from <= Instant::now()) {
            *comparison = Comparison::Asked;
        }
    }

    /// Nothing but its own was found by a heartbeat's answer. Whether that was the last
    /// comparison: then its marks are to be erased.
    pub fn compared(&self) -> bool {
        let mut comparison = self.comparison.lock();
        let last = *comparison == Comparison::Asked;
        if last {
            *comparison = Comparison::Made;
        }
        last
    }

    /// The next heartbeat's comparison is the last. Whether another would have been.
    pub fn compare_next(&self) -> bool {
        let (mut comparison, now) = (self.comparison.lock(), Instant::now());
        let later = matches!(*comparison, Comparison::Due(from) if from > now);
        if later {
            *comparison = Comparison::Due(now);
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;

    const LEASE: Duration = Duration::from_secs(15);

    fn ended() -> Gone {
        let context = testing::Lane::open().context;
        let gate = Arc::new(Gate::from_bytes([1; 32]));
        Gone::new(context, gate, Instant::now() + LEASE)
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_to_a_heartbeat_that_was_sent_late_enough_is_the_last_comparison() {
        let gone = ended();
        // One was under way at the end, and another is sent at once.
        assert!(!gone.compared());
        gone.named();
        assert!(!gone.compared() && gone.is_kept());
        tokio::time::advance(LEASE).await;
        // The answer is one to what was asked before.
        assert!(!gone.compared() && gone.is_kept());
        gone.named();
        assert!(gone.is_kept());
        // There was none to that; the next names it again.
        gone.named();
        assert!(gone.compared());
        assert!(!gone.is_kept());
        gone.named();
        assert!(!gone.compared() && !gone.is_kept());
    }

    #[tokio::test(start_paused = true)]
    async fn a_disconnected_bundle_is_compared_by_the_next_heartbeat() {
        let gone = ended();
        assert!(gone.compare_next());
        assert!(!gone.compare_next(), "it is so already");
        assert!(!gone.compared());
        gone.named();
        assert!(!gone.compare_next());
        assert!(gone.compared());
        assert!(!gone.compare_next());
    }
}
