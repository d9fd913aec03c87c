//! Whether a call may be tried at another producer endpoint, and what its caller is told.

/// How a call's method bears being run twice (RFC 9110, section 9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodClass {
    /// Safe, such as GET.
    Safe,
    /// Idempotent, such as PUT and DELETE.
    Idempotent,
    /// Any other.
    Other,
}

/// What is known of a call that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No byte of it was sent.
    NotSent,
    /// A receipt says that it was refused.
    Refused,
    /// A receipt says that it was begun and broke off.
    Aborted,
    /// Nothing is known, and it may still begin.
    Unknown,
    /// Nothing is known, but it cannot begin any more for sure.
    Over,
}

impl Fate {
    /// Whether the call may go to another producer endpoint. `idempotent`: the policy says
    /// that methods of that class may.
    pub fn may_go_elsewhere(self, method: MethodClass, idempotent: bool) -> bool {
        match self {
            Self::NotSent | Self::Refused => true,
            _ if method == MethodClass::Safe => true,
            Self::Over => idempotent && method == MethodClass::Idempotent,
            Self::Aborted | Self::Unknown => false,
        }
    }

    /// Whether it is known that the call did not run: `ran: no`, else `ran: unknown`.
    pub fn did_not_run(self) -> bool {
        matches!(self, Self::NotSent | Self::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate::*, MethodClass::*};

    #[test]
    fn nothing_runs_twice_that_must_not() {
        for fate in [NotSent, Refused, Aborted, Unknown, Over] {
            assert!(fate.may_go_elsewhere(Safe, false));
            let sure = fate.did_not_run();
            assert_eq!(fate.may_go_elsewhere(Other, true), sure);
            assert_eq!(fate.may_go_elsewhere(Idempotent, false), sure);
            let over = fate == Over;
            assert_eq!(fate.may_go_elsewhere(Idempotent, true), sure || over);
        }
    }
}
