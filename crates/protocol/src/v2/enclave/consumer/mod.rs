//! The consumer's end of a lane.
//!
//! [`Fresh`] -open-> [`Opening`] -receipt-> [`Idle`] -begin-> [`Waiting`] -receipt->
//! [`Idle`]. [`Idle`] -refresh-> [`Refreshing`] -receipt-> [`Idle`]; -close-> [`Closing`]
//! -receipt-> a [`LaneMark`](super::LaneMark). Only [`Idle`] can seal content, and only a receipt that the
//! producer's incarnation signed leads there.

mod answered;
mod asking;
mod idle;
mod in_flight;
mod lanes;
mod rekeying;
mod standing;
mod states;
#[cfg(feature = "state-export")]
mod stolen;

pub use answered::{Answered, Received};
pub use asking::SubReceiptStanding;
pub use lanes::Lanes;
pub use standing::ReceiptStanding;
pub use states::{Closing, Fresh, Idle, Opening, Refreshing, Waiting};
