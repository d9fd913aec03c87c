//! The protocol from outside. One program for all of it: a module that is not named here
//! is not tried.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by them"
)]

mod recording;
mod v2_attacks;
mod v2_clones;
mod v2_common;
mod v2_exchange;
mod v2_identity;
mod v2_interleavings;
mod v2_lines;
mod v2_parsers;
mod v2_rekeying;
#[cfg(feature = "state-export")]
mod v2_requirements;
mod v2_salamander;
mod v2_secrets;
mod v2_sizes;
mod v2_streams;
#[cfg(feature = "state-export")]
mod v2_thief;
mod v2_vectors;
