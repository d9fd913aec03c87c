//! Wiped buffers that wait for their next content. A stream fills one after the other: were
//! each given back, the system would clear its pages anew for the next, which takes longer
//! than to decrypt what goes into them.

use std::sync::{Mutex, TryLockError};

/// Bytes from which on it pays to keep a buffer.
const LEAST: usize = 64 * 1024;
/// Most bytes of a buffer that is kept: more than a receiver holds unverified.
const MOST: usize = 2 * 1024 * 1024;
/// How many are kept at most, for all streams of the process.
const COUNT: usize = 8;

static SPARE: Spare = Spare(Mutex::new(Vec::new()));

struct Spare(Mutex<Vec<Vec<u8>>>);

/// An empty buffer with room for at least so many bytes.
pub(super) fn take(room: usize) -> Vec<u8> {
    SPARE.take(room).unwrap_or_else(|| Vec::with_capacity(room))
}

/// Keeps a buffer, all of whose room has been wiped.
pub(super) fn keep(wiped: Vec<u8>) {
    SPARE.keep(wiped);
}

impl Spare {
    fn take(&self, room: usize) -> Option<Vec<u8>> {
        if room < LEAST {
            return None;
        }
        self.with(|spare| {
            // All of it will be wiped again: not much more than is asked for.
            let fits = |kept: &Vec<u8>| (room..=room * 2).contains(&kept.capacity());
            spare.iter().position(fits).map(|at| spare.swap_remove(at))
        })
        .flatten()
    }

    fn keep(&self, mut wiped: Vec<u8>) {
        if (LEAST..=MOST).contains(&wiped.capacity()) {
            wiped.clear();
            self.with(|spare| {
                if spare.len() < COUNT {
                    spare.push(wiped);
                }
            });
        }
    }

    /// Nobody waits: who cannot have the buffers at once does without.
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> Option<T> {
        match self.0.try_lock() {
            Ok(mut spare) => Some(work(&mut spare)),
            Err(TryLockError::Poisoned(spare)) => Some(work(&mut spare.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(spare: &Spare) -> usize {
        spare.0.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let spare = Spare(Mutex::default());
        assert!(spare.take(LEAST).is_none());
        let buffer = Vec::with_capacity(4 * LEAST);
        let place = buffer.as_ptr();
        spare.keep(buffer);
        assert!(spare.take(LEAST).is_none());
        assert!(spare.take(5 * LEAST).is_none());
        let again = spare.take(3 * LEAST).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(kept(&spare), 0);
    }

    #[test]
    fn few_buffers_are_kept_and_none_that_are_small_or_huge() {
        let spare = Spare(Mutex::default());
        spare.keep(Vec::with_capacity(LEAST - 1));
        spare.keep(Vec::with_capacity(MOST + 1));
        assert_eq!(kept(&spare), 0);
        for _ in 0..=COUNT {
            spare.keep(Vec::with_capacity(LEAST));
        }
        assert_eq!(kept(&spare), COUNT);
    }
}
