//! The trusted base. The enclave is a process of its own that holds the endpoint's long-term keys
//! and every root secret. The proxy talks to it over an inherited socket and
//! only ever receives one-time keys.
//!
//! * [`binding`]: what keys and lanes belong to;
//! * [`ipc`]: what goes over the socket;
//! * [`process`]: the enclave's main loop;
//! * [`sandbox`]: what its process gives up;
//! * [`state`]: keys and lanes;
//! * [`durable`]: files that outlive a power cut;
//! * [`Enclave`]: the proxy's handle.

#![forbid(unsafe_code)]

pub mod binding;
pub mod durable;
mod handle;
pub mod ipc;
pub mod process;
mod sandbox;
mod state;
#[cfg(feature = "state-export")]
pub mod stolen;

pub use handle::{Enclave, EnclaveError};
