//! People's sessions.

use armour_api::{AccessRole, Page, Session};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::word,
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

/// A session to be added.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// Who vouches for the person.
    pub issuer: Uuid,
    /// SHA-256 of the cookie.
    pub hash: &'a [u8],
    /// The person, as the issuer names them.
    pub subject: &'a str,
    /// For people to read.
    pub name: &'a str,
    /// What they may do.
    pub role: AccessRole,
    /// The provider's `sid`.
    pub provider_sid: Option<&'a str>,
    /// The browser.
    pub user_agent: &'a str,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// A live session.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Its id.
    pub id: Uuid,
    /// Who vouches for the person.
    pub issuer: Uuid,
    /// SHA-256 of the cookie.
    pub hash: Vec<u8>,
    /// The person.
    pub subject: String,
    /// For people to read.
    pub name: String,
    /// What they may do.
    pub role: AccessRole,
    /// When it was used last.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// Which sessions to end; what is given narrows.
#[derive(Debug, Clone, Default)]
pub struct SessionScope<'a> {
    /// This one.
    pub id: Option<Uuid>,
    /// Of this issuer.
    pub issuer: Option<Uuid>,
    /// Of this person.
    pub subject: Option<&'a str>,
    /// Of this session of the provider's.
    pub provider_sid: Option<&'a str>,
}

impl Tx {
    /// The sessions of the tenant's people.
    pub fn sessions(&mut self) -> Sessions<'_> {
        Sessions(self)
    }
}

/// The sessions of the tenant's people.
pub struct Sessions<'a>(&'a mut Tx);

impl Sessions<'_> {
    /// Adds a session.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(&mut self, new: &NewSession<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sessions (tenant_id, session_id, issuer_id, hash, subject, name, role,
                                   provider_sid, user_agent, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.0.tenant,
            new.id,
            new.issuer,
            new.hash,
            new.subject,
            new.name,
            new.role.into_str(),
            new.provider_sid,
            new.user_agent,
            new.expires_at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// A session that was used after `idle_since` and has neither expired nor
    /// ended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_live(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
        idle_since: DateTime<Utc>,
    ) -> Result<SessionRow> {
        let row = sqlx::query!(
            "SELECT session_id, issuer_id, hash, subject, name, role, last_used_at, expires_at
             FROM sessions WHERE tenant_id = $1 AND session_id = $2 AND ended_at IS NULL
               AND expires_at > $3 AND last_used_at > $4
               AND NOT EXISTS (SELECT FROM tenants t
                               WHERE t.tenant_id = $1 AND t.deleted_at IS NOT NULL)",
            self.0.tenant,
            id,
            now,
            idle_since
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(SessionRow {
            id: row.session_id,
            issuer: row.issuer_id,
            hash: row.hash,
            subject: row.subject,
            name: row.name,
            role: word(&row.role)?,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        })
    }

    /// Records that a session was used.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE sessions SET last_used_at = $3 WHERE tenant_id = $1 AND session_id = $2",
            self.0.tenant,
            id,
            now
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Sessions, latest first; of one person if given. None is marked current.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(
        &mut self,
        person: Option<(Uuid, &str)>,
        before: Option<Uuid>,
    ) -> Result<Page<Session>> {
        let rows = sqlx::query!(
            "SELECT session_id, issuer_id, subject, name, role, user_agent, created_at,
                    last_used_at, expires_at, ended_at
             FROM sessions WHERE tenant_id = $1 AND ($2::uuid IS NULL OR session_id < $2)
               AND ($3::uuid IS NULL OR (issuer_id = $3 AND subject = $4))
             ORDER BY session_id DESC LIMIT $5",
            self.0.tenant,
            before,
            person.map(|(issuer, _)| issuer),
            person.map(|(_, subject)| subject),
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let sessions = rows
            .into_iter()
            .map(|row| {
                Ok(Session {
                    id: row.session_id,
                    issuer_id: row.issuer_id,
                    subject: row.subject,
                    name: row.name,
                    role: word(&row.role)?,
                    user_agent: row.user_agent,
                    created_at: row.created_at,
                    last_used_at: row.last_used_at,
                    expires_at: row.expires_at,
                    ended_at: row.ended_at,
                    current: false,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(page(sessions, |session| session.id.to_string()))
    }

    /// Ends live sessions and erases their ID tokens; returns them.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end(&mut self, scope: &SessionScope<'_>) -> Result<Vec<Uuid>> {
        let ended = sqlx::query_scalar!(
            "UPDATE sessions SET ended_at = now()
             WHERE tenant_id = $1 AND ended_at IS NULL
               AND ($2::uuid IS NULL OR session_id = $2)
               AND ($3::uuid IS NULL OR issuer_id = $3)
               AND ($4::text IS NULL OR subject = $4)
               AND ($5::text IS NULL OR provider_sid = $5)
             RETURNING session_id",
            self.0.tenant,
            scope.id,
            scope.issuer,
            scope.subject,
            scope.provider_sid
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let names: Vec<String> = ended.iter().map(|id| id_token(*id)).collect();
        self.0.secrets().erase(&names).await?;
        Ok(ended)
    }

    /// Ends sessions that have expired or were not used since `idle_since`, and erases
    /// their ID tokens.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn end_expired(
        &mut self,
        now: DateTime<Utc>,
        idle_since: DateTime<Utc>,
    ) -> Result<()> {
        let over = sqlx::query_scalar!(
            "UPDATE sessions SET ended_at = least(expires_at, last_used_at + ($2 - $3))
             WHERE tenant_id = $1 AND ended_at IS NULL AND (expires_at < $2 OR last_used_at < $3)
             RETURNING session_id",
            self.0.tenant,
            now,
            idle_since
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let names: Vec<String> = over.iter().map(|id| id_token(*id)).collect();
        self.0.secrets().erase(&names).await
    }

    /// Deletes sessions that ended before a time.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn delete_ended(&mut self, before: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "DELETE FROM sessions WHERE tenant_id = $1 AND ended_at < $2",
            self.0.tenant,
            before
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}

/// Name of the secret that holds a session's ID token.
pub fn id_token(session: Uuid) -> String {
    format!("session:{session}")
}
