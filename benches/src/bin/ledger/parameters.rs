//! What every run of this benchmark has in common.

/// Clients that report at once.
pub const CLIENTS: usize = 32;
/// How long each run takes, in seconds.
pub const SECONDS: u64 = 6;
