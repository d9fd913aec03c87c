//! What becomes of a credential.

use armour_storage::{Actor, StorageError};
use uuid::Uuid;

use super::{credential::mask_not_found, denial::Attempt, principal::Principal};
use crate::http::problem::ApiError;

/// A credential that is accepted.
pub struct Verified {
    /// Whose it is.
    pub principal: Principal,
    /// The use to note, if the last that was noted is long ago.
    pub to_touch: Option<Used>,
}

/// Why a credential is not accepted, and what the audit log is told of it.
pub struct Refusal {
    /// What the caller is told.
    pub error: ApiError,
    /// Who tried, and why it was refused, if it is to be noted.
    pub noted: Option<(Actor, Attempt, &'static str)>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, noted: None }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        mask_not_found(error).into()
    }
}

/// What a credential's use leaves behind.
#[derive(Debug, Clone, Copy)]
pub enum Used {
    /// Of an API token.
    Token(Uuid),
    /// Of a session.
    Session(Uuid),
}
