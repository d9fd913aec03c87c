//! The audit log itself.

use serde::Serialize;

use super::action::AuditAction;

/// What was done to the log.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum LogAction<'a> {
    /// A log of before got its map of endpoints' states.
    #[strum(serialize = "audit.begin-map")]
    BeginMap {
        /// How many endpoints it begins with.
        endpoints: usize,
    },
    /// Its key was followed by another, which signs this entry. Verifiers look for this
    /// word and the keys.
    #[strum(serialize = "audit.rotate-key")]
    RotateKey {
        /// 1 for the first rotation.
        number: u64,
        /// In base64, as the new one.
        old_key: &'a str,
        new_key: &'a str,
        reason: &'a str,
    },
}

impl AuditAction for LogAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::BeginMap { .. } | Self::RotateKey { .. } => "audit".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_transparency::rotation::ROTATE;

    use super::{super::action::check, *};

    #[test]
    fn of_its_map() {
        check(
            LogAction::BeginMap { endpoints: 3 },
            "audit.begin-map",
            "audit",
            r#"{"endpoints":3}"#,
        );
    }

    #[test]
    fn of_its_key() {
        check(
            LogAction::RotateKey {
                number: 1,
                old_key: "old",
                new_key: "new",
                reason: "a year is over",
            },
            ROTATE,
            "audit",
            r#"{"new_key":"new","number":1,"old_key":"old","reason":"a year is over"}"#,
        );
    }
}
