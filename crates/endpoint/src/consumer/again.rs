//! How a call bears being made a second time.

use armour_protocol::v2::retry::{Fate, MethodClass};

/// How a call bears being made a second time.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Its method.
    pub class: MethodClass,
    /// Whether that its caller may send it a second time: its request is here, whole.
    pub is_whole: bool,
}

impl Again {
    /// Whether more can be hoped for than to be told what is known.
    pub fn may_go(self, fate: Fate, idempotent: bool) -> bool {
        self.is_whole && fate.may_go_elsewhere(self.class, idempotent)
    }
}
