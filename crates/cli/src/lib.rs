//! The `armour` command's parts.

// Both panic where nobody reads any more; `terminal` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod cli;
pub mod commands;
pub mod data_folder;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod output;
pub mod party_keys;
mod permissive;
pub mod profile;
pub mod servers;
mod support_bundle;
pub mod terminal;
mod top;
