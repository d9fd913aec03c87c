//! Bundles by small numbers: their contexts, secrets and keys.

use std::sync::Arc;

use armour_protocol::v2::{
    context::{Binding, Context, End},
    schedule::BundleSecret,
    suite::Suite,
};
use ed25519_dalek::SigningKey;

/// A bundle, and which start of either endpoint it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bundle {
    /// In the order in which bundles are minted.
    pub number: u8,
    /// The start of the consumer that asked for it.
    pub consumer: u8,
    /// The start of the producer that serves it.
    pub producer: u8,
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// The legitimate end.
    Owner,
    /// The legitimate end, from an earlier state of its machine.
    Resumed,
    /// Somebody who copied the end's enclave with its incarnation key.
    Copy,
    /// Somebody who copied secrets and roots, and no incarnation key.
    Stranger,
}

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signs {
    Tickets,
    Receipts,
}

impl Bundle {
    pub(crate) fn context(self) -> Arc<Context> {
        let end = |party, signs| End {
            party: [party; 16],
            endpoint: [party + 1; 16],
            key: self.key(signs).verifying_key(),
        };
        Arc::new(Context::new(Binding {
            suite: Suite::X25519ChaCha20Poly1305,
            tenant: [0x10; 16],
            pair: [0x11; 16],
            bundle: [self.number; 16],
            draw: u64::from(self.number) + 1,
            policy: [0x13; 32],
            consumer: end(0x14, Signs::Tickets),
            producer: end(0x16, Signs::Receipts),
        }))
    }

    pub(crate) fn secret(self) -> BundleSecret {
        let mut secret = [0x5a; 32];
        secret[..3].copy_from_slice(&[self.number, self.consumer, self.producer]);
        BundleSecret::from_bytes(secret)
    }

    /// The incarnation key of the end that signs this.
    pub(crate) fn key(self, signs: Signs) -> SigningKey {
        let (end, start) = match signs {
            Signs::Tickets => (1, self.consumer),
            Signs::Receipts => (2, self.producer),
        };
        let mut seed = [end; 32];
        seed[0] = start;
        SigningKey::from_bytes(&seed)
    }
}
