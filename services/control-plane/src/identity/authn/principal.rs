//! Who a member is.

use armour_api::AccessRole;
use armour_storage::{Actor, Result as StorageResult, Tx};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Who a member is.
#[derive(Debug, Clone)]
pub struct Principal {
    /// As in audit entries.
    pub actor: Actor,
    /// For people to read.
    pub name: String,
    /// What they may do.
    pub role: AccessRole,
    /// Their session, if it is one.
    pub session: Option<Uuid>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// What calls that change something have to send along.
    pub csrf: Option<String>,
}

impl Principal {
    /// Whether the credential is still good.
    ///
    /// # Errors
    /// `NotFound` if it is gone altogether.
    pub async fn is_live(&self, tx: &mut Tx) -> StorageResult<bool> {
        let now = tx.now();
        match (&self.actor, self.session) {
            (_, Some(session)) => {
                // A page that only watches is in use all the same.
                let row = tx
                    .sessions()
                    .find_live(session, now, DateTime::UNIX_EPOCH)
                    .await?;
                Ok(row.expires_at > now)
            }
            (Actor::Token(id), None) => Ok(tx.api_tokens().find(*id).await?.is_live(now)),
            _ => Ok(false),
        }
    }
}
