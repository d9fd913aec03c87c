//! How a producer leaves: it says so, serves on until its consumers have moved, and then refuses
//! what still comes, by a signed word that it did not run.

use std::time::Duration;

use armour_api::Phase;

use super::endpoint::ProducerEndpoint;

/// For so long no call may have come before its consumers count as moved.
const QUIET: Duration = Duration::from_secs(1);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// What a producer that leaves waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// Bundles that consumers may call by.
    pub bundles: usize,
    /// Calls under way.
    pub calls: usize,
    /// Since when no call has come.
    pub quiet_for: Duration,
}

impl ProducerEndpoint {
    /// Tells consumers to move, and serves on until they have, for so long at most from when it
    /// was first asked for. `tell` is given what is waited for, now and then.
    pub async fn drain(&self, within: Duration, mut tell: impl FnMut(Awaited)) {
        let since = self.leaving.begin();
        self.session.set_phase(Phase::Draining);
        let moved = async {
            loop {
                let awaited = self.awaited();
                // Who has not called since then has not had the time to hear of it.
                let quiet = awaited.quiet_for.min(since.elapsed());
                if awaited.bundles == 0 || quiet >= QUIET {
                    return;
                }
                tell(awaited);
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = moved => tracing::info!("consumers have moved"),
            () = tokio::time::sleep_until(since + within) => {
                tracing::info!("some consumers may not have moved");
            }
            () = self.leaving.hastened.cancelled() => {}
        }
    }

    /// What it waits for while it leaves.
    pub fn awaited(&self) -> Awaited {
        Awaited {
            bundles: self.bundles.in_use(),
            calls: self.running.len(),
            quiet_for: self.leaving.called.lock().elapsed(),
        }
    }

    /// Begins no more calls, which are refused from here on, and lets those under way end,
    /// for so long at most.
    pub async fn quiesce(&self, within: Duration) {
        self.leaving.begin();
        self.session.set_phase(Phase::Draining);
        self.closed.cancel();
        self.running.close();
        tokio::select! {
            () = self.running.wait() => {}
            () = tokio::time::sleep(within) => tracing::warn!("some calls were still under way"),
            () = self.leaving.hastened.cancelled() => {
                tracing::warn!(calls = self.running.len(), "calls under way are cut");
            }
        }
    }

    /// Nothing is waited for from now on: neither consumers nor calls under way.
    pub fn hasten(&self) {
        self.leaving.hastened.cancel();
    }
}
