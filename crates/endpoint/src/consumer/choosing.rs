//! Which of the bundles that a pair is served by a call takes.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    bundle::{Bundle, Kind},
    choice, ejection,
    pair::ConsumerPair,
    serving::Why,
    standing::Phase,
};
use crate::wire::{problem::Refusal, problem_type::ProblemType};

/// Whether another endpoint is called again is looked at so often by who waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl ConsumerPair {
    /// Serves by this bundle, in place of another one if it is given.
    pub(super) fn serve_by(&self, bundle: Arc<Bundle>, before: Option<Uuid>) {
        {
            let mut serving = self.serving.lock();
            serving.bundles.retain(|one| Some(one.id) != before);
            serving.bundles.push(bundle);
            serving.why = Why::Waiting;
        }
        self.changed.notify_waiters();
    }

    /// Serves by this bundle no more.
    pub(super) fn serve_without(&self, id: Uuid) {
        self.serving.lock().bundles.retain(|one| one.id != id);
        self.changed.notify_waiters();
    }

    /// There is no bundle, for this reason.
    pub(super) fn is_without(&self, why: Why) {
        let was = std::mem::replace(&mut self.serving.lock().why, why);
        // Waiters on `changed` include who draws while the pair is disconnected.
        if was != why {
            self.changed.notify_waiters();
        }
    }

    /// The bundles in use.
    pub fn serving(&self) -> Vec<Arc<Bundle>> {
        self.serving.lock().bundles.clone()
    }

    /// One of the bundles in use, if there is any.
    pub fn current(&self) -> Option<Arc<Bundle>> {
        self.serving.lock().bundles.first().cloned()
    }

    /// The bundles in use, as soon as there are any. A pair that is known to be disconnected is
    /// refused at once.
    pub(super) async fn bundles(&self, until: Instant) -> Result<Vec<Arc<Bundle>>, Refusal> {
        loop {
            if self.closing.is_cancelled() {
                return Err(Refusal::stopping());
            }
            let changed = self.changed.notified();
            let why = {
                let serving = self.serving.lock();
                let living = serving.bundles.iter();
                // Who has signed that it takes no more calls is not asked.
                let living = living.filter(|bundle| {
                    !bundle.dead.is_cancelled() && bundle.standing.phase() != Phase::Stopped
                });
                let living: Vec<_> = living.cloned().collect();
                if !living.is_empty() {
                    return Ok(living);
                }
                serving.why
            };
            if why == Why::Disconnected {
                return Err(disconnected());
            }
            tokio::select! {
                () = changed => {}
                () = self.closing.cancelled() => {}
                () = tokio::time::sleep_until(until) => return Err(Refusal::new(
                    ProblemType::NoBundle,
                    "the control plane has granted no bundle yet",
                )),
            }
        }
    }

    /// Whether another endpoint than these may be expected to answer.
    pub(super) fn is_elsewhere(&self, than: &[Uuid]) -> bool {
        let serving = self.serving.lock();
        serving.bundles.iter().any(|bundle| {
            let standing = &bundle.standing;
            !bundle.dead.is_cancelled()
                && !than.contains(&standing.producer)
                && standing.phase() == Phase::Serving
                && standing.trouble().is_none()
        })
    }

    /// Waits until another endpoint than a bundle's may be expected to answer.
    pub(super) async fn elsewhere(&self, than: &Bundle) {
        while !self.is_elsewhere(&[than.standing.producer]) {
            let changed = self.changed.notified();
            // One that was left out is called again without notice.
            let _ = tokio::time::timeout(LOOK_AGAIN, changed).await;
        }
    }

    /// Whether there are several endpoints, and all of them are left out: then nothing is made a
    /// second time.
    pub(super) fn all_fail(&self) -> bool {
        let serving = self.serving.lock();
        let mut bundles = serving.bundles.iter();
        bundles.len() > 1 && bundles.all(|bundle| bundle.standing.trouble().is_some())
    }

    /// The bundle for a call, of those given: not one whose endpoint leaves, has no API, or is
    /// left out, nor one that the call was at before, as long as there are others; and one with
    /// a lane free. None if no lane is.
    pub(super) fn choose(
        &self,
        bundles: &[Arc<Bundle>],
        before: &[Uuid],
        kind: Kind,
    ) -> Option<Arc<Bundle>> {
        let free: Vec<_> = bundles.iter().filter(|one| one.has_room(kind)).collect();
        let free = preferred(free, |one| !before.contains(&one.standing.producer));
        let free = preferred(free, |one| one.standing.phase() != Phase::Leaving);
        let free = preferred(free, |one| one.standing.phase() == Phase::Serving);
        let out: Vec<_> = free.iter().map(|one| one.standing.out_until()).collect();
        let admitted = ejection::admitted(&out);
        let candidates: Vec<_> = admitted
            .iter()
            .map(|&at| free[at].standing.candidate(free[at].busy()))
            .collect();
        let below = |n: usize| {
            let drawn = u32::from_be_bytes(self.random.bytes());
            drawn as usize % n
        };
        let chosen = choice::choose(&candidates, below)?;
        Some(free[admitted[chosen]].clone())
    }
}

/// Those for which this holds, or all if it holds for none.
fn preferred(bundles: Vec<&Arc<Bundle>>, holds: impl Fn(&Bundle) -> bool) -> Vec<&Arc<Bundle>> {
    match bundles.iter().any(|one| holds(one)) {
        true => bundles.into_iter().filter(|one| holds(one)).collect(),
        false => bundles,
    }
}

fn disconnected() -> Refusal {
    Refusal::new(
        ProblemType::Disconnected,
        "the pair is disconnected; an operator must re-arm it",
    )
}
