//! Who may act: the caller, API tokens, people's sessions.

use armour_api::{
    AccessRole, ApiToken, CreatedSecret, NewApiToken, Page, Quotas, RotateApiToken, Session, Whoami,
};
use uuid::Uuid;

use crate::{Call, Client, Result};

impl Client {
    /// Who the caller is.
    pub fn whoami(&self) -> Call<'_, Whoami> {
        self.read("/v1/whoami")
    }

    /// How much the caller's tenant may have and ask.
    pub fn quotas(&self) -> Call<'_, Quotas> {
        self.read("/v1/quotas")
    }

    /// Creates an API token; it does not expire if no seconds are given.
    pub fn create_api_token(
        &self,
        name: &str,
        role: AccessRole,
        expires_in_s: Option<u32>,
    ) -> Call<'_, CreatedSecret, NewApiToken> {
        let new = NewApiToken {
            name: name.into(),
            role,
            expires_in_s,
        };
        self.act("/v1/api-tokens", new)
    }

    /// API tokens, without their secrets.
    pub fn api_tokens(&self) -> Call<'_, Page<ApiToken>> {
        self.read("/v1/api-tokens")
    }

    /// Replaces an API token; the earlier one works on for a while.
    pub fn rotate_api_token(
        &self,
        id: Uuid,
        how: RotateApiToken,
    ) -> Call<'_, CreatedSecret, RotateApiToken> {
        self.act(format!("/v1/api-tokens/{id}/rotate"), how)
    }

    /// Revokes an API token.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn revoke_api_token(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/v1/api-tokens/{id}")).await
    }

    /// People's sessions.
    pub fn sessions(&self) -> Call<'_, Page<Session>> {
        self.read("/v1/sessions")
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If refused or out of reach.
    pub async fn end_session(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/v1/sessions/{id}")).await
    }
}
