//! What every route shares: problem documents, extractors, entity tags, repeats,
//! limits, the OpenAPI document and the console. It imports no domain.

pub mod console;
pub mod etag;
pub mod extract;
pub mod idempotency;
pub mod links;
pub mod measure;
pub mod openapi;
pub mod origin;
pub mod other_release;
pub mod problem;
mod problems;
pub mod protect;
pub mod rate_limit;
pub mod reference;
pub mod repeat;

/// Largest request body, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;
