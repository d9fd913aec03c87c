//! Why a call failed.

use std::error::Error;

use armour_api::Problem;
use armour_dpop::ProofError;
use reqwest::StatusCode;

/// A call's result.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The control plane refused and says why.
    #[error("{} ({})", .0.detail, .0.r#type)]
    Problem(Box<Problem>),
    /// An answer that is no problem document.
    #[error("unexpected answer: {0}")]
    Unexpected(StatusCode),
    /// The control plane cannot be reached, or the connection broke. The text holds what caused
    /// it, so no source is told besides.
    #[error("cannot reach the control plane{}", explain(.0))]
    Transport(reqwest::Error),
    /// The endpoint's key cannot be used.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

/// Where it was, and the innermost cause: those between repeat one another.
fn explain(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let why = match error.is_timeout() {
        true => "it took too long".to_owned(),
        false => cause.to_string(),
    };
    match error.url() {
        Some(url) => format!(" at {url}: {why}"),
        None => format!(": {why}"),
    }
}

impl ClientError {
    /// Whether the problem is of this kind (`urn:armour:problem:<kind>`).
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Self::Problem(problem)
            if problem.kind() == Some(kind))
    }

    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Unexpected(status) => status.is_server_error(),
            Self::Transport(_) => true,
            Self::Proof(_) => false,
        }
    }

    /// Whether what was sent is too large, for the control plane or for a proxy before it.
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == 413,
            Self::Unexpected(status) => *status == StatusCode::PAYLOAD_TOO_LARGE,
            Self::Transport(_) | Self::Proof(_) => false,
        }
    }

    /// Whether there is no such thing, as where the control plane is one that does not know it
    /// yet.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == 404,
            Self::Unexpected(status) => *status == StatusCode::NOT_FOUND,
            Self::Transport(_) | Self::Proof(_) => false,
        }
    }

    /// Whether the credentials were refused.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == 401,
            Self::Unexpected(status) => *status == StatusCode::UNAUTHORIZED,
            Self::Transport(_) | Self::Proof(_) => false,
        }
    }
}
