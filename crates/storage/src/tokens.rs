//! API tokens and enrolment tokens: only hashes are kept.

use armour_api::{ApiToken, EnrolmentToken, Page, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PAGE, Result, Tx, error::word, page};

impl Tx {
    /// Adds an operator's token.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_api_token(&mut self, id: Uuid, name: &str, hash: &[u8]) -> Result<()> {
        sqlx::query!(
            "INSERT INTO api_tokens (tenant_id, token_id, name, hash) VALUES ($1, $2, $3, $4)",
            self.tenant,
            id,
            name,
            hash
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A live token's hash.
    ///
    /// # Errors
    /// `NotFound` if it does not exist or is revoked.
    pub async fn api_token_hash(&mut self, id: Uuid) -> Result<Vec<u8>> {
        Ok(sqlx::query_scalar!(
            "SELECT hash FROM api_tokens
             WHERE tenant_id = $1 AND token_id = $2 AND revoked_at IS NULL",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?)
    }

    /// Tokens in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_api_tokens(&mut self, after: Option<Uuid>) -> Result<Page<ApiToken>> {
        let rows = sqlx::query_as!(
            ApiToken,
            "SELECT token_id AS id, name, created_at, revoked_at FROM api_tokens
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
            self.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(page(rows, |token| token.id.to_string()))
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// `NotFound` if there is no live one.
    pub async fn revoke_api_token(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE api_tokens SET revoked_at = now()
             WHERE tenant_id = $1 AND token_id = $2 AND revoked_at IS NULL RETURNING token_id",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Adds an enrolment token.
    ///
    /// # Errors
    /// `NotFound` if the party does not exist.
    pub async fn create_enrolment_token(
        &mut self,
        id: Uuid,
        role: Role,
        party: Uuid,
        hash: &[u8],
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        self.find_party(role, party).await?;
        sqlx::query!(
            "INSERT INTO enrolment_tokens (tenant_id, token_id, role, party_id, hash, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.tenant,
            id,
            role.as_str(),
            party,
            hash,
            expires_at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Spends an enrolment token: of concurrent tries one succeeds.
    ///
    /// # Errors
    /// `NotFound` if it is unknown, wrong, used or expired.
    pub async fn spend_enrolment_token(
        &mut self,
        id: Uuid,
        hash: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(Role, Uuid)> {
        let row = sqlx::query!(
            "UPDATE enrolment_tokens SET used_at = $4
             WHERE tenant_id = $1 AND token_id = $2 AND hash = $3
               AND used_at IS NULL AND expires_at > $4
             RETURNING role, party_id",
            self.tenant,
            id,
            hash,
            now
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok((word(Role::parse, &row.role)?, row.party_id))
    }

    /// Enrolment tokens in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_enrolment_tokens(
        &mut self,
        after: Option<Uuid>,
    ) -> Result<Page<EnrolmentToken>> {
        let rows = sqlx::query!(
            "SELECT token_id, role, party_id, created_at, expires_at, used_at
             FROM enrolment_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
            self.tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let tokens = rows
            .into_iter()
            .map(|row| {
                Ok(EnrolmentToken {
                    id: row.token_id,
                    role: word(Role::parse, &row.role)?,
                    party_id: row.party_id,
                    created_at: row.created_at,
                    expires_at: row.expires_at,
                    used_at: row.used_at,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(page(tokens, |token| token.id.to_string()))
    }
}
