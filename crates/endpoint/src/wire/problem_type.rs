//! The kinds of problems that an endpoint answers with.

use http::StatusCode;
use strum::{EnumIter, IntoStaticStr};

/// The kind of a refusal. Its `type` is `urn:armour:problem:` and its name in kebab case;
/// neither changes. `docs/agent.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemType {
    /// The request was begun and broke off.
    Aborted,
    /// What is sealed is not a request in Binary HTTP.
    BinaryHttp,
    /// The caller's body was cut short.
    Body,
    /// The endpoint holds no lanes of the bundle.
    BundleUnknown,
    /// The producer has as much to do as it can.
    Busy,
    /// The message is cut short.
    Cut,
    /// The pair is disconnected.
    Disconnected,
    /// The agent's endpoint has ended, and people have to act.
    EndpointEnded,
    /// The request's target and header fields are too large.
    FieldsTooLarge,
    /// The message comes from nobody who holds the bundle.
    Gate,
    /// The message's head took too long.
    HeadTimeout,
    /// Every lane is busy.
    LanesBusy,
    /// The request did not reach the API in its time, and never will.
    Late,
    /// The control plane has been out of reach for longer than the pair's lease.
    LeaseExpired,
    /// The message is not valid.
    Malformed,
    /// The control plane has granted no bundle in time.
    NoBundle,
    /// Only protected exchanges are served here.
    NotFound,
    /// The ledger could not be asked, or does not take the ticket.
    NotRecorded,
    /// No answer came: the request may or may not have been served.
    OutcomeUnknown,
    /// The producer's policy forbids the request.
    Policy,
    /// The producer is stopping.
    ProducerStopping,
    /// The producer could not be reached at all.
    ProducerUnreachable,
    /// The two agents speak no version of the protocol in common.
    ProtocolVersion,
    /// The producer refused the request for another reason.
    Refused,
    /// The agent has not started yet.
    Starting,
    /// The agent is stopping.
    Stopping,
    /// The control plane has been out of reach for longer than the pair's lease, and the stream
    /// was ended.
    StreamLeaseExpired,
    /// The stream was ended: it was not re-keyed in its time.
    StreamNotRekeyed,
    /// The request's target cannot be read.
    Target,
    /// Another ticket took this one's place.
    TicketConflict,
    /// The lane is not at this ticket.
    TicketElsewhere,
    /// The request or its response is too large.
    TooLarge,
    /// `CONNECT`, and protocol upgrades other than WebSocket, cannot be protected.
    Upgrade,
    /// The upstream could not be reached, or broke off.
    Upstream,
    /// The upstream's response cannot be passed on.
    UpstreamResponse,
    /// The upstream did not answer in time.
    UpstreamTimeout,
}

impl ProblemType {
    /// Its name, as in `type`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The status that it comes with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BinaryHttp
            | Self::Body
            | Self::Cut
            | Self::HeadTimeout
            | Self::Malformed
            | Self::Target => StatusCode::BAD_REQUEST,
            Self::Gate | Self::Policy => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TicketConflict | Self::TicketElsewhere => StatusCode::CONFLICT,
            Self::BundleUnknown => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::FieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ProtocolVersion | Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Self::Aborted
            | Self::OutcomeUnknown
            | Self::ProducerUnreachable
            | Self::Refused
            | Self::StreamLeaseExpired
            | Self::StreamNotRekeyed
            | Self::Upstream
            | Self::UpstreamResponse => StatusCode::BAD_GATEWAY,
            Self::Busy
            | Self::Disconnected
            | Self::EndpointEnded
            | Self::LanesBusy
            | Self::Late
            | Self::LeaseExpired
            | Self::NoBundle
            | Self::NotRecorded
            | Self::ProducerStopping
            | Self::Starting
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn each_type_is_in_the_manual_with_its_status() {
        let manual = include_str!("../../../../docs/agent.md");
        for problem in ProblemType::iter() {
            let row = format!("| {} | `{}` |", problem.status().as_u16(), problem.name());
            assert!(manual.contains(&row), "{row}");
        }
    }
}
