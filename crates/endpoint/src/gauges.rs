//! What is observed of an agent's standing whenever its metrics are read. An agent may come back
//! as another endpoint in the same process, so that instruments are made once, and what they
//! observe may be gone.

use std::{
    sync::{Arc, LazyLock, Once, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use crate::control_plane::{
    lease,
    reporter::Reporter,
    session::{Session, Watcher},
};

/// What is observed of one endpoint.
struct Observed {
    session: Weak<Session>,
    reporter: Weak<Reporter>,
    /// Most that may pass without contact to the control plane, by the strictest policy.
    lease: Box<dyn Fn() -> Option<Duration> + Send>,
}

static ENDPOINTS: LazyLock<Mutex<Vec<Observed>>> = LazyLock::new(Mutex::default);
static INSTRUMENTS: Once = Once::new();

/// How many of something an endpoint has in use; none if it is gone.
type Count = Box<dyn Fn() -> Option<usize> + Send + Sync>;

static LANES: Counts = Counts::new();
static CALLS: Counts = Counts::new();

/// Has an endpoint's standing observed for as long as there is one.
pub fn observe<W: Watcher>(session: &Arc<Session>, reporter: &Arc<Reporter>, watcher: &Arc<W>) {
    let watcher = Arc::downgrade(watcher);
    ENDPOINTS.lock().push(Observed {
        session: Arc::downgrade(session),
        reporter: Arc::downgrade(reporter),
        lease: Box::new(move || watcher.upgrade().map(|watcher| watcher.lease())),
    });
    INSTRUMENTS.call_once(|| {
        let meter = opentelemetry::global::meter("armour");
        meter
            .f64_observable_gauge("armour_agent_control_plane_silence")
            .with_unit("s")
            .with_callback(|gauge| {
                let silence = |session: &Session, _: &Reporter, _| session.silence();
                if let Some(longest) = each(silence).into_iter().max() {
                    gauge.observe(longest.as_secs_f64(), &[]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("armour_agent_lease_expired")
            .with_callback(|gauge| {
                let over = each(lease::is_over);
                if !over.is_empty() {
                    gauge.observe(over.contains(&true).into(), &[]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("armour_agent_tickets_unreported")
            .with_callback(|gauge| {
                let waiting = each(|_, reporter: &Reporter, _| reporter.waiting() as u64);
                if !waiting.is_empty() {
                    gauge.observe(waiting.iter().sum(), &[]);
                }
            })
            .build();
    });
}

/// Has a consumer's lanes in use observed, until there is none.
pub fn observe_lanes(busy: impl Fn() -> Option<usize> + Send + Sync + 'static) {
    LANES.observe("armour_agent_lanes_busy", Box::new(busy));
}

/// Has a producer's calls under way observed, until there is none.
pub fn observe_calls(running: impl Fn() -> Option<usize> + Send + Sync + 'static) {
    CALLS.observe("armour_agent_calls_under_way", Box::new(running));
}

/// What is true of each endpoint that there is.
fn each<T>(of: impl Fn(&Session, &Reporter, Duration) -> T) -> Vec<T> {
    let mut endpoints = ENDPOINTS.lock();
    let mut all = Vec::new();
    endpoints.retain(|one| {
        let there = (one.session.upgrade(), one.reporter.upgrade(), (one.lease)());
        let (Some(session), Some(reporter), Some(lease)) = there else {
            return false;
        };
        all.push(of(&session, &reporter, lease));
        true
    });
    all
}

/// Counts of endpoints, as one gauge.
struct Counts {
    of: Mutex<Vec<Count>>,
    instrument: Once,
}

impl Counts {
    const fn new() -> Self {
        Self {
            of: Mutex::new(Vec::new()),
            instrument: Once::new(),
        }
    }

    fn observe(&'static self, name: &'static str, count: Count) {
        self.of.lock().push(count);
        self.instrument.call_once(|| {
            opentelemetry::global::meter("armour")
                .u64_observable_gauge(name)
                .with_callback(|gauge| gauge.observe(self.sum(), &[]))
                .build();
        });
    }

    fn sum(&self) -> u64 {
        let mut sum = 0;
        self.of.lock().retain(|count| match count() {
            Some(some) => {
                sum += some as u64;
                true
            }
            None => false,
        });
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_had_that_is_gone_is_not_counted() {
        let counts = Counts::new();
        let [first, second] = [3, 4].map(Arc::new);
        for one in [&first, &second] {
            let one = Arc::downgrade(one);
            counts
                .of
                .lock()
                .push(Box::new(move || one.upgrade().map(|one| *one)));
        }
        assert_eq!(counts.sum(), 7);
        drop(first);
        assert_eq!((counts.sum(), counts.of.lock().len()), (4, 1));
    }
}
