//! Where an agent stands: what its supervisor, and whoever calls its ports, is told.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use armour_endpoint::{
    progress::Progress,
    wire::{
        problem::{Ran, Refusal},
        problem_type::ProblemType,
    },
};
use parking_lot::Mutex;

/// What is said of an agent in permissive mode.
const PERMISSIVE: &str = "permissive: calls without protection are passed to the API";

/// Where an agent stands.
pub struct Standing {
    state: Mutex<State>,
    /// Whether it was an endpoint at any time.
    started: Mutex<bool>,
    permissive: AtomicBool,
    progress: Progress,
    /// Whether the control plane has been away for longer than the lease.
    lease_over: Mutex<Box<dyn Fn() -> bool + Send>>,
}

/// What it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It is no endpoint yet, or none again.
    Starting,
    /// It is an endpoint, and may not be called upon yet.
    Open,
    /// It serves: from here on nothing outside of this process takes it back.
    Ready,
    /// It is about to leave.
    Draining,
    /// Its endpoint has ended, and people have to act.
    Out(String),
}

impl Standing {
    /// A start, which waits for what `progress` says.
    pub fn new(progress: Progress) -> Self {
        Self {
            state: Mutex::new(State::Starting),
            started: Mutex::new(false),
            permissive: AtomicBool::new(false),
            progress,
            lease_over: Mutex::new(Box::new(|| false)),
        }
    }

    /// Whether it passes on what comes without protection.
    pub fn is_permissive(&self, is: bool) {
        self.permissive.store(is, Ordering::Relaxed);
    }

    /// What is to be known of it though it is ready.
    pub fn remark(&self) -> Option<&'static str> {
        let is_permissive = self.permissive.load(Ordering::Relaxed);
        is_permissive.then_some(PERMISSIVE)
    }

    /// It begins anew.
    pub fn starting(&self) {
        *self.state.lock() = State::Starting;
    }

    /// It is an endpoint now, whose lease is over when this says so.
    pub fn open(&self, lease_over: impl Fn() -> bool + Send + 'static) {
        *self.lease_over.lock() = Box::new(lease_over);
        *self.started.lock() = true;
        *self.state.lock() = State::Open;
    }

    /// It can be called upon.
    pub fn ready(&self) {
        let mut state = self.state.lock();
        if *state == State::Open {
            *state = State::Ready;
        }
    }

    /// It leaves.
    pub fn draining(&self) {
        *self.state.lock() = State::Draining;
    }

    /// Its endpoint has ended.
    pub fn out(&self, why: impl fmt::Display) {
        *self.state.lock() = State::Out(why.to_string());
    }

    /// Whether it was an endpoint at any time.
    pub fn has_started(&self) -> bool {
        *self.started.lock()
    }

    /// Whether it is ready, with its lease if that counts.
    ///
    /// # Errors
    /// Why not.
    pub fn readiness(&self, with_lease: bool) -> Result<(), String> {
        match &*self.state.lock() {
            State::Starting => return Err(self.waits()),
            State::Open => return Err("no bundle has been assigned to this agent yet".to_owned()),
            State::Draining => return Err("leaving".to_owned()),
            State::Out(why) => return Err(why.clone()),
            State::Ready => {}
        }
        match with_lease && (self.lease_over.lock())() {
            true => Err("the control plane has been away for longer than the lease".to_owned()),
            false => Ok(()),
        }
    }

    /// What whoever calls is told while no endpoint serves.
    pub fn refusal(&self) -> Refusal {
        let refusal = match &*self.state.lock() {
            State::Out(why) => Refusal::new(ProblemType::EndpointEnded, why.clone()),
            State::Draining => Refusal::stopping(),
            _ => Refusal::new(ProblemType::Starting, self.waits()),
        };
        refusal.ran(Ran::No)
    }

    fn waits(&self) -> String {
        match self.progress.told() {
            nothing if nothing.is_empty() => "the agent is starting".to_owned(),
            told => format!("the agent is starting; it waits for {told}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    #[test]
    fn a_start_says_what_it_waits_for() {
        let progress = Progress::default();
        let standing = Standing::new(progress.clone());
        assert!(standing.readiness(false).is_err());
        progress.waits_for("the control plane: connection refused");
        let why = standing.readiness(false).unwrap_err();
        assert!(why.contains("connection refused"), "{why}");
        let refusal = standing.refusal();
        assert_eq!(refusal.problem, ProblemType::Starting);
        assert_eq!((refusal.ran, refusal.detail), (Some(Ran::No), why));
        assert!(!standing.has_started());
    }

    /// Else an outage of the control plane would take every pod out of its Service.
    #[test]
    fn a_lease_that_is_over_makes_no_pod_unready_unless_that_is_wanted() {
        let over = Arc::new(AtomicBool::new(false));
        let standing = Standing::new(Progress::default());
        let watched = over.clone();
        standing.open(move || watched.load(Ordering::Relaxed));
        assert!(standing.readiness(false).is_err(), "it has no bundle");
        standing.ready();
        over.store(true, Ordering::Relaxed);
        assert_eq!(standing.readiness(false), Ok(()));
        assert!(standing.readiness(true).is_err());
        over.store(false, Ordering::Relaxed);
        assert_eq!(standing.readiness(true), Ok(()));
    }

    #[test]
    fn an_agent_in_permissive_mode_says_so_where_it_is_asked_whether_it_is_ready() {
        let standing = Standing::new(Progress::default());
        assert_eq!(standing.remark(), None);
        standing.is_permissive(true);
        assert!(standing.remark().unwrap().starts_with("permissive"));
    }

    #[test]
    fn what_leaves_or_is_out_is_not_ready_again_by_a_late_word() {
        let standing = Standing::new(Progress::default());
        standing.open(|| false);
        standing.draining();
        standing.ready();
        assert!(standing.readiness(false).is_err());
        standing.out("this endpoint was revoked");
        standing.ready();
        let refusal = standing.refusal();
        assert_eq!(refusal.problem, ProblemType::EndpointEnded);
        assert!(refusal.detail.contains("revoked"));
        assert!(standing.has_started());
    }
}
