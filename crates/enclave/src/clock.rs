//! The clock that deadlines are told by, the same to proxy and enclave.

use armour_ambient::BootClock;
use armour_protocol::v2::time::ProducerTime;

/// Milliseconds since the machine was started, suspended time included (CLOCK_BOOTTIME).
pub fn boot_ms() -> u64 {
    BootClock::system().now_ms()
}

/// The time of a producer whose enclave started at `started_ms`
/// ([`Hardening`](crate::ipc::Hardening)): what its receipts and its tickets' deadlines are
/// told in.
pub fn producer_time(started_ms: u64) -> ProducerTime {
    since(started_ms, boot_ms())
}

pub(crate) fn since(started_ms: u64, now_ms: u64) -> ProducerTime {
    ProducerTime(now_ms.saturating_sub(started_ms))
}
