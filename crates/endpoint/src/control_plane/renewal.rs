//! The renewal of an incarnation's keys.

use std::{sync::Arc, time::Duration};

use armour_client::Client;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::chain::{ChainClient, LinkError};

/// How long keys are current.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A dispute ends by then: with people's choice, or both starts.
const DISPUTE: Duration = Duration::from_secs(10 * 60);
/// How long to wait after a renewal that was not signed.
const PAUSE: Duration = Duration::from_secs(60);

/// Until when two starts may be the endpoint: meanwhile no renewal is begun. One that is under
/// way is taken.
#[derive(Default)]
pub struct Dispute(Mutex<Option<Instant>>);

impl Dispute {
    /// Another start wants to be the endpoint.
    pub fn begin(&self) {
        *self.0.lock() = Some(Instant::now() + DISPUTE);
    }

    /// A start was accepted, this one or the other.
    pub fn end(&self) {
        *self.0.lock() = None;
    }

    fn until(&self) -> Option<Instant> {
        self.0.lock().filter(|until| *until > Instant::now())
    }
}

/// Renews keys for as long as the chain goes on.
pub async fn renew_keys(chain: ChainClient, client: Client, dispute: Arc<Dispute>) {
    let mut due = Instant::now() + LIFETIME;
    loop {
        tokio::time::sleep_until(due).await;
        if let Some(until) = dispute.until() {
            due = until;
            continue;
        }
        match chain.renew().await {
            Ok(()) => {
                // The one it has is bound to the earlier key.
                client.forget_token().await;
                tracing::info!("the incarnation's keys are renewed");
                due = Instant::now() + LIFETIME;
            }
            Err(LinkError::Ended(_)) => return,
            Err(error) => {
                tracing::error!(%error, "the incarnation's keys are not renewed yet");
                due = Instant::now() + PAUSE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_api::LinkOutcome;
    use armour_protocol::v2::identity::body::LinkKind;

    use super::*;
    use crate::control_plane::testing::{Answer, ControlPlane, taken};

    #[tokio::test(start_paused = true)]
    async fn keys_are_renewed_each_day_but_not_in_a_dispute() {
        let control_plane =
            ControlPlane::start(|_, asked| Answer::json(&taken(&asked.link(), LinkOutcome::Done)))
                .await;
        let session = control_plane.session();
        let dispute = Arc::new(Dispute::default());
        let (chain, client) = (session.chain.clone(), control_plane.client.clone());
        let renewing = tokio::spawn(renew_keys(chain, client, dispute.clone()));
        let renewals = || control_plane.asked().len();
        tokio::time::sleep(LIFETIME - PAUSE).await;
        assert_eq!(renewals(), 0);
        tokio::time::sleep(2 * PAUSE).await;
        assert_eq!(renewals(), 1);
        assert_eq!(
            control_plane.asked()[0].link().head().kind(),
            LinkKind::Renew
        );
        tokio::time::sleep(LIFETIME - 3 * PAUSE).await;
        dispute.begin();
        tokio::time::sleep(DISPUTE - PAUSE).await;
        assert_eq!(renewals(), 1, "it was due, in a dispute");
        tokio::time::sleep(2 * PAUSE).await;
        assert_eq!(renewals(), 2);
        assert!(!renewing.is_finished());
    }
}
