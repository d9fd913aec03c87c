//! The kinds of problems that an endpoint answers with.

use std::borrow::Cow;

use http::StatusCode;
use strum::{EnumIter, IntoStaticStr};

/// The kind of a refusal. Its `type` is `urn:armour:problem:` and its name in kebab case;
/// neither changes. `docs/agent.md` lists them.
#[derive(Debug, Clone, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ProblemType {
    /// The request was cut short on its way, and the producer has aborted it.
    Aborted,
    /// There is no such lane.
    Address,
    /// What is sealed is not a request in Binary HTTP.
    BinaryHttp,
    /// The caller's body was cut short.
    Body,
    /// The bundle was disconnected.
    BundleDisconnected,
    /// The bundle was superseded.
    BundleSuperseded,
    /// The endpoint holds no lanes of the bundle.
    BundleUnknown,
    /// The control plane cannot be asked about the bundle now.
    ControlPlane,
    /// The message is cut short.
    Cut,
    /// The pair has no bundle: it is disconnected, or none came in time.
    Disconnected,
    /// The request's target and header fields are too large.
    FieldsTooLarge,
    /// The message's head took too long.
    HeadTimeout,
    /// Every lane is busy.
    LanesBusy,
    /// The control plane has been out of reach for longer than the pair's lease.
    LeaseExpired,
    /// Only protected exchanges are served here.
    NotFound,
    /// The ledger does not take the ticket.
    NotRecorded,
    /// A lane's opening exchange has to be empty.
    Opening,
    /// The exchange could not be concluded: the request may or may not have been served.
    OutcomeUnknown,
    /// The agent is stopping.
    Stopping,
    /// The request's target cannot be read.
    Target,
    /// Another ticket took this one's place.
    TicketConflict,
    /// The lane is not at this ticket.
    TicketElsewhere,
    /// Protocol upgrades cannot be protected.
    Upgrade,
    /// The upstream could not be reached, or broke off.
    Upstream,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The message is not valid: an error of the protocol, by its code.
    #[strum(disabled)]
    Protocol(Cow<'static, str>),
}

impl ProblemType {
    /// Its name, as in `type`.
    pub fn name(&self) -> &str {
        match self {
            Self::Protocol(code) => code,
            named => named.into(),
        }
    }

    /// Its name, to be kept.
    pub fn into_name(self) -> Cow<'static, str> {
        match self {
            Self::Protocol(code) => code,
            named => Cow::Borrowed(named.into()),
        }
    }

    /// The status that it comes with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Address
            | Self::BinaryHttp
            | Self::Body
            | Self::Cut
            | Self::HeadTimeout
            | Self::Opening
            | Self::Protocol(_)
            | Self::Target => StatusCode::BAD_REQUEST,
            Self::BundleDisconnected | Self::BundleSuperseded => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TicketConflict | Self::TicketElsewhere => StatusCode::CONFLICT,
            Self::BundleUnknown => StatusCode::GONE,
            Self::FieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
            Self::Aborted | Self::OutcomeUnknown | Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::ControlPlane
            | Self::Disconnected
            | Self::LanesBusy
            | Self::LeaseExpired
            | Self::NotRecorded
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
