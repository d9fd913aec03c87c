//! Why somebody is not signed in.

use armour_api::ProblemType;
use thiserror::Error;

use crate::http::problem::{ApiError, OperationError};

/// Why somebody is not signed in.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The answer is to no flow that this browser holds.
    #[error("this browser began no such sign-in, or took longer than ten minutes; begin again")]
    Stale,
    /// The issuer does not vouch for the person.
    #[error("the issuer refused: {0}")]
    Refused(String),
    /// What the issuer answers does not hold.
    #[error("signing in failed: {0}")]
    Failed(String),
    /// The issuer vouches for the person, but nothing gives them a role: why, for an
    /// administrator.
    #[error("you are known, but none of your groups has a role here; ask an administrator")]
    NotAdmitted(String),
}

impl OperationError for SignInError {
    fn problem_type(&self) -> ProblemType {
        match self {
            Self::Stale => ProblemType::SignInStale,
            Self::Refused(_) => ProblemType::SignInRefused,
            Self::Failed(_) => ProblemType::SignInFailed,
            Self::NotAdmitted(_) => ProblemType::NotAdmitted,
        }
    }
}

/// Why somebody is not signed in: what the browser is told, and what the audit log is.
pub struct NotSignedIn {
    /// What the browser is told.
    pub error: ApiError,
    /// What the audit log is told.
    pub why: String,
}

impl From<SignInError> for NotSignedIn {
    fn from(error: SignInError) -> Self {
        let why = match &error {
            SignInError::NotAdmitted(why) => why.clone(),
            other => other.to_string(),
        };
        Self {
            error: error.into(),
            why,
        }
    }
}

impl From<ApiError> for NotSignedIn {
    fn from(error: ApiError) -> Self {
        Self {
            why: error.detail().to_owned(),
            error,
        }
    }
}

/// 502: what the issuer answers does not hold.
pub fn failed(why: impl Into<String>) -> SignInError {
    SignInError::Failed(why.into())
}
