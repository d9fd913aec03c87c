//! Armour's agent: an endpoint as a program of its own.

mod health;
pub mod options;
pub mod serve;
mod settings;
