//! What the domains stand on and that knows none of them.

pub mod database;
pub mod egress;
pub mod group_commit;
pub mod instruments;
pub mod internal_listener;
pub mod metrics;
