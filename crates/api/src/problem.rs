//! What a refusal says.

use std::fmt;

use serde::{Serialize, Serializer};
use strum::{EnumIter, EnumMessage, EnumString, IntoStaticStr};

wire! {
    /// An RFC 9457 problem document.
    pub struct Problem {
        /// Stable identifier of the kind of problem.
        pub r#type: String,
        /// Short summary of the kind.
        pub title: String,
        /// HTTP status.
        pub status: u16,
        /// What was wrong with this request.
        pub detail: String,
        /// The request's id, as in the `x-request-id` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub request_id: Option<String>,
    }
}

impl Problem {
    /// The media type of problem documents.
    pub const MEDIA_TYPE: &str = "application/problem+json";
    /// What the `type` of all of them begins with; the name of the kind follows.
    const URN: &str = "urn:armour:problem:";

    /// A problem of a kind, by its name.
    pub fn new(kind: &str, status: u16, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("{}{kind}", Self::URN),
            title: kind.replace('-', " "),
            status,
            detail: detail.into(),
            request_id: None,
        }
    }

    /// The name of its kind, if it is one of Armour's.
    pub fn kind(&self) -> Option<&str> {
        self.r#type.strip_prefix(Self::URN)
    }
}

/// The kinds of problems that the control plane answers with. A kind's `type` is
/// `urn:armour:problem:` and its name in kebab case; neither changes. The documentation of
/// a variant is the kind's in the OpenAPI document.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    EnumMessage,
    EnumString,
    IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemType {
    /// The request is not understood.
    InvalidRequest,
    /// The body is not what the operation takes.
    InvalidBody,
    /// This browser began no such sign-in, or took too long.
    SignInStale,
    /// No or no valid credentials.
    Unauthenticated,
    /// The access token has expired; ask for another.
    TokenExpired,
    /// The DPoP proof is not valid.
    InvalidDpopProof,
    /// The DPoP proof has to name the nonce that this answer offers.
    UseDpopNonce,
    /// Valid credentials that may not do this.
    Forbidden,
    /// A call of a session that changes something lacks its token.
    Csrf,
    /// The endpoint was revoked.
    EndpointRevoked,
    /// Somebody else holds the endpoint's keys; it is to be enrolled anew.
    IdentityCollided,
    /// Another start of this endpoint lives; people have to choose.
    IdentityInUse,
    /// This start of the endpoint has ended: a later one took its place, or people chose
    /// the other one.
    StartEnded,
    /// Links of the chain are missing before this one, or it is not this chain's.
    NotThisChain,
    /// The tenant has as many as it may.
    OverQuota,
    /// Whoever calls is known, but nothing admits them.
    NotAdmitted,
    /// The issuer refused to sign the person in.
    SignInRefused,
    /// It does not exist, or is another tenant's.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body took too long to arrive.
    SlowBody,
    /// It exists already.
    AlreadyExists,
    /// The pair is disconnected; an operator must re-arm it.
    PairDisconnected,
    /// The pair is not disconnected.
    PairActive,
    /// The producer has no active endpoint yet.
    NoProducer,
    /// All endpoints of the producer that could serve share an address with another one, and are
    /// refused for it.
    AddressShared,
    /// The endpoint holds as many bundles of the pair as it should, or one with each producer's
    /// endpoint that serves: another one takes the place of one of these.
    BundlesEnough,
    /// The endpoint has made a later draw.
    DrawOver,
    /// The ledger holds no such ticket.
    NotRecorded,
    /// The audit log is shorter than what the caller has seen of it.
    LogBehind,
    /// The audit log holds what the head was signed for.
    NothingLost,
    /// An API token has no session.
    NoSession,
    /// The issuer is trusted for people, not for workloads.
    NotForWorkloads,
    /// This version of the master key seals now.
    KeyActive,
    /// Secrets are still under this version of the master key.
    KeyInUse,
    /// The replica has not loaded this version of the master key.
    KeyNotLoaded,
    /// Another rotation is not finished yet.
    RotationRunning,
    /// The first call with this `Idempotency-Key` is still under way.
    IdempotencyKeyPending,
    /// The first call with this `Idempotency-Key` was carried out, but its answer was lost: look
    /// at what it made, and take another key for another call.
    IdempotencyAnswerLost,
    /// The webhook is disabled; enable it first.
    WebhookDisabled,
    /// Somebody has changed it since the caller has read it.
    ChangedMeanwhile,
    /// The body is too large.
    TooLarge,
    /// This `Idempotency-Key` was used for another call.
    IdempotencyKeyReused,
    /// Too many requests.
    RateLimited,
    /// As many event streams are open as may be; close one, or follow them from another
    /// replica.
    TooManyStreams,
    /// The start's keys were renewed less than an hour ago.
    RenewedTooSoon,
    /// Something went wrong on the service's side.
    Internal,
    /// The issuer cannot be used now.
    IssuerUnreachable,
    /// The issuer's answer does not hold.
    SignInFailed,
    /// The database cannot be reached.
    Unavailable,
    /// The database, or what the tenant may use of it at once, is busy: the call waited too long
    /// and was given up. Nothing of it has happened.
    DatabaseBusy,
    /// This replica cannot serve now.
    NotReady,
    /// HTTP itself is used wrongly; the status says how.
    Http,
}

impl ProblemType {
    /// Its name, as in `type`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }

    /// The status that it comes with, if no other is given.
    pub fn status(self) -> u16 {
        self.statuses()[0]
    }

    /// The statuses that it comes with.
    pub fn statuses(self) -> &'static [u16] {
        match self {
            Self::InvalidRequest | Self::SignInStale | Self::Http => &[400],
            Self::InvalidBody => &[400, 415, 422],
            Self::Unauthenticated
            | Self::TokenExpired
            | Self::InvalidDpopProof
            | Self::UseDpopNonce => &[401],
            Self::Forbidden
            | Self::Csrf
            | Self::EndpointRevoked
            | Self::IdentityCollided
            | Self::OverQuota
            | Self::NotAdmitted
            | Self::SignInRefused => &[403],
            Self::NotFound => &[404],
            Self::MethodNotAllowed => &[405],
            Self::SlowBody => &[408],
            Self::AlreadyExists
            | Self::PairDisconnected
            | Self::PairActive
            | Self::NoProducer
            | Self::AddressShared
            | Self::BundlesEnough
            | Self::DrawOver
            | Self::IdentityInUse
            | Self::StartEnded
            | Self::NotThisChain
            | Self::NotRecorded
            | Self::LogBehind
            | Self::NothingLost
            | Self::NoSession
            | Self::NotForWorkloads
            | Self::KeyActive
            | Self::KeyInUse
            | Self::KeyNotLoaded
            | Self::RotationRunning
            | Self::IdempotencyKeyPending
            | Self::IdempotencyAnswerLost
            | Self::WebhookDisabled => &[409],
            Self::ChangedMeanwhile => &[412],
            Self::TooLarge => &[413],
            Self::IdempotencyKeyReused => &[422],
            Self::RateLimited | Self::TooManyStreams | Self::RenewedTooSoon => &[429],
            Self::Internal => &[500],
            Self::IssuerUnreachable | Self::SignInFailed => &[502],
            Self::Unavailable | Self::DatabaseBusy | Self::NotReady => &[503],
        }
    }
}

impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ProblemType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn each_type_is_named_and_documented() {
        for kind in ProblemType::iter() {
            let problem = Problem::new(kind.name(), kind.status(), "");
            assert_eq!(problem.kind(), Some(kind.name()));
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(!kind.meaning().is_empty(), "{kind}");
        }
    }
}
