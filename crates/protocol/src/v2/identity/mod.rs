//! Who is who: the keys of parties, the starts of an endpoint, and the one chain of links
//! from each start to the control plane.
//!
//! At an endpoint, in this order:
//!
//! 1. [`StartRecord::begin`](starting::StartRecord::begin) makes an incarnation key and
//!    signs it with the long-term key, which is gone afterwards. What comes back has to be
//!    [kept](keep::Keep) before it can be sent.
//! 2. [`Starting`](starting::Starting) is sent word for word until it is accepted. Then
//!    there are an [`Incarnation`](incarnation::Incarnation), which signs, and its
//!    [`Chain`](chain::Chain), which has one link in flight at most.
//! 3. [`Incarnation::present`](incarnation::Incarnation::present) answers for it when another
//!    start turns up.
//!
//! An enclave asks its [`KnownPeer`](peer::KnownPeer) before it installs a bundle. The control
//! plane's decisions are functions over what it recorded: [`judge`].
//!
//! A start is not sent before it is kept:
//! ```compile_fail
//! # use armour_protocol::v2::identity::{keep::Keep, start::SignedStart, starting::Starting};
//! fn send(made: Keep<Starting>) -> SignedStart {
//!     made.start().clone()
//! }
//! ```
//! Nor is there a second link beside the one in flight:
//! ```compile_fail
//! # use armour_protocol::v2::identity::{body::LinkBody, chain::InFlight, incarnation::Incarnation};
//! fn second(first: InFlight, by: &Incarnation) {
//!     first.link(LinkBody::Heartbeat(Vec::new()), by);
//! }
//! ```

pub mod body;
pub mod certificate;
pub mod chain;
mod error;
pub mod incarnation;
pub mod judge;
pub mod keep;
pub mod link;
pub mod mark;
pub mod peer;
mod read;
pub mod start;
pub mod starting;
#[cfg(feature = "state-export")]
mod stolen;
#[cfg(test)]
mod testing;

pub use error::IdentityError;
pub use read::public_key;
