//! Who acts, as the audit log names them.

use uuid::Uuid;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The platform's administrator.
    Platform,
    /// The service itself.
    Service,
    /// Somebody of whom nothing is known.
    Anonymous,
    /// The holder of an API token.
    Token(Uuid),
    /// A person who signed in with an issuer.
    Person { issuer: Uuid, subject: String },
    /// An endpoint.
    Endpoint(Uuid),
    /// The holder of an enrolment token.
    Enrolment(Uuid),
    /// A workload that an issuer vouches for.
    Workload { issuer: Uuid, subject: String },
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Service => f.write_str("service"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Person { issuer, subject } => write!(f, "person:{issuer}:{subject}"),
            Self::Endpoint(id) => write!(f, "endpoint:{id}"),
            Self::Enrolment(id) => write!(f, "enrolment:{id}"),
            Self::Workload { issuer, subject } => write!(f, "workload:{issuer}:{subject}"),
        }
    }
}
