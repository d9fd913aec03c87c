//! How a producer's agent leaves, over all of its lives.

use std::{future::Future, sync::Arc, time::Duration};

use armour_endpoint::{
    listening::DRAIN,
    producer::{draining::Awaited, endpoint::ProducerEndpoint},
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{control_socket::Leave, standing::Standing};

/// Leaves once, whoever asks and however often: the socket, and SIGTERM.
pub struct Leaver {
    standing: Arc<Standing>,
    within: Duration,
    producer: Mutex<Option<Arc<ProducerEndpoint>>>,
    /// Cancelled once it was asked to: from then on no life begins.
    asked: CancellationToken,
}

impl Leaver {
    /// Nobody has asked yet. Consumers may take so long to move.
    pub fn new(standing: Arc<Standing>, within: Duration) -> Self {
        Self {
            standing,
            within,
            producer: Mutex::new(None),
            asked: CancellationToken::new(),
        }
    }

    /// This is the endpoint that would leave, or there is none.
    pub fn set(&self, producer: Option<Arc<ProducerEndpoint>>) {
        *self.producer.lock() = producer;
    }

    /// Whether it was asked to.
    pub fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// What leads to another life, unless the agent is asked to leave, or to stop, before: a life
    /// that began then would be given bundles, and be killed with them.
    pub async fn unless_asked<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.asked.cancelled() => {
                tracing::info!("asked to leave: no further life begins");
                self.standing.draining();
                None
            }
            done = what => Some(done),
        }
    }
}

impl Leave for Leaver {
    async fn leave(&self, tell: watch::Sender<Option<Awaited>>) -> String {
        self.asked.cancel();
        self.standing.draining();
        let producer = self.producer.lock().clone();
        let Some(producer) = producer else {
            return "there is no endpoint that could leave, and none begins any more".to_owned();
        };
        let told = |awaited| {
            tell.send_replace(Some(awaited));
        };
        producer.drain(self.within, told).await;
        producer.quiesce(DRAIN).await;
        match producer.calls() {
            0 => "consumers have moved, and no call is under way".to_owned(),
            some => format!("{some} calls are still under way"),
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_endpoint::progress::Progress;

    use super::*;

    /// A pod that is being deleted would open again, be drawn to, and be killed seconds later.
    #[tokio::test]
    async fn no_life_begins_once_a_drain_has_been_asked_for() {
        let standing = Arc::new(Standing::new(Progress::default()));
        let leaver = Arc::new(Leaver::new(standing.clone(), Duration::ZERO));
        assert_eq!(leaver.unless_asked(async { 1 }).await, Some(1));
        let opening = tokio::spawn({
            let leaver = leaver.clone();
            async move { leaver.unless_asked(std::future::pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        let told = leaver.leave(watch::Sender::new(None)).await;
        assert!(told.contains("no endpoint"), "{told}");
        assert_eq!(opening.await.unwrap(), None);
        // Its endpoint ends meanwhile, and would begin anew.
        standing.starting();
        assert_eq!(leaver.unless_asked(async { 2 }).await, None);
        assert_eq!(standing.readiness(false), Err("leaving".to_owned()));
    }
}
