//! Enrolment tokens: only hashes are kept.

use armour_api::{EnrolmentToken, Page, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::word,
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

impl Tx {
    /// The tenant's enrolment tokens.
    pub fn enrolment_tokens(&mut self) -> EnrolmentTokens<'_> {
        EnrolmentTokens(self)
    }
}

/// The tenant's enrolment tokens.
pub struct EnrolmentTokens<'a>(&'a mut Tx);

impl EnrolmentTokens<'_> {
    /// Adds an enrolment token.
    ///
    /// # Errors
    /// `NotFound` if the party does not exist.
    pub async fn create(
        &mut self,
        id: Uuid,
        role: Role,
        party: Uuid,
        hash: &[u8],
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        self.0.parties().find(role, party).await?;
        sqlx::query!(
            "INSERT INTO enrolment_tokens (tenant_id, token_id, role, party_id, hash, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.0.tenant,
            id,
            role.into_str(),
            party,
            hash,
            expires_at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Uses an enrolment token: of concurrent tries one succeeds.
    ///
    /// # Errors
    /// `NotFound` if it is unknown, wrong, used or expired.
    pub async fn consume(
        &mut self,
        id: Uuid,
        hash: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(Role, Uuid)> {
        let row = sqlx::query!(
            "UPDATE enrolment_tokens SET used_at = $4
             WHERE tenant_id = $1 AND token_id = $2 AND hash = $3
               AND used_at IS NULL AND expires_at > $4
               AND NOT EXISTS (SELECT FROM tenants t
                               WHERE t.tenant_id = $1 AND t.deleted_at IS NOT NULL)
             RETURNING role, party_id",
            self.0.tenant,
            id,
            hash,
            now
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok((word(&row.role)?, row.party_id))
    }

    /// Whether there is an enrolment token, used or not.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn exists(&mut self, id: Uuid) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM enrolment_tokens
                              WHERE tenant_id = $1 AND token_id = $2) AS "known!""#,
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Enrolment tokens in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, after: Option<Uuid>) -> Result<Page<EnrolmentToken>> {
        let rows = sqlx::query!(
            "SELECT token_id, role, party_id, created_at, expires_at, used_at
             FROM enrolment_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
            self.0.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let tokens = rows
            .into_iter()
            .map(|row| {
                Ok(EnrolmentToken {
                    id: row.token_id,
                    role: word(&row.role)?,
                    party_id: row.party_id,
                    created_at: row.created_at,
                    expires_at: row.expires_at,
                    used_at: row.used_at,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(page(tokens, |token| token.id.to_string()))
    }

    /// Ends enrolment tokens that nobody has used, as far as is known here.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn expire_unused(&mut self, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE enrolment_tokens SET expires_at = $2
             WHERE tenant_id = $1 AND used_at IS NULL AND expires_at > $2",
            self.0.tenant,
            at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Ends every token that has not been used.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revoke_unused(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE enrolment_tokens SET expires_at = now()
             WHERE tenant_id = $1 AND used_at IS NULL AND expires_at > now()",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
