//! How a consumer's pairs are served.

use std::net::SocketAddr;

use serde::Deserialize;
use uuid::Uuid;

/// How one pair is served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSettings {
    /// The pair; may be left out where the consumer has one alone.
    pub pair: Option<Uuid>,
    /// Where the application's HTTP for this pair is taken.
    pub listen: SocketAddr,
    /// Reach the producer here instead of at the address it enrolled with.
    pub via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    #[serde(default = "thirty")]
    pub retry_for: u64,
    /// Answer HTTP/1.1 with field names in title case.
    #[serde(default)]
    pub title_case_fields: bool,
}

impl PairSettings {
    /// Whether going from one to the other needs no new listener and no new bundle.
    pub fn is_as(&self, other: &Self) -> bool {
        self.listen == other.listen
            && self.via == other.via
            && self.title_case_fields == other.title_case_fields
    }
}

fn thirty() -> u64 {
    30
}
