//! Version 2: what must stay secret has no text and no copies, and content that is not
//! verified has no bytes: this file does not compile if any of these types gains one.

use std::{
    borrow::Borrow,
    fmt::{Debug, Display},
    ops::Deref,
};

use armour_protocol::v2::{
    enclave::{consumer, producer},
    gate::Gate,
    identity::{
        chain::{Chain, InFlight},
        incarnation::Incarnation,
        keep::Keep,
        starting::{StartRecord, Started, Starting},
    },
    message::{Receipt, Request, Response, Ticket},
    proof::Unsigned,
    proxy::{
        Begun, Conclusion, DueCheckpoint, Epoch, Incoming, Outgoing, Pending, Refused,
        StreamReader, StreamWriter, Switching, Undecided, Unverified, Verified,
    },
    rekey::{SubReceipt, SubTicket},
    schedule::{BundleSecret, MessageKey},
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use zeroize::ZeroizeOnDrop;

macro_rules! secret {
    ($($secret:ty),* $(,)?) => {$(
        assert_not_impl_any!($secret: Debug, Display, Clone);
    )*};
}
secret!(
    BundleSecret,
    MessageKey,
    Gate,
    consumer::Lanes,
    consumer::Fresh,
    consumer::Opening,
    consumer::Idle,
    consumer::Waiting,
    consumer::Refreshing,
    consumer::Closing,
    producer::Lanes,
    producer::Opened,
    producer::Ready,
    producer::Bare,
    producer::Answering,
    Outgoing<Request>,
    Incoming<Response>,
    StreamWriter<Request>,
    DueCheckpoint<Request>,
    StreamReader<Response>,
    Epoch<Request>,
    Verified,
    Starting,
    Started,
    Incarnation,
    InFlight,
    Keep<Starting>,
    // Each is decided or used once.
    Chain,
    Pending,
    Undecided,
    Begun,
    Refused,
    Conclusion,
);

macro_rules! unreadable {
    ($($hidden:ty),* $(,)?) => {$(
        assert_not_impl_any!(
            $hidden: AsRef<[u8]>, Borrow<[u8]>, Deref, Into<Vec<u8>>, IntoIterator, Iterator,
            std::io::Read, Debug, Clone
        );
    )*};
}
unreadable!(
    Unverified<Request>,
    Unverified<Response>,
    StreamReader<Request>,
    StreamReader<Response>,
    Switching<Response>,
    Pending,
    Undecided,
);

// One record makes one start.
assert_not_impl_any!(StartRecord: Clone);

// What is not signed is not sent.
assert_not_impl_any!(Unsigned<Ticket>: AsRef<[u8]>, Debug, Clone);
assert_not_impl_any!(Unsigned<Receipt>: AsRef<[u8]>, Debug, Clone);
assert_not_impl_any!(Unsigned<SubTicket>: AsRef<[u8]>, Debug, Clone);
assert_not_impl_any!(Unsigned<SubReceipt>: AsRef<[u8]>, Debug, Clone);

assert_impl_all!(BundleSecret: ZeroizeOnDrop);
assert_impl_all!(MessageKey: ZeroizeOnDrop);
assert_impl_all!(Gate: ZeroizeOnDrop);
assert_impl_all!(Outgoing<Request>: ZeroizeOnDrop);
assert_impl_all!(Incoming<Request>: ZeroizeOnDrop);
assert_impl_all!(Epoch<Request>: ZeroizeOnDrop);
assert_impl_all!(Unverified<Request>: ZeroizeOnDrop);
assert_impl_all!(Verified: ZeroizeOnDrop);

/// The file has compiled, which is the test.
#[test]
fn secrets_have_no_text() {}
