//! What an endpoint keeps in its data folder.

pub mod data_dir_lock;
pub mod draws;
pub mod known_peers;
pub mod public_keys;
pub mod start_record;
