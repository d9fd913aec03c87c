//! Whether a request still goes on.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a request may stand still, whether its caller sends nothing or nobody takes it,
/// until its answer begins and once that has ended. While an answer flows it may: an event
/// stream or an open connection is quiet for as long as it likes.
pub const REQUEST_IDLE: Duration = Duration::from_secs(90);

/// When something last went on.
#[derive(Clone)]
pub struct IdleTimer(Arc<Mutex<Instant>>);

impl IdleTimer {
    /// It has just begun.
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// It goes on.
    pub fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Waits until it has stood still for this long, from now on.
    pub async fn idle_for(&self, limit: Duration) {
        let mut since = Instant::now();
        loop {
            let end = since + limit;
            tokio::time::sleep_until(end).await;
            let last = *self.0.lock();
            if last <= since {
                return;
            }
            since = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_not_idle_until_it_stops() {
        let began = Instant::now();
        let timer = IdleTimer::start();
        let moving = async {
            for _ in 0..10 {
                tokio::time::sleep(REQUEST_IDLE - Duration::from_secs(1)).await;
                timer.touch();
            }
            Instant::now()
        };
        let idle = async {
            timer.idle_for(REQUEST_IDLE).await;
            Instant::now()
        };
        let (last, idle) = tokio::join!(moving, idle);
        assert!(last > began + REQUEST_IDLE * 9);
        let waited = idle - last;
        assert!(waited >= REQUEST_IDLE && waited < REQUEST_IDLE + Duration::from_secs(1));
    }
}
