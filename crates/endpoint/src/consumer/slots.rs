//! How many bundles a pair is served by: each has a slot, which draws it and renews it. The first
//! one serves at once; how many more there should be is the control plane's word.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Most bundles of one pair.
const MAX_SLOTS: u32 = 32;
/// Where the control plane grants no more though it wants more, it is asked again once it has
/// assigned anew. If nothing is heard of that, after this time.
pub const ENOUGH_FOR: Duration = Duration::from_secs(600);

/// How many slots there are, and should be.
pub struct Slots {
    counts: Mutex<Counts>,
    /// Notified when they should change.
    pub due: Notify,
    /// Notified when the control plane has assigned anew.
    pub assigned: Notify,
}

struct Counts {
    wanted: u32,
    running: u32,
    /// No more than so many are granted, as it was told then.
    enough: Option<(u32, Instant)>,
}

impl Counts {
    fn target(&self) -> u32 {
        let enough = self.enough.filter(|(_, told)| told.elapsed() < ENOUGH_FOR);
        let most = enough.map_or(MAX_SLOTS, |(most, _)| most);
        self.wanted.min(most).max(1)
    }
}

impl Slots {
    /// None runs yet, and one is wanted.
    pub fn new() -> Self {
        Self {
            counts: Mutex::new(Counts {
                wanted: 1,
                running: 0,
                enough: None,
            }),
            due: Notify::new(),
            assigned: Notify::new(),
        }
    }

    /// So many bundles are wanted, by the answer to a draw.
    pub fn want(&self, wanted: u32) {
        self.counts.lock().wanted = wanted;
        self.due.notify_one();
    }

    /// So many are wanted, by the assignments. If those are news, more may be granted now.
    pub fn assigned(&self, wanted: u32, are_news: bool) {
        {
            let mut counts = self.counts.lock();
            counts.wanted = wanted;
            if are_news {
                counts.enough = None;
            }
        }
        self.due.notify_one();
        if are_news {
            self.assigned.notify_waiters();
        }
    }

    /// A slot asks whether it is one too many: then it is counted no longer.
    pub fn may_end(&self) -> bool {
        let mut counts = self.counts.lock();
        let may = counts.running > counts.target();
        counts.running -= u32::from(may);
        may
    }

    /// A slot that has no bundle is granted none, since there are enough: it ends, unless it is
    /// the only one.
    pub fn has_enough(&self) -> bool {
        let mut counts = self.counts.lock();
        let others = counts.running.saturating_sub(1);
        if others == 0 {
            return false;
        }
        counts.running = others;
        counts.enough = Some((others, Instant::now()));
        true
    }

    /// A slot has failed.
    pub fn is_lost(&self) {
        let mut counts = self.counts.lock();
        counts.running = counts.running.saturating_sub(1);
    }

    /// How many are to be begun now, which are then counted.
    pub fn begin(&self) -> u32 {
        let mut counts = self.counts.lock();
        let missing = counts.target().saturating_sub(counts.running);
        counts.running += missing;
        missing
    }

    /// How many there are too many.
    pub fn surplus(&self) -> usize {
        let counts = self.counts.lock();
        counts.running.saturating_sub(counts.target()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_are_as_many_slots_as_are_wanted_and_granted() {
        let slots = Slots::new();
        assert_eq!(slots.begin(), 1);
        slots.want(3);
        assert_eq!((slots.begin(), slots.begin()), (2, 0));
        // The third is not granted.
        assert!(slots.has_enough());
        assert_eq!(slots.begin(), 0);
        tokio::time::advance(ENOUGH_FOR).await;
        assert_eq!(slots.begin(), 1);
        assert!(slots.has_enough());
        slots.assigned(3, true);
        assert_eq!(slots.begin(), 1, "it was looked up again");
    }

    /// Else every look at the assignments would cost a draw that is refused.
    #[tokio::test(start_paused = true)]
    async fn who_was_told_that_it_has_enough_asks_again_once_something_has_changed() {
        let slots = Slots::new();
        slots.want(2);
        assert_eq!(slots.begin(), 2);
        assert!(slots.has_enough());
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(30)).await;
            slots.assigned(2, false);
            slots.want(3);
            assert_eq!(slots.begin(), 0, "it is wanted, and not granted");
        }
        slots.assigned(2, true);
        assert_eq!(slots.begin(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_end_as_are_too_many_and_never_the_last() {
        let slots = Slots::new();
        slots.want(4);
        assert_eq!(slots.begin(), 4);
        assert!(!slots.may_end());
        slots.assigned(2, true);
        assert_eq!(slots.surplus(), 2);
        assert!(slots.may_end() && slots.may_end() && !slots.may_end());
        slots.want(0);
        assert!(slots.may_end());
        assert!(!slots.may_end() && !slots.has_enough());
        slots.want(1_000_000);
        assert_eq!(slots.begin(), MAX_SLOTS - 1);
    }
}
