//! The `armour` command's parts.

pub mod dev;
pub mod postgres;
