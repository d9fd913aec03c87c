//! Calls at a steady rate: each is made when it is due, whatever became of those before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use parking_lot::{Mutex, RwLock};
use tokio::time::MissedTickBehavior;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::call::{Call, end_of};

/// How long a caller waits for longer than the agent tries for it.
const SPARE: Duration = Duration::from_secs(60);

/// Calls under way.
pub struct Load {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    http: reqwest::Client,
    /// Where each consumer's endpoint takes calls.
    bases: RwLock<Vec<String>>,
    next: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl Load {
    /// Makes so many calls a second, at the bases in turn; a GET and a POST at each.
    ///
    /// # Errors
    /// If there can be no client.
    pub fn start(bases: Vec<String>, rate: u32, patience: Duration) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            http: reqwest::Client::builder()
                .timeout(patience + SPARE)
                .build()?,
            bases: RwLock::new(bases),
            next: AtomicU64::new(0),
            calls: Mutex::default(),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut due = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let load = Self {
            shared: shared.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let calls = tasks.clone();
        tasks.spawn(async move {
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                calls.spawn(call(shared.clone()));
            }
        });
        Ok(load)
    }

    /// Where one consumer's endpoint takes calls from now on.
    pub fn retarget(&self, place: usize, base: &str) {
        if let Some(old) = self.shared.bases.write().get_mut(place) {
            base.clone_into(old);
        }
    }

    /// Calls that have ended, and those of them that failed.
    pub fn counts(&self) -> (usize, usize) {
        let calls = self.shared.calls.lock();
        let failed = calls.iter().filter(|call| !call.answered()).count();
        (calls.len(), failed)
    }

    /// Makes no more calls, and waits for those that are under way.
    pub async fn finish(self) -> Vec<Call> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        std::mem::take(&mut *self.shared.calls.lock())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn call(shared: Arc<Shared>) {
    let id = shared.next.fetch_add(1, Ordering::Relaxed);
    let safe = id.is_multiple_of(2);
    let base = {
        let bases = shared.bases.read();
        let place = usize::try_from(id / 2).unwrap_or(0) % bases.len().max(1);
        bases.get(place).cloned().unwrap_or_default()
    };
    let url = format!("{base}/call?id={id}");
    let request = match safe {
        true => shared.http.get(url),
        false => shared.http.post(url).body("a little"),
    };
    let (began, sent) = (Instant::now(), Utc::now());
    let end = end_of(id, request.send().await).await;
    let call = Call {
        id,
        safe,
        began,
        sent,
        waited: began.elapsed(),
        ended: Utc::now(),
        end,
    };
    shared.calls.lock().push(call);
}
