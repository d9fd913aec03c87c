//! What an endpoint keeps in its data folder.

pub mod draws;
pub mod folder;
