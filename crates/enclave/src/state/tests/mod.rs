//! Two enclaves against each other. What crosses an enclave's door goes through its bytes.

mod common;
mod identity;
mod install;
mod lanes;
mod rekeying;
mod retirement;
mod streams;
