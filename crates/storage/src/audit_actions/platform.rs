//! The service's own keys and records.

use chrono::NaiveDate;
use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;

/// What was done to the platform itself.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum PlatformAction<'a> {
    /// Old audit entries were dropped.
    #[strum(serialize = "audit.retain")]
    AuditRetain {
        /// How many months of them.
        months: i32,
        before: Option<NaiveDate>,
    },
    /// A version of the master key was loaded for the first time.
    #[strum(serialize = "master-key.add")]
    MasterKeyAdd {
        #[serde(skip)]
        version: i32,
        active: bool,
    },
    /// A version of the master key is refused from now on.
    #[strum(serialize = "master-key.retire")]
    MasterKeyRetire {
        #[serde(skip)]
        version: i32,
    },
    /// Secrets are being sealed anew.
    #[strum(serialize = "master-key.rotate")]
    MasterKeyRotate {
        #[serde(skip)]
        rotation: Uuid,
        to_version: i32,
        /// How many secrets.
        total: i64,
    },
    /// All secrets have been sealed anew.
    #[strum(serialize = "master-key.rotated")]
    MasterKeyRotated {
        #[serde(skip)]
        rotation: Uuid,
        to_version: i32,
    },
    /// A key that signs access tokens was added.
    #[strum(serialize = "signing-key.create")]
    SigningKeyCreate {
        #[serde(skip)]
        kid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        because: Option<&'a str>,
    },
}

impl AuditAction for PlatformAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::AuditRetain { .. } => "audit".to_owned(),
            Self::MasterKeyAdd { version, .. } | Self::MasterKeyRetire { version } => {
                version.to_string()
            }
            Self::MasterKeyRotate { rotation, .. } | Self::MasterKeyRotated { rotation, .. } => {
                rotation.to_string()
            }
            Self::SigningKeyCreate { kid, .. } => (*kid).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn of_master_keys() {
        check(
            PlatformAction::MasterKeyAdd {
                version: 2,
                active: true,
            },
            "master-key.add",
            "2",
            r#"{"active":true}"#,
        );
        check(
            PlatformAction::MasterKeyRetire { version: 2 },
            "master-key.retire",
            "2",
            "{}",
        );
        check(
            PlatformAction::MasterKeyRotate {
                rotation: ID,
                to_version: 2,
                total: 3,
            },
            "master-key.rotate",
            ID_TEXT,
            r#"{"to_version":2,"total":3}"#,
        );
        check(
            PlatformAction::MasterKeyRotated {
                rotation: ID,
                to_version: 2,
            },
            "master-key.rotated",
            ID_TEXT,
            r#"{"to_version":2}"#,
        );
    }

    #[test]
    fn of_signing_keys_and_old_entries() {
        check(
            PlatformAction::SigningKeyCreate {
                kid: "k",
                because: None,
            },
            "signing-key.create",
            "k",
            "{}",
        );
        check(
            PlatformAction::SigningKeyCreate {
                kid: "k",
                because: Some("the earlier one is old"),
            },
            "signing-key.create",
            "k",
            r#"{"because":"the earlier one is old"}"#,
        );
        check(
            PlatformAction::AuditRetain {
                months: 1,
                before: NaiveDate::from_ymd_opt(2026, 1, 31),
            },
            "audit.retain",
            "audit",
            r#"{"before":"2026-01-31","months":1}"#,
        );
    }
}
