//! Whether the control plane has assigned anew.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is known of the assignments.
#[derive(Default)]
pub struct Assigned {
    pub seen: Mutex<Option<u64>>,
    pub due: Notify,
}

impl Assigned {
    /// Their number now, by a heartbeat's answer.
    pub fn is_now(&self, number: u64) {
        if *self.seen.lock() != Some(number) {
            self.due.notify_one();
        }
    }

    /// They have changed.
    pub fn changed(&self) {
        self.due.notify_one();
    }
}
