//! Optimistic concurrency: what somebody read is named by its `ETag`, and with
//! `If-Match` a change happens only if it is still so (RFC 9110, sections 8.8.3
//! and 13.1.1).

use armour_api::{Pair, ProblemType, Quotas};
use axum::{
    Json as Answer,
    extract::FromRequestParts,
    http::{HeaderName, header, request::Parts},
};
use sha2::{Digest, Sha256};

use crate::http::problem::{ApiError, ApiResult};

/// What people change side by side.
pub trait Versioned {
    /// Another one for each version of it, without quotes.
    fn version(&self) -> String;
}

impl Versioned for Pair {
    fn version(&self) -> String {
        self.revision.to_string()
    }
}

impl Versioned for Quotas {
    fn version(&self) -> String {
        let text = serde_json::json!(self).to_string();
        hex::encode(&Sha256::digest(text)[..8])
    }
}

/// An answer with its strong validator.
pub type Tagged<T> = ([(HeaderName, String); 1], Answer<T>);

/// Answers with something and its validator.
pub fn tagged<T: Versioned>(value: T) -> Tagged<T> {
    ([(header::ETAG, etag(&value))], Answer(value))
}

fn etag(value: &impl Versioned) -> String {
    format!("\"{}\"", value.version())
}

/// The validators that the caller has read; without any, any version will do.
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// Makes sure that this is what the caller has read.
    ///
    /// # Errors
    /// 412 `changed-meanwhile`.
    pub fn check(&self, current: &impl Versioned) -> ApiResult<()> {
        let now = etag(current);
        match &self.0 {
            Some(tags) if !tags.iter().any(|tag| tag == "*" || *tag == now) => Err(ApiError::new(
                ProblemType::ChangedMeanwhile,
                "somebody has changed it since you read it; read it again",
            )),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let mut given = parts.headers.get_all(header::IF_MATCH).iter().peekable();
        if given.peek().is_none() {
            return Ok(Self(None));
        }
        let tags = given
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(|tag| tag.trim().to_owned())
            .collect();
        Ok(Self(Some(tags)))
    }
}
