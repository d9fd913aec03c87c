//! The protocol's real lanes behind small numbers.
//!
//! A lane's state follows from what was done to it, since randomness here is derived
//! from the history. So a state is the number of its history, and the lane itself is
//! made again by going through it, from what a thief would take of it between two
//! exchanges; each step is gone through once and remembered.

mod all;
mod bundle;
mod consumer;
mod judge;
mod names;
mod producer;
mod real;

pub use self::{
    all::Lanes,
    bundle::{Bundle, Who},
    names::{Accepted, Item, Lane, Request, Response},
    real::Told,
};
pub(crate) use self::{
    bundle::Signs,
    real::{BUDGET, LOG_HEAD, clock, local, segment},
};
