//! The pairs that one agent serves, each on a listener of its own; they come and go with
//! the settings.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use armour_api::{BundleStatus, Event, EventKind, Pair};
use armour_listener::{Listener, Tls};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    assigned::Assigned,
    ingress, lifecycle,
    pair::{ConsumerPair, Shared},
    settings::{Manner, PairSettings},
};
use crate::{
    control_plane::{dead::Dead, session::Watcher},
    listening,
};

/// How long until settings that could not be put in force are tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether there are bundles, until there are.
const LOOK: Duration = Duration::from_millis(50);
/// How long what is still unreported may take before bundles are given up.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// All pairs of an agent.
pub struct PairManager {
    pub(super) shared: Arc<Shared>,
    served: Mutex<HashMap<Uuid, Served>>,
    pub(super) assigned: Assigned,
    /// Whether the settings are in force.
    are_served: AtomicBool,
    /// Listeners that were opened before there was an endpoint.
    opened: Mutex<HashMap<SocketAddr, TcpListener>>,
}

struct Served {
    consumer: Arc<ConsumerPair>,
    /// Where applications call, if not from this process.
    listener: Option<PairListener>,
}

struct PairListener {
    settings: PairSettings,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl PairManager {
    /// None yet.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            served: Mutex::default(),
            assigned: Assigned::default(),
            are_served: AtomicBool::new(false),
            opened: Mutex::default(),
        })
    }

    /// Takes over listeners that are open already, by the addresses of the settings.
    pub fn take_over(&self, listeners: HashMap<SocketAddr, TcpListener>) {
        *self.opened.lock() = listeners;
    }

    /// Serves what the settings want, and follows them until `stop` is cancelled; then
    /// takes no more requests, and ends once those under way have ended.
    ///
    /// # Errors
    /// If the first settings cannot be served.
    pub async fn serve<S: AsRef<[PairSettings]>>(
        self: Arc<Self>,
        mut settings: watch::Receiver<S>,
        tls: Option<Tls>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut first = true;
        loop {
            let wanted = settings.borrow_and_update().as_ref().to_vec();
            let applied = self.apply(wanted, tls.as_ref()).await;
            if applied.is_ok() {
                self.are_served.store(true, Ordering::Relaxed);
            }
            if let Err(error) = &applied {
                if first {
                    return applied;
                }
                let error = format!("{error:#}");
                tracing::error!(error, "not all settings are in force; trying again");
            }
            first = false;
            let again = async {
                match applied {
                    Ok(()) => std::future::pending().await,
                    Err(_) => tokio::time::sleep(TRY_AGAIN).await,
                }
            };
            tokio::select! {
                () = again => {}
                changed = settings.changed() => if changed.is_err() {
                    // They are fixed.
                    stop.cancelled().await;
                    break;
                },
                () = stop.cancelled() => break,
            }
        }
        let listeners: Vec<PairListener> = {
            let mut served = self.served.lock();
            let listeners = served
                .values_mut()
                .filter_map(|served| served.listener.take());
            listeners
                .inspect(|listener| listener.stop.cancel())
                .collect()
        };
        for listener in listeners {
            let _ = listener.task.await;
        }
        Ok(())
    }

    /// A pair for this process's own calls.
    ///
    /// # Errors
    /// If there is no such pair.
    pub async fn pair(&self, wanted: Option<Uuid>) -> anyhow::Result<Arc<ConsumerPair>> {
        let pair = choose(&self.shared.session.own().await?.pairs, wanted)?;
        let mut served = self.served.lock();
        let served = served.entry(pair.id).or_insert_with(|| Served {
            consumer: lifecycle::start(self.shared.clone(), pair, Manner::default()),
            listener: None,
        });
        Ok(served.consumer.clone())
    }

    /// The endpoint has ended: no call waits for a bundle or an answer any more.
    pub fn has_ended(&self) {
        for served in self.served.lock().values() {
            served.consumer.has_ended();
        }
    }

    /// Gives up every pair's bundles, and this start of the endpoint with them.
    pub async fn leave(&self) {
        let served: Vec<Served> = self
            .served
            .lock()
            .drain()
            .map(|(_, served)| served)
            .collect();
        let mut bundles = Vec::new();
        for served in &served {
            bundles.extend(served.consumer.close().await);
        }
        // Before the producers hear of it, who compare what is recorded then.
        self.shared.reporter.drain(LAST_REPORTS).await;
        self.shared.session.leave(bundles).await;
        for served in served {
            served.consumer.erase_all().await;
        }
    }

    /// The only pair, if there is one alone.
    #[cfg(feature = "clone-demo")]
    pub fn only(&self) -> Option<Arc<ConsumerPair>> {
        let served = self.served.lock();
        let mut all = served.values();
        let only = all.next().map(|served| served.consumer.clone());
        only.filter(|_| all.next().is_none())
    }

    async fn apply(&self, wanted: Vec<PairSettings>, tls: Option<&Tls>) -> anyhow::Result<()> {
        let pairs = self.shared.session.own().await?.pairs;
        let mut chosen = HashMap::new();
        for settings in wanted {
            let pair = choose(&pairs, settings.pair)?;
            chosen.insert(pair.id, (pair, settings));
        }
        let ended: Vec<Served> = {
            let mut served = self.served.lock();
            let gone: Vec<Uuid> = served
                .iter()
                .filter(|(id, served)| {
                    let wanted = chosen.get(id).map(|(_, wanted)| wanted);
                    let had = served.listener.as_ref().map(|listener| &listener.settings);
                    !wanted
                        .zip(had)
                        .is_some_and(|(wanted, had)| wanted.is_as(had))
                })
                .map(|(id, _)| *id)
                .collect();
            gone.iter().filter_map(|id| served.remove(id)).collect()
        };
        for served in ended {
            served.end().await;
        }
        let mut failed = None;
        for (id, (pair, settings)) in chosen {
            if let Some(served) = self.served.lock().get(&id) {
                served
                    .consumer
                    .be_patient_for(settings.retry_for, settings.lane_wait_ms);
                continue;
            }
            let opened = self.opened.lock().remove(&settings.listen);
            let listener = match opened {
                Some(listener) => Ok(listener),
                None => listening::listen(settings.listen),
            };
            match listener {
                Ok(listener) => self.begin(pair, settings, listener, tls.cloned()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn begin(&self, pair: Pair, settings: PairSettings, listener: TcpListener, tls: Option<Tls>) {
        let id = pair.id;
        let consumer = lifecycle::start(self.shared.clone(), pair, settings.manner());
        let stop = CancellationToken::new();
        let router = ingress::router(consumer.clone());
        let listener = Listener::new(listener, tls).title_case_fields(settings.title_case_fields);
        let task = listening::serve(listener, router, stop.clone());
        let listener = PairListener {
            settings,
            stop,
            task: tokio::spawn(task),
        };
        let served = Served {
            consumer,
            listener: Some(listener),
        };
        self.served.lock().insert(id, served);
    }

    /// What concerns all pairs alike.
    pub(super) fn all(&self) -> Vec<Arc<ConsumerPair>> {
        let served = self.served.lock();
        served
            .values()
            .map(|served| served.consumer.clone())
            .collect()
    }

    /// The shortest of a policy's intervals, or this where there is no pair.
    pub fn shortest(&self, of: fn(&Pair) -> u32, default: u32) -> Duration {
        let all = self.all();
        let shortest = all.iter().map(|consumer| of(&consumer.pair.lock())).min();
        Duration::from_millis(shortest.unwrap_or(default).into())
    }

    /// Whether the settings' pairs are served, and each has a bundle.
    pub fn has_bundles(&self) -> bool {
        let all = self.all();
        let mut all = all.iter();
        self.are_served.load(Ordering::Relaxed)
            && all.all(|consumer| !consumer.serving().is_empty())
    }

    /// Waits until the settings' pairs are served, and each has a bundle.
    pub async fn have_bundles(&self) {
        while !self.has_bundles() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lanes in use.
    pub fn busy_lanes(&self) -> usize {
        let all = self.all();
        let bundles = all.iter().flat_map(|consumer| consumer.serving());
        bundles.map(|bundle| bundle.busy()).sum()
    }
}

impl Served {
    /// Takes no more requests, lets those under way end, and gives up the bundle.
    async fn end(self) {
        if let Some(listener) = self.listener {
            listener.stop.cancel();
            if tokio::time::timeout(listening::DRAIN, listener.task)
                .await
                .is_err()
            {
                tracing::warn!("some requests were still under way");
            }
        }
        let bundles = self.consumer.close().await;
        let reporter = &self.consumer.reporter;
        if tokio::time::timeout(LAST_REPORTS, reporter.flush())
            .await
            .is_err()
        {
            tracing::warn!("some exchanges are not reported yet");
        }
        if let Err(error) = self.consumer.session.retire(bundles, false).await {
            tracing::warn!(%error, "bundles are not retired");
        }
        self.consumer.erase_all().await;
    }
}

/// The pair wanted, of those that the consumer has.
///
/// # Errors
/// If it has no such pair, or has several and none is named.
pub fn choose(pairs: &[Pair], wanted: Option<Uuid>) -> anyhow::Result<Pair> {
    match (wanted, pairs) {
        (Some(id), pairs) => pairs
            .iter()
            .find(|pair| pair.id == id)
            .cloned()
            .with_context(|| format!("pair {id} is not this consumer's")),
        (None, [one]) => Ok(one.clone()),
        (None, []) => {
            bail!("this consumer has no pair yet; create one with `armour pairs create`")
        }
        (None, many) => bail!(
            "this consumer has {} pairs; choose one with --pair, or several in --config",
            many.len()
        ),
    }
}

impl Watcher for PairManager {
    fn bundles(&self) -> Vec<Uuid> {
        let all = self.all();
        let bundles = all.iter().flat_map(|consumer| consumer.live_ids());
        bundles.collect()
    }

    fn heartbeat_interval(&self) -> Duration {
        self.shortest(|pair| pair.policy.heartbeat_interval_ms, 5_000)
    }

    fn lease(&self) -> Duration {
        self.shortest(|pair| pair.policy.lease_ms, 60_000)
    }

    async fn status(&self, status: BundleStatus) {
        for consumer in self.all() {
            consumer.status(status.clone()).await;
        }
    }

    async fn dead(&self, dead: Dead) {
        for consumer in self.all() {
            consumer.kill(dead.bundle, dead.disconnected);
        }
    }

    fn assignments(&self, number: u64) {
        self.assigned.is_now(number);
    }

    async fn event(&self, event: Event) {
        let all = self.all();
        if event.known_kind() == Some(EventKind::AssignmentsChanged) {
            let within = event.detail.get("within_ms");
            self.assigned
                .changed_within(within.and_then(serde_json::Value::as_u64));
        }
        if event.kind == "pair.updated"
            && let Ok(own) = self.shared.session.client().endpoint().await
        {
            for pair in own.pairs {
                for consumer in &all {
                    consumer.update(&pair);
                }
            }
        }
        for consumer in all {
            consumer.event(&event);
        }
    }
}
