//! Tenants, as the platform's administrators see to them.

use armour_api::Quotas;
use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;

/// What was done to a tenant.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum TenancyAction<'a> {
    /// It was created.
    #[strum(serialize = "tenant.create")]
    Create {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
    },
    /// It was deleted.
    #[strum(serialize = "tenant.delete")]
    Delete {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
    },
    /// Its ledger was fenced by hand.
    #[strum(serialize = "tenant.fence")]
    Fence {
        #[serde(skip)]
        id: Uuid,
        reason: &'a str,
    },
    /// It may have and ask more or less than before.
    #[strum(serialize = "tenant.quotas")]
    SetQuotas {
        #[serde(skip)]
        id: Uuid,
        before: &'a Quotas,
        after: &'a Quotas,
    },
}

impl AuditAction for TenancyAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::Create { id, .. }
            | Self::Delete { id, .. }
            | Self::Fence { id, .. }
            | Self::SetQuotas { id, .. } => id.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn of_tenants() {
        let (id, name) = (ID, "shop");
        check(
            TenancyAction::Create { id, name },
            "tenant.create",
            ID_TEXT,
            r#"{"name":"shop"}"#,
        );
        check(
            TenancyAction::Delete { id, name },
            "tenant.delete",
            ID_TEXT,
            r#"{"name":"shop"}"#,
        );
        check(
            TenancyAction::Fence {
                id,
                reason: "restored",
            },
            "tenant.fence",
            ID_TEXT,
            r#"{"reason":"restored"}"#,
        );
    }

    #[test]
    fn of_quotas() {
        let quotas = Quotas {
            parties: 1,
            pairs: 2,
            endpoints: 3,
            api_tokens: 4,
            issuers: 5,
            webhooks: 6,
            requests: 7,
            endpoint_requests: 8,
        };
        let said = concat!(
            r#"{"api_tokens":4,"endpoint_requests":8,"endpoints":3,"issuers":5,"pairs":2,"#,
            r#""parties":1,"requests":7,"webhooks":6}"#
        );
        check(
            TenancyAction::SetQuotas {
                id: ID,
                before: &quotas,
                after: &quotas,
            },
            "tenant.quotas",
            ID_TEXT,
            &format!(r#"{{"after":{said},"before":{said}}}"#),
        );
    }
}
