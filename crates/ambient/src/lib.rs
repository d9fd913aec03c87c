//! What a program takes from its surroundings: the time, random bytes and ids.
//!
//! This crate alone asks the operating system for them; `clippy.toml` forbids it to the
//! others. They are handed an [`Ambient`], so that a test moves the clock in place of
//! waiting, and can have a run repeat itself. Monotonic time is not here: it is
//! `tokio::time::Instant`, which a test pauses; [`BootClock`] is for what has to count the
//! time that the machine sleeps.

#![forbid(unsafe_code)]

mod boot_clock;
mod clock;
mod ids;
mod random;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::ids::Ids;
pub use self::{
    boot_clock::BootClock,
    clock::Clock,
    random::{Generator, Random},
};

/// The time, random bytes and ids; clones share all three.
#[derive(Debug, Clone, Default)]
pub struct Ambient {
    /// The time.
    pub clock: Clock,
    /// Random bytes.
    pub random: Random,
    ids: Ids,
}

impl Ambient {
    /// Those of this machine.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at a time until it is moved, and random bytes that are the
    /// same for the same seed. For tests only.
    pub fn fixed(at: DateTime<Utc>, seed: u64) -> Self {
        Self {
            clock: Clock::fixed(at),
            random: Random::seeded(seed),
            ids: Ids::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// An id that sorts after those made before it (UUID version 7, RFC 9562, section
    /// 5.7).
    pub fn id(&self) -> Uuid {
        self.ids.next(self.now(), &self.random)
    }

    /// An id that says nothing, its time included (UUID version 4, RFC 9562, section
    /// 5.4).
    pub fn opaque_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_repeats_itself_with_the_same_seed() {
        let run = |seed| {
            let ambient = Ambient::fixed(DateTime::UNIX_EPOCH, seed);
            (ambient.id(), ambient.opaque_id(), ambient.id())
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn ids_say_their_version() {
        let ambient = Ambient::system();
        assert_eq!(ambient.id().get_version_num(), 7);
        assert_eq!(ambient.opaque_id().get_version_num(), 4);
        assert_ne!(ambient.opaque_id(), ambient.opaque_id());
    }
}
