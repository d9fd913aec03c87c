//! A tenant's share of the connections: however many calls it makes at once, others have theirs.
//!
//! Whoever finds none free waits in its tenant's line. Of the tenants that wait the one goes on
//! that has used the connections least lately, and of its calls those first on which its agents'
//! bundles depend.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::error::{Result, StorageError};

/// Which of a tenant's calls come first, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Signs of life: without them an endpoint is lost and its bundles end.
    Life,
    /// Reports, without which producers refuse.
    Reports,
    /// Draws of bundles.
    Draws,
    /// People's calls and those of API tokens.
    Members,
}

/// What each tenant has of the connections for calls.
#[derive(Clone)]
pub struct Shares(Option<Arc<Inner>>);

struct Inner {
    /// All that there are.
    connections: usize,
    /// Most that one tenant has.
    each: usize,
    wait: Duration,
    state: Mutex<State>,
}

struct State {
    held: usize,
    tenants: HashMap<Uuid, Line>,
    /// Tenants with calls that wait.
    waiting: HashMap<Uuid, usize>,
}

/// One tenant's calls.
#[derive(Default)]
struct Line {
    held: usize,
    used: Used,
    waiting: [VecDeque<oneshot::Sender<Share>>; URGENCIES],
    /// How many have gone before others of the tenant that waited.
    overtaken: u32,
}

/// Connection-seconds that a tenant has used, which are forgotten by and by.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    seconds: f64,
    at: Option<Instant>,
}

const URGENCIES: usize = 4;
/// Calls of a tenant that wait, of each urgency; with one more it is refused at once.
const PLACES: usize = 256;
/// After so many tenants those that hold nothing are forgotten.
const MAX_KEPT: usize = 4096;
/// In what time what was used counts half.
const HALF_LIFE: Duration = Duration::from_secs(2);
/// One in so many calls of a tenant goes in the order of coming, so that no kind waits for ever.
const ONE_IN: u32 = 8;

/// A connection of a tenant's share; it goes back when this is dropped.
pub struct Share {
    of: Arc<Inner>,
    tenant: Uuid,
    since: Instant,
}

impl Shares {
    /// Half of the connections each, if there are enough of them; `wait` bounds how long a call
    /// waits for its turn.
    pub fn new(connections: u32, wait: Duration) -> Self {
        let of = |count: u32| usize::try_from(count.max(2)).unwrap_or(2);
        let each = of(connections.div_ceil(2));
        Self(Some(Arc::new(Inner {
            connections: of(connections),
            each,
            wait,
            state: Mutex::new(State {
                held: 0,
                tenants: HashMap::new(),
                waiting: HashMap::new(),
            }),
        })))
    }

    /// No bound.
    pub fn none() -> Self {
        Self(None)
    }

    /// Waits for the tenant's turn.
    ///
    /// # Errors
    /// [`StorageError::TenantBusy`] if it takes too long, or as many wait as may.
    pub async fn take(&self, tenant: Uuid, urgency: Urgency) -> Result<Option<Share>> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        let turn = {
            let mut state = inner.state.lock();
            let all_held = state.held >= inner.connections;
            let waits = state.waiting.contains_key(&tenant);
            let line = state.line(tenant);
            if !all_held && !waits && line.held < inner.each {
                line.held += 1;
                state.held += 1;
                return Ok(Some(Share::new(inner, tenant)));
            }
            let places = &mut line.waiting[urgency as usize];
            if places.len() >= PLACES {
                places.retain(|waits| !waits.is_closed());
            }
            if places.len() >= PLACES {
                return Err(StorageError::TenantBusy);
            }
            let (sender, turn) = oneshot::channel();
            places.push_back(sender);
            *state.waiting.entry(tenant).or_default() += 1;
            turn
        };
        match timeout(inner.wait, turn).await {
            Ok(Ok(share)) => Ok(Some(share)),
            Ok(Err(_)) | Err(_) => Err(StorageError::TenantBusy),
        }
    }
}

impl Inner {
    /// Gives what is free to those that wait.
    fn go_on(self: &Arc<Self>) {
        loop {
            let turns = self.state.lock().turns(self);
            if turns.is_empty() {
                return;
            }
            for (turn, tenant) in turns {
                // Who has gone meanwhile gives it back.
                drop(turn.send(Share::new(self, tenant)));
            }
        }
    }
}

impl State {
    fn line(&mut self, tenant: Uuid) -> &mut Line {
        if self.tenants.len() >= MAX_KEPT && !self.tenants.contains_key(&tenant) {
            let waiting = &self.waiting;
            self.tenants
                .retain(|tenant, line| line.held > 0 || waiting.contains_key(tenant));
        }
        self.tenants.entry(tenant).or_default()
    }

    /// Those whose turn it is, with what they get counted as theirs.
    fn turns(&mut self, of: &Inner) -> Vec<(oneshot::Sender<Share>, Uuid)> {
        let mut turns = Vec::new();
        let now = Instant::now();
        while self.held < of.connections {
            let waiting: Vec<Uuid> = self.waiting.keys().copied().collect();
            let may = waiting.into_iter().filter_map(|tenant| {
                let line = self.tenants.get(&tenant)?;
                (line.held < of.each).then(|| (line.used.by(now) + line.held as f64, tenant))
            });
            let next = may.min_by(|one, other| one.0.total_cmp(&other.0));
            let Some((_, tenant)) = next else {
                break;
            };
            match self.tenants.get_mut(&tenant).and_then(Line::next) {
                Some(turn) => {
                    self.less(tenant);
                    self.held += 1;
                    self.line(tenant).held += 1;
                    turns.push((turn, tenant));
                }
                // All of them have gone.
                None => {
                    self.waiting.remove(&tenant);
                }
            }
        }
        turns
    }

    /// One less of a tenant's waits.
    fn less(&mut self, tenant: Uuid) {
        let left = self.tenants.get(&tenant).map_or(0, Line::waiting);
        match left {
            0 => self.waiting.remove(&tenant),
            left => self.waiting.insert(tenant, left),
        };
    }
}

impl Line {
    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// The next of those that still wait.
    fn next(&mut self) -> Option<oneshot::Sender<Share>> {
        for line in &mut self.waiting {
            while line.front().is_some_and(oneshot::Sender::is_closed) {
                line.pop_front();
            }
        }
        self.overtaken += 1;
        let mut by_urgency = 0..URGENCIES;
        let at = match self.overtaken.is_multiple_of(ONE_IN) {
            true => by_urgency.rfind(|at| !self.waiting[*at].is_empty())?,
            false => by_urgency.find(|at| !self.waiting[*at].is_empty())?,
        };
        self.waiting[at].pop_front()
    }
}

impl Used {
    /// What is left of it now.
    fn by(&self, now: Instant) -> f64 {
        let Some(at) = self.at else {
            return 0.0;
        };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        self.seconds * 0.5_f64.powf(passed / HALF_LIFE.as_secs_f64())
    }

    fn add(&mut self, used: Duration) {
        let now = Instant::now();
        *self = Self {
            seconds: self.by(now) + used.as_secs_f64(),
            at: Some(now),
        };
    }
}

impl Share {
    fn new(of: &Arc<Inner>, tenant: Uuid) -> Self {
        Self {
            of: of.clone(),
            tenant,
            since: Instant::now(),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        {
            let mut state = self.of.state.lock();
            state.held -= 1;
            if let Some(line) = state.tenants.get_mut(&self.tenant) {
                line.held -= 1;
                line.used.add(self.since.elapsed());
            }
        }
        self.of.go_on();
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join_all};

    use super::*;

    const WAIT: Duration = Duration::from_secs(5);
    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    async fn take(shares: &Shares, tenant: Uuid) -> Result<Option<Share>> {
        shares.take(tenant, Urgency::Members).await
    }

    #[tokio::test(start_paused = true)]
    async fn m5_a_tenant_has_half_of_the_connections_and_waits_for_no_other() {
        let shares = Shares::new(12, WAIT);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(take(&shares, ONE).await.unwrap());
        }
        let refused = take(&shares, ONE).await;
        assert!(matches!(refused, Err(StorageError::TenantBusy)));
        assert!(take(&shares, OTHER).await.is_ok());
        held.pop();
        assert!(take(&shares, ONE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn m5_who_has_used_least_goes_first_however_many_of_anothers_came_before() {
        let shares = Shares::new(4, WAIT);
        let mut held = Vec::new();
        for tenant in [ONE, ONE, OTHER, OTHER] {
            held.push(take(&shares, tenant).await.unwrap());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = Uuid::from_u128(3);
        let mut many: Vec<_> = (0..100).map(|_| Box::pin(take(&shares, ONE))).collect();
        for waits in &mut many {
            assert!(waits.now_or_never().is_none());
        }
        let mut late = Box::pin(take(&shares, third));
        assert!((&mut late).now_or_never().is_none());
        held.remove(0);
        assert!((&mut late).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn m5_no_more_of_a_tenants_calls_wait_than_there_are_places() {
        let shares = Shares::new(4, WAIT);
        let held = [
            take(&shares, ONE).await.unwrap(),
            take(&shares, ONE).await.unwrap(),
        ];
        let mut waits: Vec<_> = (0..PLACES).map(|_| Box::pin(take(&shares, ONE))).collect();
        for waits in &mut waits {
            assert!(waits.now_or_never().is_none());
        }
        // At once: it would wait in vain.
        assert!(take(&shares, ONE).now_or_never().unwrap().is_err());
        // Signs of life have places of their own.
        let life = shares.take(ONE, Urgency::Life);
        assert!(life.now_or_never().is_none());
        // Who has gone keeps none.
        drop(waits);
        let mut last = Box::pin(take(&shares, ONE));
        assert!((&mut last).now_or_never().is_none());
        drop(held);
        assert!(last.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn h3_signs_of_life_go_before_reports_draws_and_people_and_keep_nobody_out() {
        let shares = Shares::new(2, WAIT * 1000);
        let held = [
            take(&shares, ONE).await.unwrap(),
            take(&shares, ONE).await.unwrap(),
        ];
        let order = Arc::new(Mutex::new(Vec::new()));
        let urgencies = [
            Urgency::Members,
            Urgency::Draws,
            Urgency::Reports,
            Urgency::Life,
        ];
        let calls = urgencies.iter().flat_map(|urgency| {
            let (shares, order, urgency) = (shares.clone(), order.clone(), *urgency);
            (0..8).map(move |_| {
                let (shares, order) = (shares.clone(), order.clone());
                async move {
                    let _share = shares.take(ONE, urgency).await.unwrap();
                    order.lock().push(urgency);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        });
        let calls = join_all(calls);
        let gives_back = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(held);
        };
        tokio::join!(calls, gives_back);
        let order = order.lock();
        assert!(
            order[..7].iter().all(|one| *one == Urgency::Life),
            "{order:?}"
        );
        assert_eq!(order[7], Urgency::Members, "{order:?}");
        let places = |urgency| order.iter().rposition(|one| *one == urgency);
        assert!(places(Urgency::Life) < places(Urgency::Reports));
        assert!(places(Urgency::Reports) < places(Urgency::Draws));
    }

    #[tokio::test(start_paused = true)]
    async fn shares_that_nobody_holds_are_forgotten() {
        let shares = Shares::new(12, WAIT);
        let held = take(&shares, ONE).await.unwrap();
        for n in 2..10_000 {
            drop(take(&shares, Uuid::from_u128(n)).await.unwrap());
        }
        let state = shares.0.as_ref().unwrap().state.lock();
        assert!(state.tenants.len() <= MAX_KEPT && state.tenants.contains_key(&ONE));
        drop(state);
        drop(held);
    }
}
