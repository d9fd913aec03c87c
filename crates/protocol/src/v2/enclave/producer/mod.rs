//! The producer's end of a lane.
//!
//! [`Lanes`] -ticket 0-> [`Opened`] -receipt-> [`Ready`]. [`Ready`] -ticket-> [`Accepted`]:
//! [`Answering`] a call, or [`Bare`] without content; each gives exactly one receipt and
//! leads back to [`Ready`].

mod answering;
mod lanes;
mod owed;
mod ready;
mod rekeying;
mod standing;
mod states;
#[cfg(feature = "state-export")]
mod stolen;
mod told;

pub use answering::{BareAfter, Concluded};
pub use lanes::{Lanes, OpeningError};
pub use ready::Accepted;
pub use standing::{NotAccepted, Standing};
pub use states::{Answering, Bare, Opened, Ready};
pub use told::{NotRekeyed, Rekeyed, SubStanding};
