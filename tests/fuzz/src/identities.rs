//! An endpoint that has started, from fixed seeds.

use armour_protocol::v2::identity::{
    start::SignedStart,
    starting::{StartRecord, Started},
};
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub const ENDPOINT: [u8; 16] = [1; 16];

pub struct Endpoint {
    /// What its folder keeps while the start is not answered.
    pub record: Vec<u8>,
    /// The start that was accepted; it follows one without an answer.
    pub start: SignedStart,
    pub started: Started,
    pub rng: ChaCha20Rng,
}

pub fn long_term() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

impl Endpoint {
    pub fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let lost = StartRecord::new(ENDPOINT).begin(long_term(), &mut rng);
        let record = StartRecord::from_bytes(lost.unwrap().bytes()).unwrap();
        let made = record.begin(long_term(), &mut rng).unwrap();
        let record = made.bytes().to_vec();
        let starting = made.kept();
        Self {
            record,
            start: starting.start().clone(),
            started: starting.accepted(),
            rng,
        }
    }
}
