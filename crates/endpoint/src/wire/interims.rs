//! Informational responses of an API on their way (RFC 9110, section 15.2).

use http::{HeaderMap, StatusCode, header};
use tokio::sync::mpsc;

use super::bhttp;

/// Most that wait to be sealed, and most of one answer: more are dropped.
const MAX_WAITING: usize = 16;
const MAX: usize = 64;

/// An informational response.
pub type Interim = (StatusCode, HeaderMap);

/// Where they go; cheap to clone.
#[derive(Clone)]
pub struct Interims(mpsc::Sender<Interim>);

/// Where they come from.
pub struct Arriving {
    receiver: mpsc::Receiver<Interim>,
    left: usize,
}

/// Both ends.
pub fn channel() -> (Interims, Arriving) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let left = MAX;
    (Interims(sender), Arriving { receiver, left })
}

impl Interims {
    /// Hands one on. What upgrades a connection is an answer of its own.
    pub fn put(&self, status: StatusCode, fields: &HeaderMap) {
        if status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational() {
            return;
        }
        let mut fields = fields.clone();
        bhttp::strip_hop_by_hop(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
        let _ = self.0.try_send((status, fields));
    }
}

impl Arriving {
    /// The next one; never, once there is none to come.
    pub async fn next(&mut self) -> Interim {
        if self.left > 0
            && let Some(interim) = self.receiver.recv().await
        {
            self.left -= 1;
            return interim;
        }
        std::future::pending().await
    }

    /// The next one, if it is there.
    pub fn try_next(&mut self) -> Option<Interim> {
        let left = self.left.checked_sub(1)?;
        let interim = self.receiver.try_recv().ok()?;
        self.left = left;
        Some(interim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_api_that_sends_without_end_costs_no_more_than_some() {
        let (interims, mut arriving) = channel();
        let mut taken = 0;
        for _ in 0..10 {
            for _ in 0..MAX_WAITING * 2 {
                interims.put(StatusCode::PROCESSING, &HeaderMap::new());
            }
            while arriving.try_next().is_some() {
                taken += 1;
            }
        }
        assert!(taken > MAX_WAITING && taken <= MAX, "{taken}");
    }
}
