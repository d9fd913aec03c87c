//! People's sessions, and proofs that may be used once.

use std::collections::HashSet;

use armour_api::{AccessRole, Page, Session};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PAGE, Result, Tx, error::word, page};

/// Name of the secret that holds a session's ID token.
pub fn id_token(session: Uuid) -> String {
    format!("session:{session}")
}

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
    /// Adds a session.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_session(&mut self, new: &NewSession<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sessions (tenant_id, session_id, issuer_id, hash, subject, name, role,
                                   provider_sid, user_agent, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.tenant,
            new.id,
            new.issuer,
            new.hash,
            new.subject,
            new.name,
            new.role.as_str(),
            new.provider_sid,
            new.user_agent,
            new.expires_at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A session that was used after `idle_since` and has neither expired nor
    /// ended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn live_session(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
        idle_since: DateTime<Utc>,
    ) -> Result<SessionRow> {
        let row = sqlx::query!(
            "SELECT session_id, issuer_id, hash, subject, name, role, last_used_at, expires_at
             FROM sessions WHERE tenant_id = $1 AND session_id = $2 AND ended_at IS NULL
               AND expires_at > $3 AND last_used_at > $4",
            self.tenant,
            id,
            now,
            idle_since
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(SessionRow {
            id: row.session_id,
            issuer: row.issuer_id,
            hash: row.hash,
            subject: row.subject,
            name: row.name,
            role: word(AccessRole::parse, &row.role)?,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        })
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch_session(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE sessions SET last_used_at = $3 WHERE tenant_id = $1 AND session_id = $2",
            self.tenant,
            id,
            now
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Sessions, latest first; of one person if given. None is marked current.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_sessions(
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
            self.tenant,
            before,
            person.map(|(issuer, _)| issuer),
            person.map(|(_, subject)| subject),
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let sessions = rows
            .into_iter()
            .map(|row| {
                Ok(Session {
                    id: row.session_id,
                    issuer_id: row.issuer_id,
                    subject: row.subject,
                    name: row.name,
                    role: word(AccessRole::parse, &row.role)?,
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
    pub async fn end_sessions(&mut self, scope: &SessionScope<'_>) -> Result<Vec<Uuid>> {
        let ended = sqlx::query_scalar!(
            "UPDATE sessions SET ended_at = now()
             WHERE tenant_id = $1 AND ended_at IS NULL
               AND ($2::uuid IS NULL OR session_id = $2)
               AND ($3::uuid IS NULL OR issuer_id = $3)
               AND ($4::text IS NULL OR subject = $4)
               AND ($5::text IS NULL OR provider_sid = $5)
             RETURNING session_id",
            self.tenant,
            scope.id,
            scope.issuer,
            scope.subject,
            scope.provider_sid
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let names: Vec<String> = ended.iter().map(|id| id_token(*id)).collect();
        self.erase_secrets(&names).await?;
        Ok(ended)
    }

    /// Spends a proof. Returns false if it was spent before.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn spend_proof(&mut self, hash: &[u8], expires_at: DateTime<Utc>) -> Result<bool> {
        let taken = self.spend_proofs(&[(hash.to_vec(), expires_at)]).await?;
        Ok(taken == [true])
    }

    /// Takes many at once; which of them were not taken before. Of the same one
    /// twice the first is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn spend_proofs(&mut self, proofs: &[(Vec<u8>, DateTime<Utc>)]) -> Result<Vec<bool>> {
        let (hashes, until): (Vec<Vec<u8>>, Vec<DateTime<Utc>>) = proofs.iter().cloned().unzip();
        let taken = sqlx::query_scalar!(
            "INSERT INTO spent_proofs (tenant_id, hash, expires_at)
             SELECT $1, hash, expires_at
             FROM unnest($2::bytea[], $3::timestamptz[]) AS i(hash, expires_at)
             ORDER BY hash ON CONFLICT DO NOTHING RETURNING hash",
            self.tenant,
            &hashes,
            &until
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut taken: HashSet<Vec<u8>> = taken.into_iter().collect();
        Ok(hashes.iter().map(|hash| taken.remove(hash)).collect())
    }

    /// Forgets what nobody needs any more: expired proofs, old sessions, answers
    /// kept for repeated calls.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn sweep(&mut self, now: DateTime<Utc>, idle_since: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "DELETE FROM spent_proofs WHERE tenant_id = $1 AND expires_at < $2",
            self.tenant,
            now
        )
        .execute(&mut *self.inner)
        .await?;
        let over = sqlx::query_scalar!(
            "UPDATE sessions SET ended_at = least(expires_at, last_used_at + ($2 - $3))
             WHERE tenant_id = $1 AND ended_at IS NULL AND (expires_at < $2 OR last_used_at < $3)
             RETURNING session_id",
            self.tenant,
            now,
            idle_since
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut names: Vec<String> = over.iter().map(|id| id_token(*id)).collect();
        let keys = sqlx::query_scalar!(
            "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2 RETURNING key",
            self.tenant,
            now - chrono::Duration::days(1)
        )
        .fetch_all(&mut *self.inner)
        .await?;
        names.extend(keys.iter().map(|key| crate::idempotency::answer(key)));
        self.erase_secrets(&names).await?;
        sqlx::query!(
            "DELETE FROM sessions WHERE tenant_id = $1 AND ended_at < $2",
            self.tenant,
            now - chrono::Duration::days(90)
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
