//! The enclave: a process of its own that holds the endpoint's long-term keys
//! and every root secret. The proxy talks to it over an inherited socket and
//! only ever receives one-time keys.
//!
//! * [`binding`]: what keys and lanes belong to;
//! * [`ipc`]: what goes over the socket;
//! * [`process`]: the enclave's main loop;
//! * [`sandbox`]: what its process gives up;
//! * [`vault`]: keys and lanes;
//! * [`Enclave`]: the proxy's handle.

pub mod binding;
mod handle;
pub mod ipc;
pub mod process;
mod sandbox;
#[cfg(feature = "clone-demo")]
pub mod stolen;
mod vault;

pub use handle::{Enclave, EnclaveError};
