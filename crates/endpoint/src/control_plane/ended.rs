//! Why an endpoint's process is of no more use.

use armour_api::ProblemType;
use armour_client::ClientError;
use thiserror::Error;

/// Why an endpoint's process is of no more use. Nothing that it could send would be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ended {
    /// Another start is the endpoint now, or people chose against this one.
    #[error(
        "this start of the endpoint has ended: another took its place, or people chose it \
         (`armour endpoints starts` lists them); if this one should go on, stop the other and \
         start this agent again"
    )]
    Start,
    /// Two hold the endpoint's keys.
    #[error("somebody else holds this endpoint's keys: enrol it anew, in an empty folder")]
    Collided,
    /// The endpoint is admitted no more.
    #[error("this endpoint was revoked: enrol it anew, in an empty folder, with another token")]
    Revoked,
    /// The control plane knows no such endpoint: its database is another one, or an earlier state.
    #[error(
        "the control plane knows no endpoint of these keys, as after a restore of its database: \
         enrol it anew, in an empty folder"
    )]
    Unknown,
    /// A link of its chain is refused for its size, and nothing can be told after it.
    #[error(
        "the control plane, or a proxy before it, refuses a link for its size: this start of the \
         endpoint can tell nothing more"
    )]
    TooLarge,
    /// It left by itself.
    #[error("this endpoint has left")]
    Left,
    /// Its enclave has wiped what it held.
    #[error(
        "a stranger was at the enclave's door: all its bundles are wiped; find out what else \
         runs as this user, then start this agent again"
    )]
    Intruded,
    /// Its keys are gone.
    #[error(
        "the enclave is gone, and this start's keys with it: what it wrote last says why; \
         start this agent again"
    )]
    Enclave,
}

impl Ended {
    /// Whether this refusal is for good.
    pub fn of(error: &ClientError) -> Option<Self> {
        [Self::Start, Self::Collided, Self::Revoked]
            .into_iter()
            .find(|ended| {
                ended
                    .problem()
                    .is_some_and(|problem| error.is(problem.name()))
            })
    }

    /// The control plane's problem that says so.
    pub fn problem(self) -> Option<ProblemType> {
        match self {
            Self::Start => Some(ProblemType::StartEnded),
            Self::Collided => Some(ProblemType::IdentityCollided),
            Self::Revoked => Some(ProblemType::EndpointRevoked),
            Self::Unknown | Self::TooLarge | Self::Left | Self::Intruded | Self::Enclave => None,
        }
    }
}
