//! A consumer's state outside its enclave, for the demonstration of a theft.

use armour_protocol::consumer::StolenLane;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::binding::Binding;

/// Keys and idle lanes of a bundle.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Stolen {
    /// What the bundle is bound to.
    #[zeroize(skip)]
    pub binding: Binding,
    /// The endpoint's Ed25519 secret.
    pub signing: [u8; 32],
    /// Its X25519 secret.
    pub kem_secret: [u8; 32],
    /// Its X25519 public key.
    pub kem_public: [u8; 32],
    /// The idle lanes.
    pub lanes: Vec<StolenLane>,
}
