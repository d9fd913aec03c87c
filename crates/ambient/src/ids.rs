//! Ids that sort by when they were made.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use uuid::{Builder, Uuid};

use crate::random::Random;

/// Random bits of an id: 12 and 62.
const BITS: u32 = 74;

/// The last id, which the next one follows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids(Arc<Mutex<Last>>);

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// Since the epoch.
    ms: u64,
    random: u128,
}

impl Ids {
    /// The next id. Within one millisecond, or if the clock has gone back, it counts on
    /// from the last by a random step ("monotonic random", RFC 9562, section 6.2).
    pub(crate) fn next(&self, now: DateTime<Utc>, random: &Random) -> Uuid {
        let now = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let mut last = self.0.lock();
        *last = last.follow(now, random);
        last.id()
    }
}

impl Last {
    fn follow(self, now: u64, random: &Random) -> Self {
        if now <= self.ms {
            let step = u128::from(u32::from_be_bytes(random.bytes())) + 1;
            let next = self.random + step;
            if next >> BITS == 0 {
                return Self {
                    random: next,
                    ..self
                };
            }
        }
        Self {
            ms: now.max(self.ms + 1),
            // The highest bit stays free, so that there is room to count on.
            random: u128::from_be_bytes(random.bytes()) >> (u128::BITS - BITS + 1),
        }
    }

    fn id(self) -> Uuid {
        let high = (self.random >> 62) as u16;
        let low = (self.random as u64) & (u64::MAX >> 2);
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high.to_be_bytes());
        bytes[2..].copy_from_slice(&low.to_be_bytes());
        Builder::from_unix_timestamp_millis(self.ms, &bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::milliseconds(ms)
    }

    #[test]
    fn each_id_sorts_after_the_last_though_the_clock_stands_or_goes_back() {
        let (ids, random) = (Ids::default(), Random::seeded(1));
        let mut last = Uuid::nil();
        for ms in [5, 5, 5, 4, 1, 6, 6, 7, 100, 99] {
            for _ in 0..1_000 {
                let next = ids.next(at(ms), &random);
                assert!(next > last, "{next} after {last}");
                assert_eq!(next.get_version_num(), 7);
                assert_eq!(next.get_variant(), uuid::Variant::RFC4122);
                last = next;
            }
        }
    }

    #[test]
    fn an_id_holds_its_time() {
        let id = Ids::default().next(at(1_700_000_000_123), &Random::system());
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_000, 123_000_000));
    }

    #[test]
    fn where_a_millisecond_has_no_more_ids_the_next_gives_them() {
        let full = Last {
            ms: 9,
            random: (1 << BITS) - 1,
        };
        let next = full.follow(9, &Random::seeded(3));
        assert_eq!(next.ms, 10);
        assert!(next.id() > full.id());
    }
}
