//! The log's lines of calls that this agent refused: one of each kind a second at most, so that
//! an outage does not fill a disk.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::wire::{problem::Refusal, problem_type::ProblemType};

const INTERVAL: Duration = Duration::from_secs(1);

/// When each kind was told of last.
#[derive(Default)]
pub struct RefusalLog(Mutex<HashMap<ProblemType, Told>>);

struct Told {
    at: Instant,
    /// How many came since.
    more: u64,
}

impl RefusalLog {
    /// A call was refused.
    pub fn log(&self, refusal: &Refusal) {
        if let Some(more) = self.due(refusal.problem) {
            let kind = refusal.problem.name();
            let ran = refusal.ran.map_or("-", |ran| ran.name());
            tracing::warn!(kind, ran, more, "a call is refused: {}", refusal.detail);
        }
    }

    /// How many others came since the last line; none if it is too early for another.
    fn due(&self, kind: ProblemType) -> Option<u64> {
        let now = Instant::now();
        let mut told = self.0.lock();
        match told.get_mut(&kind) {
            Some(told) if now - told.at < INTERVAL => {
                told.more += 1;
                None
            }
            before => {
                let more = before.map_or(0, |told| told.more);
                told.insert(kind, Told { at: now, more: 0 });
                Some(more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_has_a_line_a_second_at_most_that_counts_the_others() {
        let log = RefusalLog::default();
        assert_eq!(log.due(ProblemType::LanesBusy), Some(0));
        assert_eq!(log.due(ProblemType::LanesBusy), None);
        assert_eq!(log.due(ProblemType::LanesBusy), None);
        assert_eq!(log.due(ProblemType::NoBundle), Some(0));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(log.due(ProblemType::LanesBusy), Some(2));
    }
}
