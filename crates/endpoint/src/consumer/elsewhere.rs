//! Whether a call that is under way is better given up here, since its producer's endpoint does
//! not answer: to be made at another one, or to be told what is known.

use std::time::Duration;

use tokio::time::Instant;

use super::{again::Again, in_flight::Exchange, retry_budget::Permit, trouble::Trouble};

/// Whether a call's time to begin is over is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A call that may not be made elsewhere waits for so long for an endpoint that has fallen silent:
/// nothing better is learnt soon. With two looks, and on a busy machine, its caller is told within
/// three seconds.
const SILENT_FOR: Duration = Duration::from_millis(2_200);

/// A call is given up at its producer's endpoint; with the leave to be made elsewhere if it has
/// been taken already.
#[derive(Debug)]
pub struct GivenUp(pub Option<Permit>);

impl Exchange {
    /// Waits until its producer does not answer, another one may, and the call may go there and has
    /// the leave to; or there is nothing to be waited for here: nothing listens any more, or it
    /// has been silent for too long.
    pub async fn is_better_elsewhere(&self) -> GivenUp {
        let bundle = self.bundle();
        let mut was_hopeless = false;
        loop {
            let trouble = bundle.standing.troubled().await;
            self.consumer.elsewhere(bundle).await;
            if bundle.standing.trouble() == Some(trouble) {
                // Before it leaves: without leave to be made anew its answer is still the best
                // that it can have.
                if self.may_leave().await
                    && let Some(permit) = self.consumer.retries.permit()
                {
                    return GivenUp(Some(permit));
                }
                // One that is on a connection may still be answered.
                if trouble == Trouble::Refused && !self.is_connected() {
                    return GivenUp(None);
                }
                // What came while this process stood still is seen before the second look.
                let is_hopeless = trouble == Trouble::Silent && self.is_hopeless().await;
                if is_hopeless && was_hopeless {
                    tracing::debug!(
                        lane = self.lane.number,
                        "a silent producer is not waited for"
                    );
                    return GivenUp(None);
                }
                was_hopeless = is_hopeless;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether it may be made at another endpoint.
    async fn may_leave(&self) -> bool {
        let Again { class, is_whole } = self.again;
        let idempotent = self.bundle().policy.retry == armour_api::RetryPolicy::Idempotent;
        is_whole
            && Instant::now() < self.deadline
            && self.fate().await.may_go_elsewhere(class, idempotent)
    }

    /// Whether its producer has been silent for so long that its caller is told so, who then
    /// knows that it does not begin any more. One whose request is sent as it comes is not.
    async fn is_hopeless(&self) -> bool {
        let silence = self.bundle().standing.silence();
        self.upload.is_none()
            && self.since.elapsed() >= SILENT_FOR
            && silence.is_some_and(|silence| silence >= SILENT_FOR)
            && self.is_decided().await
    }
}
