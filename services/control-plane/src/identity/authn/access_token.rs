//! Access tokens for endpoints.

use armour_api::AccessToken;
use uuid::Uuid;

use super::{
    signing::{self, Claims, Confirmation},
    state::Authn,
};
use crate::http::problem::ApiResult;

/// Issues a token that is bound to the key of a thumbprint (RFC 9449, section 5).
///
/// # Errors
/// If no signing key is active, or the database does not answer.
pub async fn issue_access_token(
    authn: &Authn,
    tenant: Uuid,
    endpoint: Uuid,
    thumbprint: String,
) -> ApiResult<AccessToken> {
    let now = authn.now().timestamp();
    let claims = Claims {
        iss: signing::AUDIENCE.into(),
        aud: signing::AUDIENCE.into(),
        sub: endpoint,
        tenant,
        iat: now,
        exp: now + signing::LIFE,
        cnf: Confirmation { jkt: thumbprint },
    };
    Ok(AccessToken {
        access_token: authn.signing.sign(&authn.store, &claims).await?,
        token_type: "DPoP".into(),
        expires_in: signing::LIFE as u32,
    })
}
