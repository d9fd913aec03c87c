//! Why a call failed, by a code that does not change.

use armour_protocol::v2::{
    enclave::producer::{NotAccepted, OpeningError},
    error::{HeadError, LaneError, LanesError},
    identity::{IdentityError, peer::PeerError},
};

/// A failed call's code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) &'static str);

impl From<HeadError> for Failed {
    fn from(error: HeadError) -> Self {
        Self(match error {
            HeadError::Malformed => "malformed",
            HeadError::Version => "version",
            HeadError::Suite => "suite",
            HeadError::Address => "address",
            HeadError::Gate => "gate",
            HeadError::Signature => "signature",
            HeadError::Unexpected => "unexpected",
            HeadError::ForeignCheckpoint => "foreign-checkpoint",
            HeadError::Mode => "mode",
            HeadError::KeyShare => "key-share",
            HeadError::KeyCommitment => "key-commitment",
        })
    }
}

impl From<LaneError> for Failed {
    fn from(error: LaneError) -> Self {
        Self(match error {
            LaneError::Exhausted => "exhausted",
            LaneError::KeyShare => "key-share",
            LaneError::LogHead => "log-head",
            LaneError::Checkpoint => "checkpoint",
            LaneError::ForeignCheckpoint => "foreign-checkpoint",
            LaneError::Conclusion => "conclusion",
            LaneError::NotFinal => "not-final",
            LaneError::Rekeying => "rekeying",
            LaneError::NoStream => "no-stream",
        })
    }
}

impl From<LanesError> for Failed {
    fn from(error: LanesError) -> Self {
        Self(match error {
            LanesError::Busy => "busy",
            LanesError::UsedUp => "used-up",
            LanesError::Used => "used",
            LanesError::Ahead => "ahead",
        })
    }
}

impl From<NotAccepted> for Failed {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Invalid(error) => error.into(),
            NotAccepted::Stands(_) => Self("not-next"),
        }
    }
}

impl From<OpeningError> for Failed {
    fn from(error: OpeningError) -> Self {
        match error {
            OpeningError::Lanes(error) => error.into(),
            OpeningError::Ticket(error) => error.into(),
            OpeningError::Answer(error) => error.into(),
        }
    }
}

impl From<IdentityError> for Failed {
    fn from(error: IdentityError) -> Self {
        Self(match error {
            IdentityError::Malformed => "malformed",
            IdentityError::Version => "version",
            IdentityError::Signature => "signature",
            IdentityError::Party => "party",
            IdentityError::Subject => "subject",
            IdentityError::Expired => "expired",
            IdentityError::TooLarge => "too-large",
        })
    }
}

impl From<PeerError> for Failed {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Invalid(error) => error.into(),
            PeerError::Earlier { .. } => Self("earlier-start"),
            PeerError::Copied => Self("peer-copied"),
        }
    }
}
