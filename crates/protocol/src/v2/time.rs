//! Deadlines by the producer's own clock, which its receipts carry. So no network and no
//! control plane can make a call begin late. Nothing here reads a clock.

/// Milliseconds of the producer's enclave since its start, suspended time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerTime(pub u64);

/// Milliseconds of the consumer's own clock, suspended time included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(pub u64);

/// The producer's clock as its last receipt gave it, and when that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerClock {
    pub(crate) read: ProducerTime,
    pub(crate) arrived: LocalTime,
}

impl ProducerClock {
    /// The last moment at which the producer may begin a call that has `budget`
    /// milliseconds from `now` on: what its clock shows at least when they are over.
    pub(crate) fn begin_by(&self, now: LocalTime, budget: u32) -> ProducerTime {
        self.earliest(LocalTime(now.0.saturating_add(u64::from(budget))))
    }

    /// Whether the producer's clock is past `moment` for sure.
    pub(crate) fn is_past(&self, now: LocalTime, moment: ProducerTime) -> bool {
        self.earliest(now) > moment
    }

    /// What the producer's clock shows at least. It was read before it arrived, and runs
    /// slower than ours by at most a thousandth: kernels slew by 500 ppm.
    fn earliest(&self, now: LocalTime) -> ProducerTime {
        let elapsed = now.0.saturating_sub(self.arrived.0);
        let certain = elapsed - elapsed.div_ceil(DRIFT);
        ProducerTime(self.read.0.saturating_add(certain))
    }
}

/// Two clocks drift apart by at most one part of this many.
const DRIFT: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: ProducerClock = ProducerClock {
        read: ProducerTime(70_000),
        arrived: LocalTime(500),
    };

    #[test]
    fn a_deadline_never_exceeds_the_budget() {
        assert_eq!(CLOCK.begin_by(LocalTime(500), 2_000), ProducerTime(71_998));
        // After 30 s, with a clock of ours that is a thousandth fast until the end.
        let true_elapsed = 32_000 * 999 / 1_000;
        let deadline = CLOCK.begin_by(LocalTime(30_500), 2_000);
        assert!(deadline.0 <= 70_000 + true_elapsed);
        assert!(deadline.0 >= 70_000 + true_elapsed - 1);
    }

    #[test]
    fn past_is_only_what_is_past_for_sure() {
        let deadline = CLOCK.begin_by(LocalTime(10_500), 2_000);
        assert!(!CLOCK.is_past(LocalTime(12_500), deadline));
        assert!(CLOCK.is_past(LocalTime(12_502), deadline));
        // A clock that steps back says nothing.
        assert!(!CLOCK.is_past(LocalTime(0), CLOCK.read));
    }

    #[test]
    fn clocks_at_their_end_do_not_wrap() {
        let late = ProducerClock {
            read: ProducerTime(u64::MAX - 1),
            arrived: LocalTime(0),
        };
        assert_eq!(late.begin_by(LocalTime(9), 9), ProducerTime(u64::MAX));
        let begin_by = CLOCK.begin_by(LocalTime(u64::MAX), u32::MAX);
        assert!(begin_by > CLOCK.read);
    }
}
