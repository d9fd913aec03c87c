//! The `armour` command's parts.

pub mod demo;
pub mod dev;
pub mod nginx;
pub mod operate;
pub mod output;
pub mod postgres;
pub mod user;
