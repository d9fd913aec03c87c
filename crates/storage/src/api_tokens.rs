//! API tokens: only hashes are kept.

use armour_api::{AccessRole, ApiToken, Page};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    decode::word,
    error::Result,
    page::{PAGE, page},
    tx::Tx,
};

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
    /// The tenant's API tokens.
    pub fn api_tokens(&mut self) -> ApiTokens<'_> {
        ApiTokens(self)
    }
}

/// The tenant's API tokens.
pub struct ApiTokens<'a>(&'a mut Tx);

impl ApiTokens<'_> {
    /// Adds an API token.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn create(&mut self, new: &NewToken<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO api_tokens (tenant_id, token_id, name, role, hash, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.0.tenant,
            new.id,
            new.name,
            new.role.into_str(),
            new.hash,
            new.expires_at
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// A token, whether it still works or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find(&mut self, id: Uuid) -> Result<TokenRow> {
        let row = sqlx::query!(
            "SELECT token_id, name, role, hash, expires_at, last_used_at,
                    coalesce(revoked_at, (SELECT deleted_at FROM tenants WHERE tenant_id = $1))
                      AS revoked_at
             FROM api_tokens WHERE tenant_id = $1 AND token_id = $2",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(TokenRow {
            id: row.token_id,
            name: row.name,
            role: word(&row.role)?,
            hash: row.hash,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        })
    }

    /// Tokens in order of id.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&mut self, after: Option<Uuid>) -> Result<Page<ApiToken>> {
        let tenant = self.0.tenant;
        let rows = sqlx::query!(
            "SELECT token_id, name, role, created_at, expires_at, revoked_at, last_used_at
             FROM api_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR token_id > $2)
             ORDER BY token_id LIMIT $3",
            tenant,
            after,
            PAGE + 1
        )
        .fetch_all(&mut *self.0.inner)
        .await?;
        let tokens = rows
            .into_iter()
            .map(|row| {
                Ok(ApiToken {
                    id: row.token_id,
                    name: row.name,
                    role: word(&row.role)?,
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

    pub(crate) async fn count_live(&mut self, now: DateTime<Utc>) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM api_tokens
               WHERE tenant_id = $1 AND revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > $2)"#,
            self.0.tenant,
            now
        )
        .fetch_one(&mut *self.0.inner)
        .await?)
    }

    /// Records that a token was used.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn touch(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "UPDATE api_tokens SET last_used_at = $3 WHERE tenant_id = $1 AND token_id = $2",
            self.0.tenant,
            id,
            now
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Brings a token's end forward.
    ///
    /// # Errors
    /// `NotFound` if there is no live one.
    pub async fn expire(&mut self, id: Uuid, at: DateTime<Utc>) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE api_tokens SET expires_at = least(expires_at, $3)
             WHERE tenant_id = $1 AND token_id = $2 AND revoked_at IS NULL RETURNING token_id",
            self.0.tenant,
            id,
            at
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// `NotFound` if there is no live one.
    pub async fn revoke(&mut self, id: Uuid) -> Result<()> {
        sqlx::query_scalar!(
            "UPDATE api_tokens SET revoked_at = now()
             WHERE tenant_id = $1 AND token_id = $2 AND revoked_at IS NULL RETURNING token_id",
            self.0.tenant,
            id
        )
        .fetch_one(&mut *self.0.inner)
        .await?;
        Ok(())
    }

    /// Revokes every token.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revoke_all(&mut self) -> Result<()> {
        sqlx::query!(
            "UPDATE api_tokens SET revoked_at = now() WHERE tenant_id = $1 AND revoked_at IS NULL",
            self.0.tenant
        )
        .execute(&mut *self.0.inner)
        .await?;
        Ok(())
    }
}
