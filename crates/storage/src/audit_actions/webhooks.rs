//! Receivers that are told of events.

use armour_api::Webhook;
use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;

/// What was done to a receiver.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum WebhookAction<'a> {
    /// It was added.
    #[strum(serialize = "webhook.create")]
    Create { webhook: &'a Webhook },
    /// It is told nothing any more: it answered so.
    #[strum(serialize = "webhook.disable")]
    Disable {
        #[serde(skip)]
        id: Uuid,
        url: &'a str,
        status: u16,
    },
    /// It is told again of what happens.
    #[strum(serialize = "webhook.enable")]
    Enable {
        #[serde(skip)]
        id: Uuid,
    },
    /// It was removed.
    #[strum(serialize = "webhook.delete")]
    Delete {
        #[serde(skip)]
        id: Uuid,
    },
    /// It is told again.
    #[strum(serialize = "webhook.replay")]
    Replay {
        #[serde(skip)]
        delivery: Uuid,
        webhook_id: Uuid,
    },
}

impl AuditAction for WebhookAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::Create { webhook } => webhook.id.to_string(),
            Self::Delete { id } | Self::Disable { id, .. } | Self::Enable { id } => id.to_string(),
            Self::Replay { delivery, .. } => delivery.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn of_webhooks() {
        let webhook = Webhook {
            id: ID,
            url: "https://hook.example/".into(),
            kinds: vec!["*".into()],
            created_at: DateTime::UNIX_EPOCH,
            disabled_at: None,
        };
        check(
            WebhookAction::Create { webhook: &webhook },
            "webhook.create",
            ID_TEXT,
            concat!(
                r#"{"webhook":{"created_at":"1970-01-01T00:00:00Z","#,
                r#""id":"00000000-0000-0000-0000-000000000001","kinds":["*"],"#,
                r#""url":"https://hook.example/"}}"#
            ),
        );
        check(
            WebhookAction::Disable {
                id: ID,
                url: "https://hook.example/",
                status: 410,
            },
            "webhook.disable",
            ID_TEXT,
            r#"{"status":410,"url":"https://hook.example/"}"#,
        );
        check(
            WebhookAction::Enable { id: ID },
            "webhook.enable",
            ID_TEXT,
            "{}",
        );
        check(
            WebhookAction::Delete { id: ID },
            "webhook.delete",
            ID_TEXT,
            "{}",
        );
        check(
            WebhookAction::Replay {
                delivery: ID,
                webhook_id: Uuid::from_u128(2),
            },
            "webhook.replay",
            ID_TEXT,
            r#"{"webhook_id":"00000000-0000-0000-0000-000000000002"}"#,
        );
    }
}
