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
    /// Milliseconds that a call waits where every lane is busy.
    #[serde(default = "lane_wait_ms")]
    pub lane_wait_ms: u64,
    /// Answer HTTP/1.1 with field names in title case.
    #[serde(default)]
    pub title_case_fields: bool,
}

/// How a pair is served, whoever calls.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Reach the producers here instead of at the addresses they enrolled with.
    pub via: Option<String>,
    /// Seconds that a caller waits while a lost exchange is repeated.
    pub retry_for: u64,
    /// Milliseconds that a call waits where every lane is busy.
    pub lane_wait_ms: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            via: None,
            retry_for: thirty(),
            lane_wait_ms: lane_wait_ms(),
        }
    }
}

impl PairSettings {
    /// How the pair is served.
    pub fn manner(&self) -> Manner {
        Manner {
            via: self.via.clone(),
            retry_for: self.retry_for,
            lane_wait_ms: self.lane_wait_ms,
        }
    }

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

/// Milliseconds that a call waits where every lane is busy, if nobody says so.
pub const LANE_WAIT_MS: u64 = 1_000;

fn lane_wait_ms() -> u64 {
    LANE_WAIT_MS
}
