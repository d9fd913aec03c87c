//! The trusted base. The enclave is a process of its own that holds the endpoint's long-term keys
//! and every root secret. The proxy talks to it over an inherited socket and
//! only ever receives one-time keys.
//!
//! * [`binding`]: what keys and lanes belong to;
//! * [`ipc`]: what goes over the socket;
//! * [`process`]: the enclave's main loop;
//! * [`clock`]: the clock that deadlines are told by;
//! * [`pins`]: the keys that peers' parties are held to;
//! * [`durable`]: files that outlive a power cut;
//! * [`Enclave`]: the proxy's handle.

#![forbid(unsafe_code)]

pub mod binding;
mod calls;
pub mod clock;
mod door;
pub mod durable;
mod error;
mod frame;
mod handle;
pub mod ipc;
mod known_pair;
pub mod pins;
pub mod process;
mod sandbox;
mod state;
#[cfg(feature = "state-export")]
pub mod stolen;

pub use error::EnclaveError;
pub use handle::Enclave;
pub use sandbox::protect_proxy;
