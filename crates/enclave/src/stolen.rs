//! A bundle's state outside its enclave, for the demonstration of a theft.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::Binding;

/// An endpoint's incarnation and the lanes of one of its bundles.
#[derive(Serialize, Deserialize)]
pub struct Stolen {
    /// What the bundle is bound to.
    pub binding: Binding,
    /// Whether it was taken from the consumer.
    pub consumer: bool,
    /// The incarnation, with its keys.
    pub incarnation: Zeroizing<Vec<u8>>,
    /// The last link that was answered: number and hash.
    pub last_link: (u64, [u8; 32]),
    /// Of the consumer those that are idle, of the producer those that await a ticket; of both
    /// those whose streams go on after their exchange's receipt.
    pub lanes: Vec<StolenLane>,
}

/// A lane's state.
#[derive(Serialize, Deserialize)]
pub struct StolenLane {
    /// Its number.
    pub lane: u16,
    /// Its last exchange.
    pub n: u64,
    /// All of it: number (2), consumer's root (32), producer's root (32), transcript (32),
    /// and what is known of the peer.
    pub state: Zeroizing<Vec<u8>>,
    /// What is kept of its streams, if any go on.
    pub streams: Option<Zeroizing<Vec<u8>>>,
}
