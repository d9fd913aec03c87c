//! How a call bears being made a second time.

use armour_protocol::v2::retry::MethodClass;

/// How a call bears being made a second time.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Its method.
    pub class: MethodClass,
    /// Whether that its caller may send it a second time: its request is here, whole.
    pub is_whole: bool,
}
