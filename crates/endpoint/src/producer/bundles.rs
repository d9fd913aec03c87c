//! The producer's bundles: those that are served, and those that are gone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use armour_api::{BundleState, Policy};
use armour_enclave::Enclave;
#[cfg(feature = "clone-demo")]
use armour_protocol::v2::body::{Body, BodyHash, Header, Kind};
use armour_protocol::v2::{context::Context, gate::Gate};
#[cfg(feature = "clone-demo")]
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[cfg(feature = "clone-demo")]
use super::exchange::Exchange;
use super::{gone::Gone, lane_table::LaneTable, shared_question::SharedQuestion};
use crate::{
    control_plane::{installation::Taken, session::Session},
    wire::body::Form,
};

/// Accepting a ticket and noting its exchange go together, lane by lane.
const STRIPES: usize = 16;
/// Of so many lanes of a bundle that closed the last answers are kept: each is up to 256 KiB, and
/// a bundle may have a thousand lanes.
const KEPT_CLOSED: usize = 16;
/// Most bundles remembered that are of no use.
const MAX_GONE: usize = 10_000;

/// A bundle that is served: the enclave holds its roots.
pub struct Held {
    /// The bundle.
    pub id: Uuid,
    /// The pair's policy.
    pub policy: Policy,
    /// How content is hashed and padded.
    pub form: Form,
    /// What it is bound to.
    pub context: Arc<Context>,
    /// What keeps strangers out.
    pub gate: Arc<Gate>,
    /// What is known of its lanes.
    pub lanes: Mutex<LaneTable>,
    stripes: [AsyncMutex<()>; STRIPES],
    /// When it was superseded, if it was.
    superseded: Mutex<Option<Instant>>,
    /// Cancelled once it can be used no more: what streams by it ends.
    pub ended: CancellationToken,
}

/// What is known of a bundle.
#[derive(Clone)]
pub enum Known {
    /// It can be used.
    Held(Arc<Held>),
    /// It cannot any more.
    Gone(Arc<Gone>),
}

/// All bundles of a producer.
pub struct Bundles {
    session: Arc<Session>,
    enclave: Enclave,
    known: Mutex<HashMap<Uuid, Known>>,
    /// Which bundles are new.
    question: Arc<SharedQuestion>,
    /// Cancelled once there were some and all were taken.
    settled: CancellationToken,
}

impl Held {
    fn new(taken: Taken) -> Self {
        Self::of(taken.grant.policy, taken.context, taken.gate)
    }

    /// A bundle that was not taken but copied.
    #[cfg(any(test, feature = "clone-demo"))]
    pub fn stolen(policy: Policy, context: Arc<Context>, gate: Gate) -> Self {
        Self::of(policy, context, gate)
    }

    /// Makes exchanges known that are under way: their lanes and numbers.
    #[cfg(feature = "clone-demo")]
    pub fn adopt(&self, streaming: &[(u16, u64)]) {
        for &(lane, n) in streaming {
            let ticket = Body {
                header: Header {
                    suite: self.context.suite(),
                    kind: Kind::Ticket,
                    bundle: self.context.binding().bundle,
                    lane,
                    n,
                },
                previous: BodyHash([0; 32]),
                rest: [0; 32],
            };
            let exchange = Exchange::answered(ticket, Bytes::new());
            self.lanes.lock().accepted(exchange);
        }
    }

    fn of(policy: Policy, context: Arc<Context>, gate: Gate) -> Self {
        Self {
            id: Uuid::from_bytes(context.binding().bundle),
            form: policy.padding.into(),
            lanes: Mutex::new(LaneTable::new(KEPT_CLOSED.min(policy.max_lanes as usize))),
            policy,
            context,
            gate: Arc::new(gate),
            stripes: Default::default(),
            superseded: Mutex::new(None),
            ended: CancellationToken::new(),
        }
    }

    /// The lock under which a lane's tickets are accepted.
    pub fn stripe(&self, lane: u16) -> &AsyncMutex<()> {
        &self.stripes[usize::from(lane) % STRIPES]
    }

    /// How long the agent may serve without hearing from the control plane.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.policy.lease_ms.into())
    }

    /// How long it still serves once it is superseded.
    fn grace(&self) -> Duration {
        Duration::from_millis(self.policy.supersede_grace_ms.into())
    }

    /// Whether its grace after being superseded is over.
    fn is_over(&self) -> bool {
        let superseded = *self.superseded.lock();
        superseded.is_some_and(|since| since.elapsed() > self.grace())
    }
}

impl Known {
    /// Whether the enclave knows how far its lanes came.
    fn is_kept(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::Gone(gone) => gone.is_kept(),
        }
    }
}

impl Bundles {
    /// None yet.
    pub fn new(session: Arc<Session>, enclave: Enclave) -> Self {
        Self {
            session,
            enclave,
            known: Mutex::default(),
            question: Arc::default(),
            settled: CancellationToken::new(),
        }
    }

    /// Waits until there were bundles for this endpoint, and all of them were taken.
    pub async fn settled(&self) {
        self.settled.cancelled().await;
    }

    /// How many bundles consumers may call by: those that were not superseded.
    pub fn in_use(&self) -> usize {
        let known = self.known.lock();
        let in_use = known.values().filter(|known| match known {
            Known::Held(held) => held.superseded.lock().is_none(),
            Known::Gone(_) => false,
        });
        in_use.count()
    }

    /// Ends what streams by any of them: nothing of it can be signed any more.
    pub fn cut(&self) {
        for known in self.known.lock().values() {
            if let Known::Held(held) = known {
                held.ended.cancel();
            }
        }
    }

    /// The bundles that are served.
    #[cfg(feature = "clone-demo")]
    fn held(&self) -> Vec<Arc<Held>> {
        let known = self.known.lock();
        let held = known.values().filter_map(|known| match known {
            Known::Held(held) => Some(held.clone()),
            Known::Gone(_) => None,
        });
        held.collect()
    }

    /// Bundles of which the enclave knows how far their lanes came: those that are served,
    /// and those that are yet to be compared with the ledger.
    pub fn kept(&self) -> Vec<Uuid> {
        let known = self.known.lock();
        let kept = known.iter().filter(|(_, known)| known.is_kept());
        kept.map(|(id, _)| *id).collect()
    }

    /// The same, to be named in a heartbeat that is sent now.
    pub fn named(&self) -> Vec<Uuid> {
        for known in self.known.lock().values() {
            if let Known::Gone(gone) = known {
                gone.named();
            }
        }
        self.kept()
    }

    /// Whether the enclave knows how far this one's lanes came.
    pub fn keeps(&self, id: Uuid) -> bool {
        self.known.lock().get(&id).is_some_and(Known::is_kept)
    }

    /// Those that are held and not superseded.
    #[cfg(feature = "clone-demo")]
    pub fn current(&self) -> Vec<Arc<Held>> {
        let mut held = self.held();
        held.retain(|held| held.superseded.lock().is_none());
        held
    }

    /// Holds a bundle that was copied.
    #[cfg(any(test, feature = "clone-demo"))]
    pub fn adopt(&self, held: Held) {
        let (id, held) = (held.id, Known::Held(Arc::new(held)));
        self.known.lock().insert(id, held);
    }

    /// What is known of a bundle. One that is not may have been minted a moment ago: a few
    /// connections wait for one question that all of them share.
    pub async fn get(self: &Arc<Self>, id: Uuid) -> Option<Known> {
        if let Some(known) = self.lookup(id).await {
            return Some(known);
        }
        let bundles = self.clone();
        let question = move || async move { bundles.take_pending().await };
        self.question.ask_for_stranger(question).await;
        self.lookup(id).await
    }

    /// Takes the bundles that were minted for this endpoint and are not here yet.
    pub async fn refresh(self: &Arc<Self>) {
        let bundles = self.clone();
        let question = move || async move { bundles.take_pending().await };
        self.question.ask(question).await;
    }

    async fn take_pending(&self) {
        let pending = match self.session.pending().await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(%error, "cannot ask for new bundles");
                return;
            }
        };
        for id in pending {
            if self.known.lock().contains_key(&id) {
                continue;
            }
            match self.session.take_bundle(id, None).await {
                Ok(taken) => {
                    tracing::info!(bundle = %id, pinned = taken.pinned, "took a bundle");
                    let held = Known::Held(Arc::new(Held::new(taken)));
                    self.known.lock().insert(id, held);
                }
                Err(error) => {
                    tracing::error!(bundle = %id, error = format!("{error:#}"),
                        "a bundle is not taken");
                    self.session.note(format!("bundle {id}: {error}"));
                }
            }
        }
        if self.in_use() > 0 {
            self.settled.cancel();
        }
    }

    /// Takes note of a bundle's state.
    pub async fn set_state(self: &Arc<Self>, id: Uuid, state: BundleState) {
        let known = self.known.lock().get(&id).cloned();
        match (known, state) {
            (None, _) | (_, BundleState::Active) => {}
            (Some(Known::Held(held)), BundleState::Superseded) => self.end_later(held),
            (Some(Known::Held(held)), BundleState::Retired | BundleState::Disconnected) => {
                self.end(&held, state).await;
            }
            (Some(Known::Gone(gone)), BundleState::Disconnected) => {
                if gone.compare_next() {
                    self.session.heartbeat_now();
                }
            }
            (Some(Known::Gone(_)), BundleState::Superseded | BundleState::Retired) => {}
        }
    }

    /// A heartbeat's answer held nothing of a bundle's lanes that is not this producer's own.
    /// Whether it was erased: that was the last comparison.
    pub async fn compared(&self, id: Uuid, state: BundleState) -> bool {
        let known = self.known.lock().get(&id).cloned();
        let Some(Known::Gone(gone)) = known else {
            return false;
        };
        if !gone.compared() {
            return false;
        }
        if self.enclave.erase(id.into_bytes()).await.is_ok() {
            tracing::info!(bundle = %id, "erased a bundle");
        }
        if state == BundleState::Disconnected {
            // The next heartbeat acknowledges that; it is sent at once.
            self.session.heartbeat_now();
        }
        true
    }

    /// Ends a bundle whose keys are in other hands, or its consumer's: that finds it gone, and
    /// draws another.
    pub async fn give_up(&self, held: &Held) {
        self.end(held, BundleState::Retired).await;
    }

    /// Ends a bundle that was superseded, once its grace is over.
    fn end_later(self: &Arc<Self>, held: Arc<Held>) {
        {
            let mut superseded = held.superseded.lock();
            if superseded.is_some() {
                return;
            }
            *superseded = Some(Instant::now());
        }
        let bundles = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(held.grace()).await;
            bundles.end(&held, BundleState::Superseded).await;
        });
    }

    async fn lookup(&self, id: Uuid) -> Option<Known> {
        let known = self.known.lock().get(&id).cloned();
        match known {
            Some(Known::Held(held)) if held.is_over() => {
                self.end(&held, BundleState::Superseded).await;
                self.known.lock().get(&id).cloned()
            }
            known => known,
        }
    }

    /// Serves a bundle no more, and erases its roots. How far its lanes came is kept until
    /// that was compared with the ledger.
    async fn end(&self, held: &Held, why: BundleState) {
        let compared_from = match why {
            // Nothing more is recorded, and the operator waits for the acknowledgement.
            BundleState::Disconnected => Instant::now(),
            // What its consumer took until now may be reported as late as that.
            _ => Instant::now() + held.lease(),
        };
        {
            let mut known = self.known.lock();
            if !matches!(known.get(&held.id), Some(Known::Held(_))) {
                return;
            }
            if known.len() > MAX_GONE {
                known.retain(|_, known| known.is_kept());
            }
            let gone = Gone::new(held.context.clone(), held.gate.clone(), compared_from);
            known.insert(held.id, Known::Gone(Arc::new(gone)));
        }
        held.ended.cancel();
        if self.enclave.end(held.id.into_bytes()).await.is_ok() {
            tracing::info!(bundle = %held.id, why = why.into_str(), "ended a bundle");
        }
        self.session.heartbeat_now();
    }
}
