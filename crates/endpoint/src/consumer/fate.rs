//! What is known of a call that has no answer, what its caller is told, and whether it is
//! made anew.

use armour_api::RetryPolicy;
use armour_protocol::v2::{
    mode::Reason,
    retry::{Fate, MethodClass},
};
use http::Method;

use super::retry_budget::Permit;
use crate::{
    metrics::CutReason,
    wire::{
        problem::{Ran, Refusal},
        problem_type::ProblemType,
    },
};

/// A call that has no answer.
#[derive(Debug)]
pub struct Failure {
    /// What is known of it.
    pub fate: Fate,
    /// What its caller is told.
    pub refusal: Refusal,
    /// Whether the producer may take it if it is asked anew.
    passing: bool,
    /// What it says of the producer's endpoint.
    pub fault: Fault,
    /// Leave to make it a second time, if that has been taken.
    pub permit: Option<Permit>,
}

/// What a failed call says of the producer's endpoint that it was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is the call's own.
    None,
    /// It, or its API, does not do its work.
    Failing,
    /// It has too much to do.
    Busy,
}

impl Failure {
    /// No word of the producer's came.
    pub fn unanswered(fate: Fate) -> Self {
        let refusal = match fate.did_not_run() {
            true => Refusal::new(
                ProblemType::ProducerUnreachable,
                "the producer could not be reached",
            ),
            false => Refusal::new(
                ProblemType::OutcomeUnknown,
                "no answer came; the request may or may not have been served",
            ),
        };
        Self::of(fate, refusal, true).by(Fault::Failing)
    }

    /// The producer never began it.
    pub fn refused(reason: Reason) -> Self {
        let (problem, detail, passing) = match reason {
            Reason::LATE => (
                ProblemType::Late,
                "the request did not reach the API in its time",
                true,
            ),
            Reason::POLICY => (
                ProblemType::Policy,
                "the producer's policy forbids it",
                false,
            ),
            Reason::TOO_LARGE => (ProblemType::TooLarge, "the request is too large", false),
            Reason::API => (
                ProblemType::Upstream,
                "the producer's upstream could not be reached",
                true,
            ),
            Reason::STOPPING => (
                ProblemType::ProducerStopping,
                "the producer is stopping",
                true,
            ),
            Reason::BUSY => (ProblemType::Busy, "the producer is busy", true),
            Reason::LEDGER => (
                ProblemType::NotRecorded,
                "the producer could not have it recorded",
                true,
            ),
            _ => (ProblemType::Refused, "the producer refused it", false),
        };
        let fault = match reason {
            Reason::BUSY => Fault::Busy,
            _ if passing => Fault::Failing,
            _ => Fault::None,
        };
        Self::of(Fate::Refused, Refusal::new(problem, detail), passing).by(fault)
    }

    /// The producer began it, and it broke off.
    pub fn aborted(reason: Reason) -> Self {
        let fault = match reason {
            Reason::API | Reason::TIMEOUT | Reason::CONTENT => Fault::Failing,
            _ => Fault::None,
        };
        Self::of(Fate::Aborted, Refusal::aborted(reason), false).by(fault)
    }

    /// This end has ended its streams.
    pub fn cut(reason: CutReason) -> Self {
        let (problem, detail) = match reason {
            CutReason::Rekey => (
                ProblemType::StreamNotRekeyed,
                "the stream was ended: it was not re-keyed in its time",
            ),
            CutReason::Lease => (
                ProblemType::StreamLeaseExpired,
                "the stream was ended: the control plane has been out of reach for longer than \
                 the pair's lease",
            ),
        };
        Self::of(Fate::Unknown, Refusal::new(problem, detail), false)
    }

    fn of(fate: Fate, refusal: Refusal, passing: bool) -> Self {
        let ran = match fate.did_not_run() {
            true => Ran::No,
            false => Ran::Unknown,
        };
        Self {
            fate,
            refusal: refusal.ran(ran),
            passing,
            fault: Fault::None,
            permit: None,
        }
    }

    fn by(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// It is this end's own doing.
    pub fn by_nobody(self) -> Self {
        self.by(Fault::None)
    }

    /// It may be made a second time, if this is leave to.
    pub fn with(self, permit: Option<Permit>) -> Self {
        Self { permit, ..self }
    }

    /// Whether the call is made anew while its caller waits.
    pub fn may_go_again(&self, method: MethodClass, policy: RetryPolicy) -> bool {
        let idempotent = policy == RetryPolicy::Idempotent;
        self.passing && self.fate.may_go_elsewhere(method, idempotent)
    }
}

/// How a method bears being run twice (RFC 9110, section 9.2).
pub fn class(method: &Method) -> MethodClass {
    match *method {
        Method::PUT | Method::DELETE => MethodClass::Idempotent,
        _ if method.is_safe() => MethodClass::Safe,
        _ => MethodClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_refused_for_now_goes_again_and_says_that_it_did_not_run() {
        for reason in [
            Reason::LATE,
            Reason::BUSY,
            Reason::STOPPING,
            Reason::LEDGER,
            Reason::API,
        ] {
            let failure = Failure::refused(reason);
            assert!(failure.may_go_again(MethodClass::Other, RetryPolicy::Safe));
            assert_eq!(failure.refusal.ran, Some(Ran::No));
        }
        for reason in [Reason::POLICY, Reason::TOO_LARGE] {
            let failure = Failure::refused(reason);
            assert!(!failure.may_go_again(MethodClass::Safe, RetryPolicy::Idempotent));
            assert_eq!(failure.refusal.ran, Some(Ran::No));
        }
    }

    #[test]
    fn what_was_begun_never_goes_again() {
        for reason in [Reason::API, Reason::TIMEOUT, Reason::CALLER] {
            let failure = Failure::aborted(reason);
            assert!(!failure.may_go_again(MethodClass::Safe, RetryPolicy::Idempotent));
            assert_eq!(failure.refusal.ran, Some(Ran::Unknown));
        }
    }

    #[test]
    fn what_may_have_run_goes_again_by_its_method() {
        let unknown = Failure::unanswered(Fate::Unknown);
        let over = Failure::unanswered(Fate::Over);
        assert!(unknown.may_go_again(MethodClass::Safe, RetryPolicy::Safe));
        assert!(!unknown.may_go_again(MethodClass::Idempotent, RetryPolicy::Idempotent));
        assert!(over.may_go_again(MethodClass::Idempotent, RetryPolicy::Idempotent));
        assert!(!over.may_go_again(MethodClass::Idempotent, RetryPolicy::Safe));
        assert!(!over.may_go_again(MethodClass::Other, RetryPolicy::Idempotent));
        assert_eq!(over.refusal.ran, Some(Ran::Unknown));
        let unsent = Failure::unanswered(Fate::NotSent);
        assert!(unsent.may_go_again(MethodClass::Other, RetryPolicy::Safe));
        assert_eq!(unsent.refusal.ran, Some(Ran::No));
    }

    #[test]
    fn methods_are_classed() {
        assert_eq!(class(&Method::GET), MethodClass::Safe);
        assert_eq!(class(&Method::DELETE), MethodClass::Idempotent);
        assert_eq!(class(&Method::POST), MethodClass::Other);
        assert_eq!(class(&Method::PATCH), MethodClass::Other);
    }
}
