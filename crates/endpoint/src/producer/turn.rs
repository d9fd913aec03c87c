//! Whose turn it is in a call: the API's while it could go on and does not, its caller's while
//! the request is awaited.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// Notes it.
pub struct Turns(watch::Sender<Option<Instant>>);

/// Knows it.
#[derive(Clone)]
pub struct Turn(watch::Receiver<Option<Instant>>);

/// It is the caller's turn to begin with.
pub fn turns() -> (Turns, Turn) {
    let (sender, receiver) = watch::channel(None);
    (Turns(sender), Turn(receiver))
}

impl Turns {
    /// The API has something to take, or all that there is.
    pub fn of_the_api(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// More of the request is awaited.
    pub fn of_the_caller(&self) {
        self.0.send_replace(None);
    }
}

impl Turn {
    /// It is the API's, now and from here on.
    pub fn of_the_api() -> Self {
        let (turns, turn) = turns();
        turns.of_the_api();
        turn
    }

    /// Waits until it has been the API's for so long, on end.
    pub async fn over(&mut self, limit: Duration) {
        loop {
            let since = *self.0.borrow_and_update();
            let over = async {
                match since {
                    Some(since) => tokio::time::sleep_until(since + limit).await,
                    None => std::future::pending().await,
                }
            };
            let changed = async {
                if self.0.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = over => return,
                () = changed => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_api_that_takes_nothing_is_over_its_time_and_one_that_waits_is_not() {
        let (turns, mut turn) = turns();
        assert!(
            tokio::time::timeout(LIMIT * 5, turn.over(LIMIT))
                .await
                .is_err()
        );
        for _ in 0..5 {
            turns.of_the_api();
            let over = tokio::time::timeout(LIMIT / 2, turn.over(LIMIT)).await;
            assert!(over.is_err());
        }
        turns.of_the_caller();
        assert!(
            tokio::time::timeout(LIMIT * 5, turn.over(LIMIT))
                .await
                .is_err()
        );
        turns.of_the_api();
        drop(turns);
        let since = Instant::now();
        turn.over(LIMIT).await;
        assert_eq!(since.elapsed(), LIMIT);
    }
}
