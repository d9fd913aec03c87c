//! What quotas count.

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Producers and consumers.
    Parties,
    /// Pairs.
    Pairs,
    /// Endpoints that are active and not lost.
    Endpoints,
    /// API tokens that are neither revoked nor expired.
    ApiTokens,
    /// Issuers.
    Issuers,
    /// Webhooks.
    Webhooks,
}

impl Counted {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parties => "producers and consumers",
            Self::Pairs => "pairs",
            Self::Endpoints => "endpoints",
            Self::ApiTokens => "API tokens",
            Self::Issuers => "issuers",
            Self::Webhooks => "webhooks",
        }
    }
}
