//! What an endpoint keeps in its data folder.

pub mod data_dir_lock;
pub mod issuance_counter;
