//! API tokens and enrolment tokens: only hashes are kept.

use armour_api::{AccessRole, ApiToken, EnrolmentToken, Page, Role};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{PAGE, Result, Tx, error::word, page};

/// An API token to be added.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: &'a str,
    /// What it may do.
    pub role: AccessRole,
    /// SHA-256 of its text.
    pub hash: &'a [u8],
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A stored API token.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// What it may do.
    pub role: AccessRole,
    /// SHA-256 of its text.
    pub hash: Vec<u8>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl TokenRow {
    /// Whether it may be used at a time.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

impl Tx {
    /// Adds an API token.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create_api_token(&mut self, new: &NewToken<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO api_tokens (tenant_id, token_id, name, role, hash, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.tenant,
            new.id,
            new.name,
            new.role.as_str(),
            new.hash,
            new.expires_at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// A token, whether it still works or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_api_token(&mut self, id: Uuid) -> Result<TokenRow> {
        let row = sqlx::query!(
            "SELECT token_id, name, role, hash, expires_at, revoked_at, last_used_at
             FROM api_tokens WHERE tenant_id = $1 AND token_id = $2",
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(TokenRow {
            id: row.token_id,
            name: row.name,
            role: word(AccessRole::parse, &row.role)?,
            hash: row.hash,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        })
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch_api_token(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE api_tokens SET last_used_at = $3 WHERE tenant_id = $1 AND token_id = $2",
            self.tenant,
            id,
            now
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Brings a token's end forward.
    ///
    /// # Errors
    /// `NotFound` if there is no live one.
    pub async fn expire_api_token(&mut self, id: Uuid, at: DateTime<Utc>) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE api_tokens SET expires_at = least(expires_at, $3)
             WHERE tenant_id = $1 AND token_id = $2 AND revoked_at IS NULL RETURNING token_id",
            self.tenant,
            id,
            at
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Tokens in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list_api_tokens(&mut self, after: Option<Uuid>) -> Result<Page<ApiToken>> {
        let tenant = self.tenant;
        let rows = sqlx::query!(
            "SELECT token_id, name, role, created_at, expires_at, revoked_at, last_used_at
             FROM api_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
            tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let tokens = rows
            .into_iter()
            .map(|row| {
                Ok(ApiToken {
                    id: row.token_id,
                    name: row.name,
                    role: word(AccessRole::parse, &row.role)?,
                    prefix: format!("armour_op_{}_{}", tenant.simple(), row.token_id.simple()),
                    created_at: row.created_at,
                    expires_at: row.expires_at,
                    revoked_at: row.revoked_at,
                    last_used_at: row.last_used_at,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(page(tokens, |token| token.id.to_string()))
    }

    /// Revokes every token.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revoke_all_tokens(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE api_tokens SET revoked_at = now() WHERE tenant_id = $1 AND revoked_at IS NULL",
            self.tenant
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!(
            "UPDATE enrolment_tokens SET expires_at = now()
             WHERE tenant_id = $1 AND used_at IS NULL AND expires_at > now()",
            self.tenant
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
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

    /// Whether there is an enrolment token, used or not.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn knows_enrolment_token(&mut self, id: Uuid) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM enrolment_tokens
                              WHERE tenant_id = $1 AND token_id = $2) AS "known!""#,
            self.tenant,
            id
        )
        .fetch_one(&mut *self.inner)
        .await?)
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
