//! The producer's clock, which its receipts carry and by which its calls begin.

use std::time::Duration;

use armour_enclave::clock;
use armour_protocol::v2::time::ProducerTime;

/// Milliseconds since the enclave's start, suspended time included.
#[derive(Debug, Clone, Copy)]
pub struct ProducerClock {
    started_ms: u64,
}

/// The moment until which a call may begin.
#[derive(Debug, Clone, Copy)]
pub struct BeginBy {
    clock: ProducerClock,
    moment: ProducerTime,
}

impl BeginBy {
    /// Whether it is over.
    pub fn is_past(self) -> bool {
        self.clock.now() > self.moment
    }

    /// Waits until it is over.
    pub async fn past(self) {
        self.clock.past(self.moment).await;
    }
}

impl ProducerClock {
    /// The clock of the enclave that started then.
    pub fn new(started_ms: u64) -> Self {
        Self { started_ms }
    }

    /// What it shows.
    pub fn now(self) -> ProducerTime {
        ProducerTime(clock::boot_ms().saturating_sub(self.started_ms))
    }

    /// A moment by this clock, until which a call may begin.
    pub fn begin_by(self, moment: ProducerTime) -> BeginBy {
        BeginBy {
            clock: self,
            moment,
        }
    }

    /// Waits until it is past a moment.
    pub async fn past(self, moment: ProducerTime) {
        loop {
            let now = self.now();
            if now > moment {
                return;
            }
            let left = (moment.0 - now.0).saturating_add(1);
            // Timers stand still while the machine sleeps; this clock does not.
            tokio::time::sleep(Duration::from_millis(left.min(1_000))).await;
        }
    }
}
