//! The protocol from outside. One program for all of it: a module that is not named here
//! is not tried.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by them"
)]

#[cfg(feature = "state-export")]
mod attacks;
mod common;
mod properties;
#[cfg(feature = "state-export")]
mod requirements;
#[cfg(feature = "state-export")]
mod salamander;
mod secrets;
mod vectors;
