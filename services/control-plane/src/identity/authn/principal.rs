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
    /// The id of their API token or session.
    pub credential: Uuid,
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
    /// Whether the credential is still good, and for the same.
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
                Ok(row.expires_at > now && row.role == self.role)
            }
            (Actor::Token(id), None) => {
                let row = tx.api_tokens().find(*id).await?;
                Ok(row.is_live(now) && row.role == self.role)
            }
            _ => Ok(false),
        }
    }
}
