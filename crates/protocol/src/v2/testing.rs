//! A bundle for tests, from fixed seeds. The tests from outside take this file as well.

use ed25519_dalek::SigningKey;

use super::{
    context::{Binding, Context, End},
    suite::Suite,
};

pub fn binding(suite: Suite) -> Binding {
    let end = |party, key| End {
        party: [party; 16],
        endpoint: [party + 1; 16],
        key: SigningKey::from_bytes(&[key; 32]).verifying_key(),
    };
    Binding {
        suite,
        tenant: [0x10; 16],
        pair: [0x11; 16],
        bundle: [0x12; 16],
        draw: 1,
        policy: [0x13; 32],
        consumer: end(0x14, 1),
        producer: end(0x16, 2),
    }
}

pub fn context(suite: Suite) -> Context {
    Context::new(binding(suite))
}
