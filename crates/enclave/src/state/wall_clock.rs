//! What the time is, for certificates: the proxy says so, and the enclave takes no earlier
//! time than it knows of itself. A clock that is set back lets no expired certificate pass.

use armour_protocol::v2::identity::certificate::UnixTime;

use super::failed::Failed;

/// Where a signed log head has its time (`docs/audit.md`), in microseconds since 1970.
const LOG_HEAD_TIME: std::ops::Range<usize> = LOG_HEAD_TIME_START..LOG_HEAD_TIME_START + 8;
const LOG_HEAD_TIME_START: usize = 18 + 16 + 8;
/// A label, tenant, size, time, root and the map's root, and the signature.
const LOG_HEAD_LEN: usize = LOG_HEAD_TIME_START + 8 + 32 + 32 + 64;

/// The latest time that is known to have passed, carried on by the machine's boot clock.
pub(super) struct WallClock {
    known: UnixTime,
    at_ms: u64,
}

impl WallClock {
    /// It was `started` when the boot clock showed `boot_ms`.
    pub(super) fn new(started: UnixTime, boot_ms: u64) -> Self {
        Self {
            known: started,
            at_ms: boot_ms,
        }
    }

    /// The log's head, which the control plane dated. Nobody vouches for it here: a later time
    /// lets fewer certificates pass.
    pub(super) fn saw_log_head(&mut self, head: &[u8], boot_ms: u64) {
        let micros = head
            .get(LOG_HEAD_TIME)
            .filter(|_| head.len() == LOG_HEAD_LEN)
            .and_then(|bytes| bytes.try_into().ok())
            .and_then(|bytes| u64::try_from(i64::from_be_bytes(bytes)).ok());
        let seen = micros.map(|micros| UnixTime(micros / 1_000_000));
        if let Some(seen) = seen
            && seen > self.now(boot_ms)
        {
            *self = Self::new(seen, boot_ms);
        }
    }

    /// The time, which is `said`, but not earlier than what is known.
    ///
    /// # Errors
    /// Code `clock`: no time is said.
    pub(super) fn at_least(&self, said: u64, boot_ms: u64) -> Result<UnixTime, Failed> {
        match said {
            0 => Err(Failed("clock")),
            said => Ok(UnixTime(said).max(self.now(boot_ms))),
        }
    }

    fn now(&self, boot_ms: u64) -> UnixTime {
        let since = boot_ms.saturating_sub(self.at_ms) / 1_000;
        UnixTime(self.known.0.saturating_add(since))
    }
}
