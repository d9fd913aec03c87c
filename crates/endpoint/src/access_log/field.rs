//! What can be written of a call. Names follow OpenTelemetry's semantic conventions for HTTP where
//! those have one; `docs/agent.md` lists all of them. Fields that carry credentials
//! (`Authorization`, cookies) are none of these.

use std::str::FromStr;

use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
pub enum Field {
    /// When the call began, in UTC.
    #[strum(serialize = "timestamp")]
    Timestamp,
    /// The trace's id.
    #[strum(serialize = "trace_id")]
    TraceId,
    /// The caller's `X-Request-Id`.
    #[strum(serialize = "http.request.header.x-request-id")]
    RequestId,
    /// Whose agent writes.
    #[strum(serialize = "armour.side")]
    Side,
    /// Whether the call was protected.
    #[strum(serialize = "armour.protected")]
    Protected,
    /// The pair.
    #[strum(serialize = "armour.pair.id")]
    Pair,
    /// The bundle.
    #[strum(serialize = "armour.bundle.id")]
    Bundle,
    /// The lane within it.
    #[strum(serialize = "armour.lane")]
    Lane,
    /// The exchange's number within the lane: both agents write the same.
    #[strum(serialize = "armour.ticket")]
    Ticket,
    /// The endpoint at the other end.
    #[strum(serialize = "armour.peer.endpoint.id")]
    Peer,
    /// Where a consumer reached it.
    #[strum(serialize = "armour.peer.address")]
    Address,
    /// The method.
    #[strum(serialize = "http.request.method")]
    Method,
    /// The path, without the query.
    #[strum(serialize = "url.path")]
    Path,
    /// The query, which may hold secrets.
    #[strum(serialize = "url.query")]
    Query,
    /// The caller's version of HTTP.
    #[strum(serialize = "network.protocol.version")]
    Version,
    /// The caller's `User-Agent`.
    #[strum(serialize = "user_agent.original")]
    UserAgent,
    /// The status of the answer.
    #[strum(serialize = "http.response.status_code")]
    Status,
    /// The kind of an agent's own refusal.
    #[strum(serialize = "error.type")]
    Problem,
    /// Whether a refused call ran.
    #[strum(serialize = "armour.ran")]
    Ran,
    /// How the answer ended.
    #[strum(serialize = "armour.ended")]
    Ended,
    /// Bytes of the request's content.
    #[strum(serialize = "http.request.body.size")]
    RequestBytes,
    /// Bytes of the answer's content.
    #[strum(serialize = "http.response.body.size")]
    ResponseBytes,
    /// Seconds from the call's arrival to its end.
    #[strum(serialize = "http.server.request.duration")]
    Duration,
    /// Seconds until the head of the API's, or the producer's, answer.
    #[strum(serialize = "armour.upstream.duration")]
    UpstreamDuration,
    /// The status that it had.
    #[strum(serialize = "armour.upstream.status_code")]
    UpstreamStatus,
    /// How often the call was made anew.
    #[strum(serialize = "http.request.resend_count")]
    Retries,
}

impl Field {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What is written unless others are chosen: all but what may hold secrets or is long.
    pub fn usual() -> Vec<Self> {
        Self::iter()
            .filter(|field| !matches!(field, Self::Query | Self::UserAgent))
            .collect()
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let name = name.trim();
        Self::iter()
            .find(|field| field.name() == name)
            .ok_or_else(|| {
                let all: Vec<&str> = Self::iter().map(Self::name).collect();
                format!("there is no field `{name}`; there are {}", all.join(", "))
            })
    }
}
