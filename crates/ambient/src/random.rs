//! Random bytes.

use std::{convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use rand::{
    Rng, SeedableRng, TryCryptoRng, TryRng,
    rngs::{StdRng, ThreadRng},
};

/// Random bytes that nobody can foretell; clones share one source.
#[derive(Debug, Clone, Default)]
pub struct Random(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// This machine's: a cryptographically secure generator for each thread, seeded by
    /// the kernel.
    pub fn system() -> Self {
        Self::default()
    }

    /// The same bytes for the same seed. For tests only.
    pub fn seeded(seed: u64) -> Self {
        let generator = StdRng::seed_from_u64(seed);
        Self(Source::Seeded(Arc::new(Mutex::new(generator))))
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        self.generator().fill_bytes(buffer);
    }

    /// Some bytes that are no secret; a secret is filled into a buffer that is wiped.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A generator, for what takes one. It stays on this thread.
    #[expect(clippy::disallowed_methods, reason = "everybody else asks here")]
    pub fn generator(&self) -> Generator {
        Generator(match &self.0 {
            Source::System => Drawn::System(rand::rng()),
            Source::Seeded(generator) => Drawn::Seeded(generator.clone()),
        })
    }
}

/// A generator of random numbers ([`rand::CryptoRng`]).
#[derive(Debug)]
pub struct Generator(Drawn);

#[derive(Debug)]
enum Drawn {
    System(ThreadRng),
    Seeded(Arc<Mutex<StdRng>>),
}

impl TryRng for Generator {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        match &mut self.0 {
            Drawn::System(generator) => generator.try_next_u32(),
            Drawn::Seeded(generator) => generator.lock().try_next_u32(),
        }
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match &mut self.0 {
            Drawn::System(generator) => generator.try_next_u64(),
            Drawn::Seeded(generator) => generator.lock().try_next_u64(),
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        match &mut self.0 {
            Drawn::System(generator) => generator.try_fill_bytes(buffer),
            Drawn::Seeded(generator) => generator.lock().try_fill_bytes(buffer),
        }
    }
}

impl TryCryptoRng for Generator {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_bytes_do_not_repeat() {
        let random = Random::system();
        assert_ne!(random.bytes::<32>(), random.bytes::<32>());
    }

    #[test]
    fn clones_of_a_seeded_source_go_on_where_the_other_was() {
        let (random, alone) = (Random::seeded(7), Random::seeded(7));
        let (first, second) = (random.bytes::<8>(), random.clone().bytes::<8>());
        assert_eq!([first, second], [alone.bytes(), alone.bytes()]);
        assert_ne!(first, second);
    }
}
