//! Servers of other people's making that run on this machine.

pub mod nginx;
pub mod postgres;
pub mod process;
pub mod user;
