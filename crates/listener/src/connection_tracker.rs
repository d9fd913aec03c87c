//! Who is connected, and who of them is at work.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// All connections of a listener.
#[derive(Default)]
pub struct ConnectionTracker {
    connections: Mutex<Inner>,
    /// Whoever has a place, which stopping waits for.
    places: TaskTracker,
}

#[derive(Default)]
struct Inner {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    warned: Option<Instant>,
}

/// A connection, as far as its listener is concerned. It is forgotten when its last
/// holder outside of it drops it.
pub struct Connection {
    state: Mutex<State>,
    /// Notified when a request or an upgrade begins or ends.
    changed: Notify,
    evicted: CancellationToken,
}

struct State {
    requests: usize,
    /// Requests whose handlers have not let go of them: they may have upgraded them.
    held: usize,
    served: bool,
    /// Whether an answer broke off whose end is that of the connection.
    cut: bool,
    quiet_since: Instant,
}

/// How often it is told that there is no room.
pub const WARN_EVERY: Duration = Duration::from_secs(60);

impl ConnectionTracker {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.connections.lock().connections.len()
    }

    /// One more.
    pub fn enter(self: &Arc<Self>) -> TrackedConnection {
        let connection = Arc::new(Connection {
            state: Mutex::new(State {
                requests: 0,
                held: 0,
                served: false,
                cut: false,
                quiet_since: Instant::now(),
            }),
            changed: Notify::new(),
            evicted: CancellationToken::new(),
        });
        let mut inner = self.connections.lock();
        let number = inner.next;
        inner.next += 1;
        inner.connections.insert(number, connection.clone());
        TrackedConnection {
            connection,
            number,
            tracker: Arc::downgrade(self),
            _place: self.places.token(),
        }
    }

    /// Ends once each connection has left; no more may enter.
    pub async fn left(&self) {
        self.places.close();
        self.places.wait().await;
    }

    /// Ends the connection that has been without a request for longest, one that never had
    /// any if there is such a one. If each has a request or an upgrade under way, nobody goes.
    /// Whether one goes.
    pub fn evict_the_quietest(&self) -> bool {
        let mut inner = self.connections.lock();
        let quiet = inner.connections.iter().filter_map(|(number, connection)| {
            let state = connection.state.lock();
            let waits = state.is_quiet() && !connection.evicted.is_cancelled();
            // Who has never asked for anything goes before whoever has.
            waits.then_some((state.served, state.quiet_since, *number))
        });
        let quietest = quiet.min();
        let evicted = quietest.and_then(|(.., number)| inner.connections.remove(&number));
        if let Some(connection) = &evicted {
            connection.evicted.cancel();
        }
        if inner
            .warned
            .is_none_or(|warned| warned.elapsed() > WARN_EVERY)
        {
            inner.warned = Some(Instant::now());
            tracing::warn!(
                connections = inner.connections.len(),
                "no room for more connections"
            );
        }
        evicted.is_some()
    }
}

/// A place among them; dropped, it is free.
pub struct TrackedConnection {
    connection: Arc<Connection>,
    number: u64,
    tracker: Weak<ConnectionTracker>,
    _place: TaskTrackerToken,
}

impl std::ops::Deref for TrackedConnection {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for TrackedConnection {
    fn drop(&mut self) {
        if let Some(tracker) = self.tracker.upgrade() {
            tracker.connections.lock().connections.remove(&self.number);
        }
    }
}

/// A request under way.
pub struct Busy(Arc<Connection>);

/// In the extensions of each request: whoever upgrades it keeps this for as long as the
/// upgrade lives. Its connection is then not idle, keeps its place among the listener's
/// connections, and is waited for when the listener stops.
#[derive(Clone)]
pub struct UnderWay {
    _held: Arc<Held>,
}

struct Held(Arc<TrackedConnection>);

impl UnderWay {
    /// That of a request of this connection.
    pub(crate) fn of(connection: &Arc<TrackedConnection>) -> Self {
        connection.change(|state| state.held += 1);
        Self {
            _held: Arc::new(Held(connection.clone())),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.held -= 1;
            state.quiet_since = Instant::now();
        });
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        self.requests == 0 && self.held == 0
    }
}

impl Connection {
    /// Counts a request until what is returned is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.change(|state| {
            state.requests += 1;
            state.served = true;
        });
        Busy(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_one();
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.state.lock().requests > 0
    }

    /// An answer broke off whose end is that of the connection.
    pub fn cut(&self) {
        self.state.lock().cut = true;
    }

    /// Whether one has.
    pub fn is_cut(&self) -> bool {
        self.state.lock().cut
    }

    /// Ends when there is no room for it any more.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Ends when it has been without a request for longer than it may: before its first
    /// one, and between them.
    pub async fn too_quiet(&self, first: Duration, later: Duration) {
        loop {
            let left = {
                let state = self.state.lock();
                let limit = if state.served { later } else { first };
                let left = limit.saturating_sub(state.quiet_since.elapsed());
                state.is_quiet().then_some(left)
            };
            let quiet_for_too_long = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = quiet_for_too_long => return,
                () = self.changed.notified() => {}
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.requests -= 1;
            state.quiet_since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const LATER: Duration = Duration::from_secs(100);

    /// How long it is until a connection has been quiet for too long.
    async fn until_too_quiet(connection: &TrackedConnection) -> Duration {
        let since = Instant::now();
        connection.too_quiet(FIRST, LATER).await;
        since.elapsed()
    }

    fn about(found: Duration, expected: Duration) {
        let late = found.saturating_sub(expected);
        assert!(
            found >= expected && late < Duration::from_millis(50),
            "{found:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_request_has_less_time_than_later_ones() {
        let tracker = Arc::new(ConnectionTracker::default());
        let connection = tracker.enter();
        about(until_too_quiet(&connection).await, FIRST);
        drop(connection.busy());
        about(until_too_quiet(&connection).await, LATER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_not_quiet_however_long_it_takes() {
        let tracker = Arc::new(ConnectionTracker::default());
        let connection = tracker.enter();
        let busy = connection.busy();
        let waited = tokio::time::timeout(LATER * 50, connection.too_quiet(FIRST, LATER));
        assert!(waited.await.is_err());
        drop(busy);
        about(until_too_quiet(&connection).await, LATER);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_asked_for_nothing_goes_first_and_whoever_is_served_stays() {
        let tracker = Arc::new(ConnectionTracker::default());
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(tracker.enter());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let _busy = connections[0].busy();
        drop(connections[1].busy());
        for goes in [2, 3, 1] {
            tracker.evict_the_quietest();
            let gone: Vec<bool> = connections
                .iter()
                .map(|connection| connection.evicted.is_cancelled())
                .collect();
            assert!(gone[goes], "{gone:?}");
        }
        tracker.evict_the_quietest();
        assert!(!connections[0].evicted.is_cancelled());
        assert_eq!(tracker.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgrade_keeps_its_connection_after_its_request_has_ended() {
        let tracker = Arc::new(ConnectionTracker::default());
        let connection = Arc::new(tracker.enter());
        let busy = connection.busy();
        let under_way = UnderWay::of(&connection);
        drop(busy);
        let too_quiet = connection.too_quiet(FIRST, LATER);
        assert!(tokio::time::timeout(LATER * 50, too_quiet).await.is_err());
        tracker.evict_the_quietest();
        assert!(!connection.evicted.is_cancelled());
        drop(connection);
        assert_eq!(tracker.len(), 1);
        let left = tokio::time::timeout(LATER, tracker.left());
        assert!(left.await.is_err());
        drop(under_way);
        assert_eq!(tracker.len(), 0);
        tracker.left().await;
    }
}
