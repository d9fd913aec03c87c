//! What must stay secret has no representation as text and cannot be copied unawares: this
//! file does not compile if any of these types gains one. So no log line, no span and no
//! error can hold a secret.

use std::fmt::{Debug, Display};

use armour_protocol::{
    agreement::ShareSecret,
    bundle::BundleSecret,
    consumer::{IdleLane, WaitingLane},
    producer::{AnsweringLane, ReadyLane},
    schedule::{MessageKey, Root, Step},
    segment::{Opener, Sealer},
};
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(Root: Debug, Display, Clone);
// It leaves the enclave, for one message.
assert_not_impl_any!(MessageKey: Debug, Display);
assert_not_impl_any!(Step: Debug, Display, Clone);
assert_not_impl_any!(BundleSecret: Debug, Display, Clone);
assert_not_impl_any!(ShareSecret: Debug, Display, Clone);
assert_not_impl_any!(IdleLane: Debug, Display, Clone);
assert_not_impl_any!(WaitingLane: Debug, Display, Clone);
assert_not_impl_any!(ReadyLane: Debug, Display, Clone);
assert_not_impl_any!(AnsweringLane: Debug, Display, Clone);
assert_not_impl_any!(Sealer: Debug, Display, Clone);
assert_not_impl_any!(Opener: Debug, Display, Clone);

/// The file has compiled, which is the test.
#[test]
fn secrets_have_no_text() {}
