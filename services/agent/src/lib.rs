//! Armour's agent: an endpoint as a program of its own.

pub mod access_log;
pub mod control_socket;
mod doors;
mod front;
mod health;
pub mod options;
pub mod serve;
mod settings;
mod signals;
mod standing;
