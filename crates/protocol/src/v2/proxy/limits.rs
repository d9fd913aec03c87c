//! How much content goes at once.

/// Most bytes of content that is sent whole.
pub const MAX_WHOLE: usize = 256 * 1024;
/// Most bytes of a stream's first segment, and of each that follows.
pub const MAX_PIECE: usize = 64 * 1024;
/// Most bytes that a receiver holds unverified.
pub const MAX_UNVERIFIED: usize = 1024 * 1024;
