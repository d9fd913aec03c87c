//! Endpoints by what somebody sends who shows no token.

use armour_api::Endpoint;
use armour_storage::{StorageError, Tx};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use uuid::Uuid;

use crate::http::problem::{ApiError, ApiResult};

/// The endpoint, if there is one, with its long-term key.
///
/// # Errors
/// If the database does not answer or holds what cannot be read.
pub async fn find(tx: &mut Tx, id: Uuid) -> ApiResult<Option<(Endpoint, VerifyingKey)>> {
    let endpoint = match tx.endpoints().find(id).await {
        Ok(endpoint) => endpoint,
        Err(StorageError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = STANDARD.decode(&endpoint.signing_key);
    let bytes: [u8; 32] = bytes
        .map_err(ApiError::internal)?
        .try_into()
        .map_err(|_| ApiError::internal("a stored key of another length"))?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(ApiError::internal)?;
    Ok(Some((endpoint, key)))
}

/// What whoever signs with another key is told: not which endpoints exist.
pub fn unknown() -> ApiError {
    ApiError::unauthenticated("it is not signed by the key of a known endpoint")
}
