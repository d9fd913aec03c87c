//! The bundles that a pair is served by.

use std::sync::Arc;

use super::bundle::Bundle;

/// The bundles in use, or why there are none.
pub struct Serving {
    pub bundles: Vec<Arc<Bundle>>,
    pub why: Why,
}

/// Why there is no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// None has been granted yet.
    Waiting,
    /// An operator must re-arm the pair.
    Disconnected,
}

impl Serving {
    /// None yet.
    pub fn new() -> Self {
        Self {
            bundles: Vec::new(),
            why: Why::Waiting,
        }
    }
}
