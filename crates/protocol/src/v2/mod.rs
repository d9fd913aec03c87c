//! Version 2 of the protocol.
//!
//! `docs/protocol.md` is its precise form. Nothing here does I/O, reads a clock or draws
//! randomness of its own.
//!
//! * [`context`], [`schedule`], [`suite`]: what a bundle is bound to, and its keys;
//! * [`body`], [`message`], [`transient`], [`proof`]: tickets, receipts, refusals, and the
//!   signatures over them;
//! * [`gate`]: what keeps strangers out before anything else is done;
//! * [`content`], [`checkpoint`]: what is signed of content;
//! * [`rekey`]: sub-tickets and sub-receipts, by which streams re-key;
//! * [`enclave`]: the state machines that hold roots;
//! * [`proxy`]: what holds one-time keys and content;
//! * [`identity`]: parties' keys, starts of an endpoint, and links to the control plane;
//! * [`ledger`]: whether two runs of a lane's tickets and receipts, or of a line's, agree;
//! * [`retry`]: whether a call may go elsewhere.
//!
//! # A call, and who holds what
//!
//! Four calls of an enclave, two signatures; what crosses an enclave's door has bytes.
//!
//! 1. The consumer's proxy makes [`WholeContent`](proxy::WholeContent) and hands its claim
//!    in. Its enclave begins ([`Idle::begin`](enclave::consumer::Idle::begin)) and signs
//!    ([`Unsigned`](proof::Unsigned), alone or several at once). The proxy frames the head
//!    ([`Gate::frame`](gate::Gate::frame)), seals the content under
//!    [`Outgoing`](proxy::Outgoing), and keeps the bytes to send them again.
//! 2. The producer's proxy takes a frame ([`frame_len`](gate::frame_len),
//!    [`Gate::check`](gate::Gate::check)) and asks its [`Screen`](proxy::Screen). Its enclave
//!    accepts ([`Ready::accept`](enclave::producer::Ready::accept)). With what it hands out
//!    the proxy makes a [`Pending`](proxy::Pending) call, verifies the content, and begins
//!    directly before the API's first byte ([`Undecided::begin`](proxy::Undecided::begin)).
//! 3. The call ends in one [`Conclusion`](proxy::Conclusion). The enclave makes the receipt of
//!    it ([`Answering::conclude`](enclave::producer::Answering::conclude)); the proxy seals
//!    the response, and keeps the bytes until the lane's next ticket.
//! 4. The consumer's enclave takes the receipt
//!    ([`Waiting::receive`](enclave::consumer::Waiting::receive)), whose arrival it is told.
//!    The proxy opens the response ([`Incoming::open`](proxy::Incoming::open)) and hands it on
//!    once it is verified. Bytes that are not valid are dropped, and the request is sent
//!    again: the same bytes bring the same answer.

pub mod body;
pub mod checkpoint;
pub mod content;
pub mod context;
pub mod enclave;
pub mod envelope;
pub mod error;
mod fields;
pub mod gate;
pub mod identity;
pub mod ledger;
mod merkle;
pub mod message;
pub mod mode;
pub mod proof;
pub mod proxy;
pub mod rekey;
pub mod retry;
pub mod run_builder;
pub mod schedule;
mod secret;
pub mod suite;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transient;

/// The version that heads and contexts carry.
pub const VERSION: u8 = 2;
