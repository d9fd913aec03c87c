//! Group commit: calls of one tenant that come while others are under way are
//! gathered, and one transaction serves them all. Nobody waits for company: the first
//! to come goes alone, and whoever comes meanwhile goes together.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::http::problem::{ApiError, ApiResult};

/// Transactions under way for one tenant: while one waits for the disk the other keeps
/// the processor busy. More would make small groups smaller still.
const FLIGHTS: usize = 2;
/// Most of them, where so much waits that groups are large all the same.
const MOST_FLIGHTS: usize = 4;
/// How much that is.
const MUCH: usize = 256;
/// Most of what a group may weigh; a heavier call goes alone.
const MOST_WEIGHT: usize = 8192;

/// What is done for many callers at once.
pub trait Work: Send + Sync + 'static {
    /// What a caller asks.
    type Ask: Send + Sync + 'static;
    /// What it is told.
    type Answer: Send + 'static;

    /// Most calls of a group.
    const MOST_CALLS: usize = 256;

    /// How much of a group a call takes up.
    fn weight(_ask: &Self::Ask) -> usize {
        1
    }

    /// Does it, all or nothing; answers come in the order of what was asked. It must
    /// do no harm to do it again.
    fn run(
        &self,
        tenant: Uuid,
        asks: &[Arc<Self::Ask>],
    ) -> impl Future<Output = ApiResult<Vec<Self::Answer>>> + Send;
}

/// Gathers calls by tenant.
pub struct Gather<W: Work> {
    work: W,
    queues: Mutex<HashMap<Uuid, Queue<W>>>,
}

type Waiting<W> = (
    Arc<<W as Work>::Ask>,
    oneshot::Sender<ApiResult<<W as Work>::Answer>>,
);

struct Queue<W: Work> {
    waiting: VecDeque<Waiting<W>>,
    /// Of all that wait.
    weight: usize,
    flights: usize,
}

impl<W: Work> Gather<W> {
    /// Gathers for this work.
    pub fn new(work: W) -> Arc<Self> {
        Arc::new(Self {
            work,
            queues: Mutex::default(),
        })
    }

    /// Has it done, together with what others ask. It is done even if the caller does
    /// not wait for the answer.
    ///
    /// # Errors
    /// As the work's.
    pub async fn ask(self: &Arc<Self>, tenant: Uuid, ask: W::Ask) -> ApiResult<W::Answer> {
        let (sender, answer) = oneshot::channel();
        let starts = {
            let mut queues = self.lock();
            let queue = queues.entry(tenant).or_insert_with(|| Queue {
                waiting: VecDeque::new(),
                weight: 0,
                flights: 0,
            });
            queue.weight += W::weight(&ask);
            queue.waiting.push_back((Arc::new(ask), sender));
            let most = match queue.weight >= MUCH {
                true => MOST_FLIGHTS,
                false => FLIGHTS,
            };
            let starts = queue.flights < most;
            queue.flights += usize::from(starts);
            starts
        };
        if starts {
            tokio::spawn(self.clone().serve(tenant));
        }
        match answer.await {
            Ok(answer) => answer,
            Err(gone) => Err(ApiError::internal(gone)),
        }
    }

    /// Serves one group after another until nobody waits.
    async fn serve(self: Arc<Self>, tenant: Uuid) {
        while let Some(group) = self.next(tenant) {
            let (asks, senders): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let answers = self.attempt(tenant, &asks).await;
            for (sender, answer) in senders.into_iter().zip(answers) {
                // Whoever has gone does not want it.
                let _gone = sender.send(answer);
            }
        }
    }

    /// The next group; none if nobody waits, and then this flight is over.
    fn next(&self, tenant: Uuid) -> Option<Vec<Waiting<W>>> {
        let mut queues = self.lock();
        let queue = queues.get_mut(&tenant)?;
        let mut group = Vec::new();
        let mut weight = 0;
        while let Some((ask, _)) = queue.waiting.front() {
            weight += W::weight(ask);
            if group.len() == W::MOST_CALLS || (weight > MOST_WEIGHT && !group.is_empty()) {
                break;
            }
            if let Some(first) = queue.waiting.pop_front() {
                queue.weight -= W::weight(&first.0);
                group.push(first);
            }
        }
        if group.is_empty() {
            queue.flights -= 1;
            if queue.flights == 0 {
                queues.remove(&tenant);
            }
            return None;
        }
        Some(group)
    }

    async fn attempt(&self, tenant: Uuid, asks: &[Arc<W::Ask>]) -> Vec<ApiResult<W::Answer>> {
        match self.run(tenant, asks).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            // The same for everybody.
            Err(error) if asks.len() == 1 || error.is_unavailable() => {
                asks.iter().map(|_| Err(error.clone())).collect()
            }
            // One of them is at fault, and the others do not suffer for it.
            Err(_) => {
                let mut answers = Vec::with_capacity(asks.len());
                for ask in asks {
                    let alone = self.run(tenant, std::slice::from_ref(ask)).await;
                    answers.push(alone.and_then(|mut answer| {
                        answer.pop().ok_or_else(|| ApiError::internal("no answer"))
                    }));
                }
                answers
            }
        }
    }

    async fn run(&self, tenant: Uuid, asks: &[Arc<W::Ask>]) -> ApiResult<Vec<W::Answer>> {
        // A panic must not leave the flights miscounted.
        let run = AssertUnwindSafe(self.work.run(tenant, asks)).catch_unwind();
        match run.await {
            Ok(Ok(answers)) if answers.len() == asks.len() => Ok(answers),
            Ok(Ok(_)) => Err(ApiError::internal(
                "another number of answers than of calls",
            )),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApiError::internal("a panic while serving a group of calls")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Queue<W>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

    use std::sync::Mutex;

    use super::*;

    /// Doubles numbers; refuses 13, and panics at 99.
    #[derive(Default)]
    struct Doubles {
        groups: Mutex<Vec<usize>>,
    }

    impl Work for Doubles {
        type Ask = u64;
        type Answer = u64;

        async fn run(&self, _tenant: Uuid, asks: &[Arc<u64>]) -> ApiResult<Vec<u64>> {
            self.groups.lock().unwrap().push(asks.len());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            assert!(asks.iter().all(|ask| **ask != 99), "it panics");
            if asks.iter().any(|ask| **ask == 13) {
                return Err(ApiError::invalid("not 13"));
            }
            Ok(asks.iter().map(|ask| **ask * 2).collect())
        }
    }

    #[tokio::test]
    async fn calls_go_together_and_each_gets_its_own_answer() {
        let gather = Gather::new(Doubles::default());
        let asked = (0..200).map(|n| gather.ask(Uuid::nil(), n));
        let answers = futures::future::join_all(asked).await;
        for (n, answer) in answers.into_iter().enumerate() {
            match n {
                13 => assert!(answer.is_err()),
                99 => assert!(answer.is_err()),
                _ => assert_eq!(answer.unwrap(), n as u64 * 2),
            }
        }
        assert!(*gather.work.groups.lock().unwrap().iter().max().unwrap() > 50);
        assert!(gather.lock().is_empty(), "nobody waits, nothing is kept");
        // After a panic too calls are served.
        assert_eq!(gather.ask(Uuid::nil(), 4).await.unwrap(), 8);
    }
}
