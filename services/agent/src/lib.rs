//! Armour's endpoint: a proxy process and an enclave process.

pub mod enclave;
