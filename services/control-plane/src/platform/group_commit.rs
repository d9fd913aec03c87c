//! Group commit: calls of one tenant that come while others are under way are
//! gathered, and one transaction serves them all. Nobody waits for company, unless the operation
//! says so: the first to come goes alone, and whoever comes meanwhile goes together.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use armour_api::ProblemType;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::http::{
    problem::{ApiError, ApiResult},
    repeat::MAX_REPEATS,
};

/// Transactions under way for one tenant: while one waits for the disk the other keeps
/// the processor busy. More would make small groups smaller still.
const MAX_IN_FLIGHT: usize = 2;
/// Most of them, where so much waits that groups are large all the same.
const MAX_IN_FLIGHT_BUSY: usize = 4;
/// How much that is.
const BUSY_WEIGHT: usize = 256;
/// What is done for many callers at once.
pub trait BatchOperation: Send + Sync + 'static {
    /// What a caller asks for.
    type Request: Send + Sync + 'static;
    /// What it is told.
    type Answer: Send + 'static;

    /// Most calls of a group.
    const MAX_CALLS: usize = 256;
    /// Most of what a group may weigh; a heavier call goes alone.
    const MAX_WEIGHT: usize = 8192;
    /// How long the first to come waits for company.
    const LINGER: Duration = Duration::ZERO;

    /// How much of a group a call takes up.
    fn weight(_request: &Self::Request) -> usize {
        1
    }

    /// Does it, all or nothing; answers come in the order of what was asked. It must
    /// do no harm to do it again.
    fn run(
        &self,
        tenant: Uuid,
        requests: &[Arc<Self::Request>],
    ) -> impl Future<Output = ApiResult<Vec<Self::Answer>>> + Send;
}

/// Gathers calls by tenant.
pub struct GroupCommit<W: BatchOperation> {
    operation: W,
    queues: Mutex<HashMap<Uuid, Queue<W>>>,
}

type Waiting<W> = (
    Arc<<W as BatchOperation>::Request>,
    oneshot::Sender<ApiResult<<W as BatchOperation>::Answer>>,
);

struct Queue<W: BatchOperation> {
    waiting: VecDeque<Waiting<W>>,
    /// Of all that wait.
    weight: usize,
    in_flight: usize,
    /// Whether one of those in flight waits for company still: whoever comes is that.
    lingers: bool,
}

impl<W: BatchOperation> GroupCommit<W> {
    /// Gathers for this operation.
    pub fn new(operation: W) -> Arc<Self> {
        Arc::new(Self {
            operation,
            queues: Mutex::default(),
        })
    }

    /// Has it done, together with what others ask for. It is done even if the caller does
    /// not wait for the answer.
    ///
    /// # Errors
    /// As the operation's.
    pub async fn submit(
        self: &Arc<Self>,
        tenant: Uuid,
        request: W::Request,
    ) -> ApiResult<W::Answer> {
        let (sender, answer) = oneshot::channel();
        let starts = {
            let mut queues = self.queues.lock();
            let queue = queues.entry(tenant).or_insert_with(|| Queue {
                waiting: VecDeque::new(),
                weight: 0,
                in_flight: 0,
                lingers: false,
            });
            queue.weight += W::weight(&request);
            queue.waiting.push_back((Arc::new(request), sender));
            let limit = match queue.weight >= BUSY_WEIGHT {
                true => MAX_IN_FLIGHT_BUSY,
                false => MAX_IN_FLIGHT,
            };
            let starts = queue.in_flight < limit && !queue.lingers;
            queue.in_flight += usize::from(starts);
            queue.lingers |= starts && !W::LINGER.is_zero();
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
        if !W::LINGER.is_zero() {
            tokio::time::sleep(W::LINGER).await;
            if let Some(queue) = self.queues.lock().get_mut(&tenant) {
                queue.lingers = false;
            }
        }
        while let Some(group) = self.next(tenant) {
            let (requests, senders): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            let answers = self.attempt(tenant, &requests).await;
            for (sender, answer) in senders.into_iter().zip(answers) {
                // Whoever has gone does not want it.
                let _gone = sender.send(answer);
            }
        }
    }

    /// The next group; none if nobody waits, and then nothing of this line is under way any more.
    fn next(&self, tenant: Uuid) -> Option<Vec<Waiting<W>>> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(&tenant)?;
        let mut group = Vec::new();
        let mut weight = 0;
        while let Some((request, _)) = queue.waiting.front() {
            weight += W::weight(request);
            if group.len() == W::MAX_CALLS || (weight > W::MAX_WEIGHT && !group.is_empty()) {
                break;
            }
            if let Some(first) = queue.waiting.pop_front() {
                queue.weight -= W::weight(&first.0);
                group.push(first);
            }
        }
        if group.is_empty() {
            queue.in_flight -= 1;
            if queue.in_flight == 0 {
                queues.remove(&tenant);
            }
            return None;
        }
        Some(group)
    }

    async fn attempt(
        &self,
        tenant: Uuid,
        requests: &[Arc<W::Request>],
    ) -> Vec<ApiResult<W::Answer>> {
        let mut done = self.run(tenant, requests).await;
        for _ in 0..MAX_REPEATS {
            match &done {
                Err(error) if error.is_conflict() => done = self.run(tenant, requests).await,
                _ => break,
            }
        }
        match done {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if requests.len() == 1 => vec![Err(error)],
            // The same for everybody.
            Err(error) if error.kind() == ProblemType::Unavailable => {
                requests.iter().map(|_| Err(error.clone())).collect()
            }
            // One of them is at fault, and the others do not suffer for it.
            Err(_) => {
                let mut answers = Vec::with_capacity(requests.len());
                let mut busy = Vec::new();
                for request in requests {
                    let alone = match busy.get(1) {
                        // For two of them already: it is not theirs.
                        Some(error) => Err(ApiError::clone(error)),
                        None => self.run(tenant, std::slice::from_ref(request)).await,
                    };
                    let is_busy = |error: &&ApiError| error.kind() == ProblemType::DatabaseBusy;
                    busy.extend(alone.as_ref().err().filter(is_busy).cloned());
                    answers.push(alone.and_then(|mut answer| {
                        answer.pop().ok_or_else(|| ApiError::internal("no answer"))
                    }));
                }
                answers
            }
        }
    }

    async fn run(&self, tenant: Uuid, requests: &[Arc<W::Request>]) -> ApiResult<Vec<W::Answer>> {
        // A panic must not leave what is in flight miscounted.
        let run = AssertUnwindSafe(self.operation.run(tenant, requests)).catch_unwind();
        match run.await {
            Ok(Ok(answers)) if answers.len() == requests.len() => Ok(answers),
            Ok(Ok(_)) => Err(ApiError::internal(
                "another number of answers than of calls",
            )),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApiError::internal("a panic while serving a group of calls")),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    /// From here on the database is busy.
    const BUSY: u64 = 1_000;

    /// Doubles numbers; refuses 13, and panics at 99.
    #[derive(Default)]
    struct Doubles {
        groups: Mutex<Vec<usize>>,
    }

    impl BatchOperation for Doubles {
        type Request = u64;
        type Answer = u64;

        async fn run(&self, _tenant: Uuid, requests: &[Arc<u64>]) -> ApiResult<Vec<u64>> {
            self.groups.lock().push(requests.len());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            assert!(requests.iter().all(|request| **request != 99), "it panics");
            if requests.iter().any(|request| **request == 13) {
                return Err(ApiError::invalid("not 13"));
            }
            if requests.iter().any(|request| **request >= BUSY) {
                return Err(ApiError::new(ProblemType::DatabaseBusy, "its lock is held"));
            }
            Ok(requests.iter().map(|request| **request * 2).collect())
        }
    }

    /// Waits for company.
    #[derive(Default)]
    struct Waits(Mutex<Vec<usize>>);

    impl BatchOperation for Waits {
        type Request = u64;
        type Answer = u64;
        const MAX_CALLS: usize = 8;
        const LINGER: Duration = Duration::from_millis(10);

        async fn run(&self, _tenant: Uuid, requests: &[Arc<u64>]) -> ApiResult<Vec<u64>> {
            self.0.lock().push(requests.len());
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(requests.iter().map(|request| **request).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_one_after_the_other_go_together_where_the_first_waits_for_company() {
        let group_commit = GroupCommit::new(Waits::default());
        let asked = (0..20).map(async |n| {
            tokio::time::sleep(Duration::from_millis(n * 5)).await;
            group_commit.submit(Uuid::nil(), n).await.unwrap()
        });
        let answers = futures::future::join_all(asked).await;
        assert_eq!(answers, Vec::from_iter(0..20));
        let groups = group_commit.operation.0.lock().clone();
        assert!(groups.len() <= 10, "{groups:?}");
        // No more than may go together do.
        group_commit.operation.0.lock().clear();
        let asked = (0..20).map(|n| group_commit.submit(Uuid::nil(), n));
        futures::future::join_all(asked).await;
        assert_eq!(*group_commit.operation.0.lock(), [8, 8, 4]);
        assert!(group_commit.queues.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_together_and_each_gets_its_own_answer() {
        let group_commit = GroupCommit::new(Doubles::default());
        let asked = (0..200).map(|n| group_commit.submit(Uuid::nil(), n));
        let answers = futures::future::join_all(asked).await;
        for (n, answer) in answers.into_iter().enumerate() {
            match n {
                13 => assert!(answer.is_err()),
                99 => assert!(answer.is_err()),
                _ => assert_eq!(answer.unwrap(), n as u64 * 2),
            }
        }
        assert!(*group_commit.operation.groups.lock().iter().max().unwrap() > 50);
        assert!(
            group_commit.queues.lock().is_empty(),
            "nobody waits, nothing is kept"
        );
        // After a panic too calls are served.
        assert_eq!(group_commit.submit(Uuid::nil(), 4).await.unwrap(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_row_is_locked_by_another_does_not_make_the_others_of_its_group_busy() {
        let group_commit = GroupCommit::new(Doubles::default());
        let asked =
            (0..12).map(|n| group_commit.submit(Uuid::nil(), if n == 7 { BUSY } else { n }));
        let answers = futures::future::join_all(asked).await;
        let failed = (0..12).filter(|n| answers[*n].is_err());
        assert_eq!(Vec::from_iter(failed), [7]);
        // Where all are, few find out.
        group_commit.operation.groups.lock().clear();
        let asked = (0..12).map(|n| group_commit.submit(Uuid::nil(), BUSY + n));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err));
        assert!(group_commit.operation.groups.lock().len() < 8);
    }
}
