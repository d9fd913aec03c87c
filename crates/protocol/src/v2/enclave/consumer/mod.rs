//! The consumer's end of a lane.
//!
//! [`Fresh`] -open-> [`Opening`] -receipt-> [`Idle`] -begin-> [`Waiting`] -receipt->
//! [`Idle`]. [`Idle`] -refresh-> [`Refreshing`] -receipt-> [`Idle`]; -close-> [`Closing`]
//! -receipt-> a [`LaneMark`](super::LaneMark). Only [`Idle`] can seal content, and only a receipt that the
//! producer's incarnation signed leads there.

mod answered;
mod idle;
mod in_flight;
mod lanes;

pub use answered::{Answered, Closing, Opening, Received, Refreshing, Waiting};
pub use idle::{Fresh, Idle, ReceiptStanding};
pub use lanes::Lanes;
