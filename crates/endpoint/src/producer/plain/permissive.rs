//! That an agent is permissive, and what it has let through: in its metrics, its log, and what the
//! control plane shows of it.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use armour_ambient::Random;
use opentelemetry::metrics::{Counter, Gauge};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::control_plane::session::Session;

/// How often the control plane is told anew of how many.
const TELL: Duration = Duration::from_secs(60);
/// How often calls are logged at most; those between are counted.
const LOG: Duration = Duration::from_secs(1);

struct Instruments {
    calls: Counter<u64>,
    permissive: Gauge<u64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| {
    let meter = opentelemetry::global::meter("armour");
    Instruments {
        calls: meter.u64_counter("armour_agent_plain_calls").build(),
        permissive: meter.u64_gauge("armour_agent_permissive").build(),
    }
});

/// Tells in the metrics whether a producer's agent is permissive.
pub fn observe(is_permissive: bool) {
    INSTRUMENTS.calls.add(0, &[]);
    INSTRUMENTS.permissive.record(is_permissive.into(), &[]);
}

/// What an agent has let through.
pub struct Permissive {
    pub(super) random: Random,
    /// Places of plain calls, if there is a limit: half of all, so that protected calls have some
    /// left, however long plain ones last.
    pub(super) places: Option<Arc<Semaphore>>,
    state: Mutex<State>,
}

struct State {
    /// Since the agent's start.
    passed: u64,
    /// Since the last line of the log.
    unlogged: u64,
    logged: Option<Instant>,
}

impl Permissive {
    /// Nothing yet; said loudly. The API takes so many calls at once.
    pub fn new(random: Random, upstream_limit: Option<u32>) -> Arc<Self> {
        tracing::warn!("PERMISSIVE MODE: calls that come without protection are passed to the API");
        Arc::new(Self {
            random,
            places: upstream_limit.map(|most| {
                let half = usize::try_from(most / 2).unwrap_or(Semaphore::MAX_PERMITS);
                Arc::new(Semaphore::new(half.clamp(1, Semaphore::MAX_PERMITS)))
            }),
            state: Mutex::new(State {
                passed: 0,
                unlogged: 0,
                logged: None,
            }),
        })
    }

    /// Has the control plane told of it for as long as this is held.
    pub fn tell(self: &Arc<Self>, session: &Arc<Session>) -> AbortOnDropHandle<()> {
        let (permissive, session) = (self.clone(), session.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                session.set_plain_calls(permissive.calls());
                tokio::time::sleep(TELL).await;
            }
        }))
    }

    /// How many calls were passed on since the agent's start.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().passed
    }

    /// A call of this peer's is passed on.
    pub(super) fn passed(&self, peer: Option<IpAddr>) {
        INSTRUMENTS.calls.add(1, &[]);
        let mut state = self.state.lock();
        state.passed = state.passed.saturating_add(1);
        state.unlogged += 1;
        if state.logged.is_some_and(|logged| logged.elapsed() < LOG) {
            return;
        }
        let calls = std::mem::take(&mut state.unlogged);
        state.logged = Some(Instant::now());
        drop(state);
        let peer = peer.map(|peer| peer.to_string());
        tracing::warn!(
            calls,
            peer,
            "passed on without protection; would be refused but for permissive mode"
        );
    }
}
