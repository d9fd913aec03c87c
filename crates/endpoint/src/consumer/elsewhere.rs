//! Whether a call that is under way is better made at another producer's endpoint, since this one
//! does not answer.

use std::time::Duration;

use super::{in_flight::Exchange, trouble::Trouble};

/// Whether a call's time to begin is over is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
                // One that has begun may still be answered: its connection may be whole.
                let is_lost = trouble == Trouble::Refused && !self.has_begun();
                if is_lost || self.again.may_go(fate, idempotent) {
                    return;
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
