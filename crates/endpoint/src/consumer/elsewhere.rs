//! Whether a call that is under way is better made at another producer's endpoint, since this one
//! does not answer.

use std::time::Duration;

use armour_protocol::v2::retry::{Fate, MethodClass};

use super::{in_flight::Exchange, trouble::Trouble};

/// Whether a call's time to begin is over is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How a call bears being made a second time.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Its method.
    pub class: MethodClass,
    /// Whether that its caller may send it a second time: its request is here, whole.
    pub is_whole: bool,
}

impl Again {
    /// Whether more can be hoped for than to be told what is known.
    fn may_go(self, fate: Fate, idempotent: bool) -> bool {
        self.is_whole && fate.may_go_elsewhere(self.class, idempotent)
    }
}

impl Exchange {
    /// Waits until its producer does not answer, another one may, and either the call may go
    /// there, or there is nothing to be waited for here: nothing listens any more.
    pub async fn is_better_elsewhere(&self) {
        let bundle = self.bundle();
        let idempotent = bundle.policy.retry == armour_api::RetryPolicy::Idempotent;
        loop {
            let trouble = bundle.standing.troubled().await;
            self.consumer.elsewhere(bundle).await;
            if bundle.standing.trouble() == Some(trouble) {
                let fate = self.fate().await;
                if trouble == Trouble::Refused || self.again.may_go(fate, idempotent) {
                    return;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
