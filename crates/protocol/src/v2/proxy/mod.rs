//! What the proxy holds: one-time keys, content, and the decision whether a call begins.
//! No root comes here.
//!
//! Content that has not been verified has types whose bytes nobody can reach:
//! [`Unverified`], and what a [`StreamReader`] holds. Only verifying by value yields
//! [`Verified`]. A request that is [`Pending`] or [`Undecided`] cannot be read either: it
//! comes out of the one decision to begin it.

mod buffer;
mod decision;
mod epoch;
mod incoming;
mod keyring;
pub(crate) mod keys;
mod limits;
mod outgoing;
mod reader;
mod screen;
mod segment;
mod spare;

pub use buffer::Verified;
pub use decision::{Begun, Conclusion, Pending, Refused, Undecided};
pub use epoch::{Epoch, Epochs};
pub use incoming::{Arrived, FirstSwitch, Unverified};
pub use keyring::Keyring;
pub use keys::{Incoming, Outgoing};
pub use limits::{MAX_PIECE, MAX_UNVERIFIED, MAX_WHOLE};
pub use outgoing::{DueCheckpoint, FirstContent, StreamWriter, WholeContent};
pub use reader::{Read, StreamReader, Switching};
pub use screen::{Look, Screen};
pub use segment::{MAX_SEGMENT, SEGMENT_HEADER_LEN, SegmentHeader, SegmentKind};

pub(crate) use decision::Concluded;
