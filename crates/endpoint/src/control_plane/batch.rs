//! What comes within a moment goes into one link.

use std::{future::Future, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// How long the first item waits for others.
const GATHERING: Duration = Duration::from_millis(5);
/// Most items of one batch: as many as a link holds.
const MAX_BATCH: usize = 1024;

/// Items that are gathered, and an outcome for each.
pub struct Batches<I, O> {
    items: mpsc::Sender<(I, oneshot::Sender<O>)>,
    _task: AbortOnDropHandle<()>,
}

impl<I, O> Batches<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
{
    /// Batches that `conclude` gives the outcomes of, in order; one batch at a time.
    pub fn new<F>(conclude: impl Fn(Vec<I>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        let (items, mut gathered) = mpsc::channel(MAX_BATCH);
        let task = tokio::spawn(async move {
            while let Some(first) = gathered.recv().await {
                tokio::time::sleep(GATHERING).await;
                let (mut batch, mut waiting): (Vec<I>, Vec<_>) = std::iter::once(first).unzip();
                while batch.len() < MAX_BATCH
                    && let Ok((item, outcome)) = gathered.try_recv()
                {
                    batch.push(item);
                    waiting.push(outcome);
                }
                let outcomes = conclude(batch).await;
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    // Who asked may have gone.
                    let _ = oneshot::Sender::send(waiting, outcome);
                }
            }
        });
        Self {
            items,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What came of an item; none if `conclude` gave no outcome for it.
    pub async fn add(&self, item: I) -> Option<O> {
        let (outcome, concluded) = oneshot::channel();
        self.items.send((item, outcome)).await.ok()?;
        concluded.await.ok()
    }
}
