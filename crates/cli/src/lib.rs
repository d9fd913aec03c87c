//! The `armour` command's parts.

pub mod access;
pub mod cli;
pub mod commands;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod nginx;
pub mod output;
pub mod postgres;
pub mod profile;
mod top;
pub mod user;
