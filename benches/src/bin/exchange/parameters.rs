//! How much each exchange carries.

/// Bytes of content each way of a small exchange.
pub const CONTENT: usize = 1024;
