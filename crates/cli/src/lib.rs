//! The `armour` command's parts.

pub mod access;
pub mod cli;
pub mod commands;
pub mod data_folder;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod output;
pub mod party_keys;
pub mod profile;
pub mod servers;
mod top;
