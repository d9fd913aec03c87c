//! The consumer's bundle and its lanes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use armour_enclave::binding::LaneId;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::control_plane::grant::Grant;

/// A bundle that is installed in the enclave.
pub struct Bundle {
    /// Its keys and policy.
    pub grant: Grant,
    /// Where the producer is reached.
    pub producer: String,
    /// Cancelled once the bundle must not be used any more.
    pub dead: CancellationToken,
    /// Whether the ledger has said so itself.
    pub condemned: AtomicBool,
    lanes: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    next: AtomicU32,
}

struct Idle {
    lane: u32,
    since: Instant,
}

/// A lane for as long as an exchange needs it; dropped, it is idle again.
pub struct Lane {
    /// The bundle.
    pub bundle: Arc<Bundle>,
    /// The lane's number.
    pub number: u32,
    /// Whether the opening exchange is still due.
    pub fresh: bool,
    _permit: OwnedSemaphorePermit,
}

impl Bundle {
    /// A bundle without lanes.
    pub fn new(grant: Grant, producer: String) -> Arc<Self> {
        let lanes = Arc::new(Semaphore::new(grant.policy.max_lanes as usize));
        Arc::new(Self {
            grant,
            producer,
            dead: CancellationToken::new(),
            condemned: AtomicBool::new(false),
            lanes,
            idle: Mutex::default(),
            next: AtomicU32::new(0),
        })
    }

    /// The bundle's id.
    pub fn id(&self) -> Uuid {
        Uuid::from_bytes(self.grant.binding.bundle)
    }

    /// A lane: the one used last, else a new one, else the first to be free.
    pub async fn lane(self: &Arc<Self>, within: Duration) -> Option<Lane> {
        let permit = tokio::time::timeout(within, self.lanes.clone().acquire_owned());
        let permit = permit.await.ok()?.ok()?;
        let kept = self.idle.lock().pop();
        Some(Lane {
            bundle: self.clone(),
            number: match &kept {
                Some(idle) => idle.lane,
                None => self.next.fetch_add(1, Ordering::Relaxed),
            },
            fresh: kept.is_none(),
            _permit: permit,
        })
    }

    /// A lane that has been idle for so long, if there is one.
    pub fn stale(self: &Arc<Self>, after: Duration) -> Option<Lane> {
        let permit = self.lanes.clone().try_acquire_owned().ok()?;
        let mut idle = self.idle.lock();
        let at = idle.iter().position(|lane| lane.since.elapsed() >= after)?;
        Some(Lane {
            bundle: self.clone(),
            number: idle.remove(at).lane,
            fresh: false,
            _permit: permit,
        })
    }

    /// Lanes in use.
    pub fn busy(&self) -> usize {
        (self.grant.policy.max_lanes as usize).saturating_sub(self.lanes.available_permits())
    }

    /// Makes lanes known that are open already.
    #[cfg(feature = "clone-demo")]
    pub fn adopt(&self, lanes: &[u32]) {
        let since = Instant::now();
        self.idle
            .lock()
            .extend(lanes.iter().map(|&lane| Idle { lane, since }));
        let next = lanes.iter().max().map_or(0, |last| last + 1);
        self.next.store(next, Ordering::Relaxed);
    }
}

impl Lane {
    /// How the enclave knows the lane.
    pub fn id(&self) -> LaneId {
        LaneId {
            bundle: self.bundle.grant.binding.bundle,
            lane: self.number,
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A lane whose opening failed was never open; it is tried again as new.
        if !self.fresh {
            self.bundle.idle.lock().push(Idle {
                lane: self.number,
                since: Instant::now(),
            });
        }
    }
}
