//! A consumer's state outside its enclave, for the demonstration of a theft.

use armour_protocol::consumer::StolenLane;
use serde::{Deserialize, Serialize};

use super::ipc::Binding;

/// Keys and idle lanes of a bundle.
#[derive(Serialize, Deserialize)]
pub struct Stolen {
    /// What the bundle is bound to.
    pub binding: Binding,
    /// The endpoint's Ed25519 secret.
    pub signing: [u8; 32],
    /// Its X25519 secret.
    pub kem_secret: [u8; 32],
    /// Its X25519 public key.
    pub kem_public: [u8; 32],
    /// The idle lanes.
    pub lanes: Vec<StolenLaneWire>,
}

/// [`StolenLane`], as it is written.
#[derive(Serialize, Deserialize)]
pub struct StolenLaneWire {
    /// Lane number.
    pub lane: u32,
    next: u64,
    previous: [u8; 32],
    consumer_root: [u8; 32],
    producer_root: [u8; 32],
    transcript: [u8; 32],
    peer: Option<Vec<u8>>,
}

impl From<StolenLane> for StolenLaneWire {
    fn from(lane: StolenLane) -> Self {
        let StolenLane {
            lane,
            next,
            previous,
            consumer_root,
            producer_root,
            transcript,
            peer,
        } = lane;
        Self {
            lane,
            next,
            previous,
            consumer_root,
            producer_root,
            transcript,
            peer,
        }
    }
}

impl From<StolenLaneWire> for StolenLane {
    fn from(lane: StolenLaneWire) -> Self {
        let StolenLaneWire {
            lane,
            next,
            previous,
            consumer_root,
            producer_root,
            transcript,
            peer,
        } = lane;
        Self {
            lane,
            next,
            previous,
            consumer_root,
            producer_root,
            transcript,
            peer,
        }
    }
}
