//! What the enclave holds: roots, key shares and the signatures' decisions. The two ends
//! of a lane are separate state machines, whose states are types: a lane that is not open
//! has no way to seal, and one that owes an answer gives exactly one.
//!
//! A lane that is not open does not seal:
//! ```compile_fail
//! # use armour_protocol::v2::{content::ContentClaim, enclave::consumer::Fresh, time::LocalTime};
//! fn seal(lane: Fresh, claim: ContentClaim, rng: &mut impl rand_core::CryptoRng) {
//!     lane.begin(claim, LocalTime(0), 0, rng);
//! }
//! ```
//! A call that was refused does not begin:
//! ```compile_fail
//! # use armour_protocol::v2::{content::ContentClaim, mode::Reason, proxy::Undecided};
//! fn begin(call: Undecided, claim: ContentClaim) {
//!     call.refuse(Reason::BUSY).answer(claim);
//! }
//! ```
//! Nor is it refused once it has begun:
//! ```compile_fail
//! # use armour_protocol::v2::{mode::Reason, proxy::Begun};
//! fn refuse(call: Begun) {
//!     call.refuse(Reason::BUSY);
//! }
//! ```
//! A request has no bytes before its call has begun:
//! ```compile_fail
//! # use armour_protocol::v2::proxy::{Arrived, Undecided};
//! fn bytes(call: Undecided) -> Vec<u8> {
//!     let Arrived::Whole(content) = call.request else { return Vec::new() };
//!     content.content().to_vec()
//! }
//! ```
//! And content that is not verified has none at all:
//! ```compile_fail
//! # use armour_protocol::v2::{message::Response, proxy::Unverified};
//! fn bytes(content: Unverified<Response>) -> Vec<u8> {
//!     content.as_ref().to_vec()
//! }
//! ```

pub mod consumer;
mod core;
mod history;
mod line;
pub mod producer;
mod streams;

pub use core::{LaneMark, LaneMarks};
pub use streams::{After, Lined, Streaming};
