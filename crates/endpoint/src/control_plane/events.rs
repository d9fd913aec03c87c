//! What the control plane tells an endpoint as it happens.

use std::sync::Arc;

use armour_api::{Event, EventKind};
use armour_client::ClientError;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{ended::Ended, presence, session::Session, watcher::Watcher};
use crate::backoff::Backoff;

/// How many events wait for a role that is busy with earlier ones.
const MAX_WAITING: usize = 1024;

impl Session {
    /// Follows events for ever; after each reconnection a heartbeat tells what was missed.
    pub async fn follow(self: Arc<Self>, watcher: Arc<impl Watcher>) {
        let (told, mut waiting) = mpsc::channel(MAX_WAITING);
        tokio::join!(self.read_events(told), async {
            while let Some(event) = waiting.recv().await {
                watcher.event(event).await;
            }
        });
    }

    async fn read_events(&self, told: mpsc::Sender<Event>) {
        let mut last = None;
        let mut backoff = Backoff::default();
        loop {
            match self.client().events("/v1/endpoint/events", last).await {
                Ok(events) => {
                    self.heartbeat_now();
                    backoff = Backoff::default();
                    futures::pin_mut!(events);
                    while let Some(event) = events.next().await {
                        last = Some(event.seq);
                        self.read_event(&event);
                        if told.try_send(event).is_err() {
                            // What it says of bundles comes with the heartbeat as well.
                            self.heartbeat_now();
                        }
                    }
                }
                Err(ClientError::Proof(_)) => return,
                Err(error) => {
                    tracing::warn!(%error, "no events");
                    if Ended::of(&error).is_some() {
                        // The chain's answer is what counts.
                        self.heartbeat_now();
                    }
                }
            }
            backoff.wait().await;
        }
    }

    /// What concerns the endpoint itself; it waits behind nothing.
    fn read_event(&self, event: &Event) {
        if event.endpoint_id != Some(self.identity.id) {
            return;
        }
        match event.known_kind() {
            Some(EventKind::EndpointPresenceAsked) => {
                if let Some(signer) = &self.signer {
                    presence::answer(self.client().clone(), signer.clone(), self.identity, event);
                }
            }
            Some(EventKind::EndpointInUse) => {
                tracing::error!("ANOTHER PROCESS WANTS TO BE THIS ENDPOINT: people have to choose");
                self.dispute.begin();
            }
            Some(EventKind::EndpointStarted) => self.dispute.end(),
            Some(EventKind::EndpointCollided | EventKind::EndpointRevoked) => self.heartbeat_now(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use armour_api::BundleStatus;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use parking_lot::Mutex;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::control_plane::{
        dead::Dead,
        testing::{Answer, ControlPlane, event},
    };

    /// Takes one event, for ever.
    #[derive(Default)]
    struct Busy(Mutex<Vec<i64>>);

    impl Watcher for Busy {
        fn bundles(&self) -> Vec<Uuid> {
            Vec::new()
        }

        fn heartbeat_interval(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn lease(&self) -> Duration {
            Duration::from_secs(60)
        }

        async fn status(&self, _: BundleStatus) {}

        async fn dead(&self, _: Dead) {}

        async fn event(&self, event: Event) {
            self.0.lock().push(event.seq);
            std::future::pending().await
        }
    }

    /// Control planes may be a release ahead of their agents.
    #[tokio::test(start_paused = true)]
    async fn an_event_of_a_kind_that_is_not_known_is_skipped_and_the_next_one_taken() {
        let (told, mut answered) = tokio::sync::mpsc::unbounded_channel();
        let control_plane = ControlPlane::start(move |before, asked| match &asked.path[..] {
            "/v1/endpoint/events" if before == 0 => Answer::Events(vec![
                event(1, "endpoint.of-a-later-release", json!({ "of": [1, 2] })),
                event(
                    2,
                    "endpoint.presence-asked",
                    json!({ "start": STANDARD.encode([7; 32]), "news": true }),
                ),
            ]),
            "/v1/endpoint/presence" => {
                let _ = told.send(());
                Answer::Json(json!(null))
            }
            _ => Answer::Lost,
        })
        .await;
        let following = tokio::spawn(control_plane.session().follow(Arc::new(Busy::default())));
        let waited = tokio::time::timeout(Duration::from_secs(60), answered.recv()).await;
        assert_eq!(waited, Ok(Some(())));
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_presence_waits_behind_nothing() {
        let (told, mut answered) = tokio::sync::mpsc::unbounded_channel();
        let control_plane = ControlPlane::start(move |before, asked| match &asked.path[..] {
            "/v1/endpoint/events" if before == 0 => Answer::Events(vec![
                event(1, "bundle.minted", json!({})),
                event(
                    2,
                    "endpoint.presence-asked",
                    json!({ "start": STANDARD.encode([7; 32]) }),
                ),
            ]),
            "/v1/endpoint/presence" => {
                let _ = told.send(());
                Answer::Json(json!(null))
            }
            _ => Answer::Lost,
        })
        .await;
        let busy = Arc::new(Busy::default());
        let following = tokio::spawn(control_plane.session().follow(busy.clone()));
        let waited = tokio::time::timeout(Duration::from_secs(60), answered.recv()).await;
        assert_eq!(waited, Ok(Some(())));
        assert_eq!(*busy.0.lock(), [1], "the role is busy with the first event");
        following.abort();
    }
}
