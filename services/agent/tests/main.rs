//! Enclaves as real processes. One program for all of it: a module that is not named here
//! is not tried.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod common;
mod enclave;
mod hardening;
#[cfg(feature = "clone-demo")]
mod memory;
mod policy;
