//! How much each exchange carries.

/// Bytes of content each way of a small exchange.
pub const CONTENT: usize = 1024;
/// Bytes between two checkpoints of a stream, as agents have it.
pub const CHECKPOINT_EVERY: usize = 256 * 1024;
/// The most that a stream may go without.
pub const CHECKPOINT_AT_MOST: usize = 1024 * 1024;
