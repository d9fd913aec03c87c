//! The producer's end of a lane.
//!
//! [`Fresh`] -ticket 0-> [`Opened`] -receipt-> [`Ready`]. [`Ready`] -ticket-> [`Accepted`]:
//! [`Answering`] a call, or [`Bare`] without content; each gives exactly one receipt and
//! leads back to [`Ready`].

mod answering;
mod lanes;
mod owed;
mod ready;
mod standing;
mod states;

pub use answering::{BareAfter, Concluded};
pub use lanes::{Lanes, OpeningError};
pub use ready::Accepted;
pub use standing::Standing;
pub use states::{Answering, Bare, Fresh, Opened, Ready};
