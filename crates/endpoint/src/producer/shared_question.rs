//! A question to the control plane that all who want it asked share.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

/// How long a connection waits for its answer.
const WAIT: Duration = Duration::from_secs(2);
/// How many connections wait for one.
const MAX_WAITERS: usize = 64;
/// It is asked no more often, whoever wants it asked.
const INTERVAL: Duration = Duration::from_millis(250);

/// Asks one question at a time, and not often.
pub struct SharedQuestion {
    waiters: Semaphore,
    /// When it was asked last.
    asked: Mutex<Option<Instant>>,
}

impl Default for SharedQuestion {
    fn default() -> Self {
        Self {
            waiters: Semaphore::new(MAX_WAITERS),
            asked: Mutex::new(None),
        }
    }
}

impl SharedQuestion {
    /// Has the question asked for somebody whom nobody vouches for: only a few wait, and not
    /// for long.
    pub async fn ask_for_stranger<F>(
        self: &Arc<Self>,
        question: impl FnOnce() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(_waiter) = self.waiters.try_acquire() {
            let _ = tokio::time::timeout(WAIT, self.ask(question)).await;
        }
    }

    /// Has the question asked. All that come while it is under way share the one after it.
    pub async fn ask<F>(self: &Arc<Self>, question: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (shared, since) = (self.clone(), Instant::now());
        // In a task of its own: who stops waiting must not leave it half asked.
        let asking = tokio::spawn(async move {
            let mut asked = shared.asked.lock().await;
            if let Some(at) = *asked {
                if at >= since {
                    return;
                }
                tokio::time::sleep_until(at + INTERVAL).await;
            }
            *asked = Some(Instant::now());
            question().await;
        });
        let _ = asking.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p4_any_number_of_strangers_costs_a_few_questions() {
        let shared = Arc::new(SharedQuestion::default());
        let count = Arc::new(AtomicU32::new(0));
        let question = || {
            let count = count.clone();
            move || async move {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        let since = Instant::now();
        let mut strangers = tokio::task::JoinSet::new();
        for _ in 0..2_000 {
            let (shared, question) = (shared.clone(), question());
            strangers.spawn(async move { shared.ask_for_stranger(question).await });
        }
        strangers.join_all().await;
        assert!(since.elapsed() <= WAIT);
        let asked = u128::from(count.load(Ordering::Relaxed));
        let most = since.elapsed().as_millis() / INTERVAL.as_millis() + 1;
        assert!(
            (1..=most).contains(&asked),
            "{asked} in {:?}",
            since.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_it_is_asked_gets_the_next_answer() {
        let shared = Arc::new(SharedQuestion::default());
        let first = tokio::spawn({
            let shared = shared.clone();
            async move {
                let slow = || tokio::time::sleep(Duration::from_millis(100));
                shared.ask(slow).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let again = Arc::new(AtomicU32::new(0));
        let count = again.clone();
        shared
            .ask(move || async move {
                count.fetch_add(1, Ordering::Relaxed);
            })
            .await;
        assert_eq!(again.load(Ordering::Relaxed), 1);
        first.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_to_its_end_though_nobody_waits() {
        let shared = Arc::new(SharedQuestion::default());
        let done = Arc::new(AtomicU32::new(0));
        let count = done.clone();
        shared
            .ask_for_stranger(move || async move {
                tokio::time::sleep(WAIT * 3).await;
                count.fetch_add(1, Ordering::Relaxed);
            })
            .await;
        assert_eq!(done.load(Ordering::Relaxed), 0);
        tokio::time::sleep(WAIT * 3).await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }
}
