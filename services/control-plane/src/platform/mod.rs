//! What the domains stand on and that knows none of them.

pub mod egress;
pub mod group_commit;
pub mod instruments;
