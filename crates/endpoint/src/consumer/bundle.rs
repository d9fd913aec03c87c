//! The consumer's bundle and its lanes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use armour_api::Policy;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{context::Context, gate::Gate};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::standing::{Phase, Standing};
use crate::wire::body::Form;

/// For so long at least a producer may not be heard of before another bundle is drawn.
const UNREACHABLE: Duration = Duration::from_secs(5);

/// A bundle that is installed in the enclave.
pub struct Bundle {
    /// The bundle.
    pub id: Uuid,
    /// The pair's policy.
    pub policy: Policy,
    /// How content is hashed and padded.
    pub form: Form,
    /// What it is bound to.
    pub context: Arc<Context>,
    /// What keeps strangers out.
    pub gate: Gate,
    /// Where the producer is reached.
    pub producer: String,
    /// How its producer's endpoint stands.
    pub standing: Arc<Standing>,
    /// Cancelled once the bundle must not be used any more.
    pub dead: CancellationToken,
    /// Whether that is because the control plane has disconnected it.
    pub condemned: AtomicBool,
    /// Cancelled once its producer is given up: what is lost now is not sent again.
    pub leaving: CancellationToken,
    /// Whether its successor is being drawn, which supersedes it.
    pub renewing: AtomicBool,
    /// Notified when another bundle should be drawn: this one's producer is not reached.
    pub useless: Notify,
    /// Cancelled once its producer leaves: another bundle should be drawn soon.
    pub moves: CancellationToken,
    /// Whether another endpoint should be served by instead, since this one has too many
    /// bundles; notified when that becomes so.
    pub is_one_too_many: AtomicBool,
    /// See above.
    pub rebalance: Notify,
    hearing: Mutex<Hearing>,
    lanes: Arc<Semaphore>,
    /// The part of the lanes that streams may take.
    streams: Arc<Semaphore>,
    pool: Mutex<Pool>,
}

/// When the producer was heard of.
#[derive(Default)]
struct Hearing {
    heard: Option<Instant>,
    /// Since when it has not been, though it was called.
    silent: Option<Instant>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
    /// Lanes that are of no more use. A new one names one of them, so that the producer
    /// counts it no longer.
    lost: Vec<Lost>,
}

struct Idle {
    lane: u16,
    /// Since its last exchange.
    since: Instant,
    /// Since its last call.
    unused: Instant,
}

/// What a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call that is over soon.
    Call,
    /// One that may last: three quarters of the lanes are for these at most.
    Stream,
}

/// Whether there is a lane.
pub enum Place {
    /// An open one.
    Lane(Lane),
    /// One is to be opened, in place of a lost one if there is any.
    Fresh(Fresh),
}

/// Room for a lane that is to be opened.
pub struct Fresh {
    permit: OwnedSemaphorePermit,
    stream: Option<OwnedSemaphorePermit>,
    /// A lane that was lost.
    pub lost: Option<Lost>,
}

/// A lane that is of no more use.
pub struct Lost {
    /// The lane's number.
    pub lane: u16,
    /// Its last ticket, if the producer may not have it: that was reported, and the ledger
    /// would wait for the producer's word for ever.
    pub unseen: Option<Bytes>,
}

/// A lane for as long as an exchange needs it. Dropped, it is idle again, or lost if an
/// exchange is not concluded.
pub struct Lane {
    /// The bundle.
    pub bundle: Arc<Bundle>,
    /// The lane's number.
    pub number: u16,
    state: State,
    unused: Instant,
    /// The frame of the ticket under way, until the producer is known to have it.
    unseen: Option<Bytes>,
    permit: Option<OwnedSemaphorePermit>,
    /// Of a stream's: its place among them.
    stream: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    UnderWay,
    Closed,
}

/// What is due of an idle lane.
pub enum Due {
    /// A ticket without content.
    Refresh(Lane),
    /// Its last ticket.
    Close(Lane),
}

impl Bundle {
    /// A bundle without lanes.
    pub fn new(
        policy: Policy,
        context: Arc<Context>,
        gate: Gate,
        producer: String,
        standing: Arc<Standing>,
    ) -> Arc<Self> {
        let max_lanes = policy.max_lanes as usize;
        Arc::new(Self {
            id: Uuid::from_bytes(context.binding().bundle),
            form: policy.padding.into(),
            lanes: Arc::new(Semaphore::new(max_lanes)),
            streams: Arc::new(Semaphore::new(max_lanes - max_lanes / 4)),
            policy,
            context,
            gate,
            producer,
            standing,
            dead: CancellationToken::new(),
            leaving: CancellationToken::new(),
            condemned: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
            useless: Notify::new(),
            moves: CancellationToken::new(),
            is_one_too_many: AtomicBool::new(false),
            rebalance: Notify::new(),
            hearing: Mutex::default(),
            pool: Mutex::default(),
        })
    }

    /// How the enclave knows a lane.
    pub fn lane_id(&self, lane: u16) -> LaneId {
        LaneId {
            bundle: self.id.into_bytes(),
            lane,
        }
    }

    /// How long the agent may serve without hearing from the control plane.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.policy.lease_ms.into())
    }

    /// The bundle is of no more use.
    pub fn kill(&self, condemned: bool) {
        self.condemned.fetch_or(condemned, Ordering::Relaxed);
        self.dead.cancel();
    }

    /// Whether a lane for this may be had at once.
    pub fn has_room(&self, kind: Kind) -> bool {
        let is_free = |lanes: &Semaphore| lanes.available_permits() > 0;
        is_free(&self.lanes) && (kind == Kind::Call || is_free(&self.streams))
    }

    /// A lane: the one used last, else room for a new one, else the first to be free. None
    /// of a dead bundle.
    pub async fn place(self: &Arc<Self>, kind: Kind, until: Instant) -> Option<Place> {
        let placed = tokio::time::timeout_at(until, async {
            let stream = match kind {
                Kind::Call => None,
                Kind::Stream => Some(self.streams.clone().acquire_owned().await.ok()?),
            };
            Some((self.lanes.clone().acquire_owned().await.ok()?, stream))
        });
        let (permit, stream) = placed.await.ok()??;
        if self.dead.is_cancelled() {
            return None;
        }
        let mut pool = self.pool.lock();
        Some(match pool.idle.pop() {
            Some(idle) => Place::Lane(self.lane(idle, permit, stream)),
            None => Place::Fresh(Fresh {
                permit,
                stream,
                lost: pool.lost.pop(),
            }),
        })
    }

    /// An idle lane for which something is due, if there is one: it is refreshed after one
    /// interval without an exchange, and closed after four without a call, down to one.
    pub fn due(self: &Arc<Self>, interval: Duration) -> Option<Due> {
        if self.dead.is_cancelled() {
            return None;
        }
        let permit = self.lanes.clone().try_acquire_owned().ok()?;
        let mut pool = self.pool.lock();
        let others = pool.idle.len() > 1 || self.busy() > 1;
        let is_due = |idle: &Idle| {
            idle.since.elapsed() >= interval || (others && idle.unused.elapsed() >= interval * 4)
        };
        let at = pool.idle.iter().position(is_due)?;
        let idle = pool.idle.remove(at);
        let close = others && idle.unused.elapsed() >= interval * 4;
        let lane = self.lane(idle, permit, None);
        Some(match close {
            true => Due::Close(lane),
            false => Due::Refresh(lane),
        })
    }

    fn lane(
        self: &Arc<Self>,
        idle: Idle,
        permit: OwnedSemaphorePermit,
        stream: Option<OwnedSemaphorePermit>,
    ) -> Lane {
        Lane {
            bundle: self.clone(),
            number: idle.lane,
            state: State::Idle,
            unused: idle.unused,
            unseen: None,
            permit: Some(permit),
            stream,
        }
    }

    /// A lane that was opened in this room.
    pub fn opened(self: &Arc<Self>, fresh: Fresh, number: u16) -> Lane {
        let now = Instant::now();
        let idle = Idle {
            lane: number,
            since: now,
            unused: now,
        };
        self.lane(idle, fresh.permit, fresh.stream)
    }

    /// A lane could not be opened: that which it would have replaced is lost still.
    pub fn not_opened(&self, fresh: Fresh) {
        self.pool.lock().lost.extend(fresh.lost);
    }

    /// A lane is of no more use.
    pub fn lost(&self, number: u16) {
        self.pool.lock().lost.push(Lost {
            lane: number,
            unseen: None,
        });
    }

    /// Lanes in use.
    pub fn busy(&self) -> usize {
        (self.policy.max_lanes as usize).saturating_sub(self.lanes.available_permits())
    }

    /// Whether any lane carries a stream.
    pub fn has_streams(&self) -> bool {
        let all = self.policy.max_lanes as usize;
        self.streams.available_permits() < all - all / 4
    }

    /// Waits until no lane is in use, for so long at most.
    pub async fn quiet(&self, within: Duration) {
        let all = self.lanes.acquire_many(self.policy.max_lanes);
        let _ = tokio::time::timeout(within, all).await;
    }

    /// Whether the producer has answered lately, or was not called.
    pub fn is_heard(&self) -> bool {
        self.hearing.lock().silent.is_none()
    }

    /// Its producer takes no more calls, or will not soon: it is about to leave.
    pub fn producer_leaves(&self, phase: Phase) {
        self.standing.set_phase(phase);
        self.moves.cancel();
    }

    /// The producer has answered.
    pub fn heard(&self) {
        self.standing.heard();
        *self.hearing.lock() = Hearing {
            heard: Some(Instant::now()),
            silent: None,
        };
    }

    /// The producer was called at a time and has not answered. After a while another bundle
    /// is wanted: it may be another endpoint's.
    pub fn unheard(&self, since: Instant) {
        let mut hearing = self.hearing.lock();
        if hearing.heard.is_some_and(|heard| heard > since) {
            return;
        }
        let silent = *hearing.silent.get_or_insert(since);
        if silent.elapsed() >= self.unreachable_after() {
            self.useless.notify_one();
        }
    }

    /// For so long a producer may not be heard of before another bundle is drawn. It has
    /// this policy's time to begin a call, and says so then.
    pub fn unreachable_after(&self) -> Duration {
        UNREACHABLE.max(Duration::from_millis(self.policy.begin_within_ms.into()) * 2)
    }

    /// Makes lanes known that are open already.
    #[cfg(feature = "clone-demo")]
    pub fn adopt(&self, lanes: &[u16]) {
        let now = Instant::now();
        self.pool.lock().idle.extend(lanes.iter().map(|&lane| Idle {
            lane,
            since: now,
            unused: now,
        }));
    }
}

impl Lane {
    /// How the enclave knows the lane.
    pub fn id(&self) -> LaneId {
        self.bundle.lane_id(self.number)
    }

    /// A ticket has been signed, whose frame this is if there is one: until it is concluded
    /// the lane is of no use.
    pub fn under_way(&mut self, frame: Option<Bytes>) {
        self.state = State::UnderWay;
        self.unseen = frame;
    }

    /// The producer has the ticket under way.
    pub fn is_seen(&mut self) {
        self.unseen = None;
    }

    /// What it carries turns out to last: it takes a place among streams if there is one, and
    /// those that come later wait.
    pub fn streams(&mut self) {
        if self.stream.is_none() {
            self.stream = self.bundle.streams.clone().try_acquire_owned().ok();
        }
    }

    /// A call uses it.
    pub fn used(&mut self) {
        self.unused = Instant::now();
    }

    /// Its exchange is concluded.
    pub fn is_free(&mut self) {
        self.state = State::Idle;
    }

    /// Room for another in its place, if its exchange is not concluded.
    pub fn into_fresh(mut self) -> Option<Fresh> {
        if self.state != State::UnderWay {
            return None;
        }
        let permit = self.permit.take()?;
        self.state = State::Closed;
        Some(Fresh {
            permit,
            stream: None,
            lost: Some(self.lost()),
        })
    }

    fn lost(&mut self) -> Lost {
        Lost {
            lane: self.number,
            unseen: self.unseen.take(),
        }
    }

    /// It has ended, at both ends.
    pub fn is_closed(&mut self) {
        self.state = State::Closed;
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let lost = self.lost();
        let mut pool = self.bundle.pool.lock();
        match self.state {
            State::Idle => pool.idle.push(Idle {
                lane: self.number,
                since: Instant::now(),
                unused: self.unused,
            }),
            State::UnderWay => pool.lost.push(lost),
            State::Closed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_protocol::v2::context::Context;

    use super::*;
    use crate::testing;

    fn bundle(max_lanes: u32) -> Arc<Bundle> {
        let policy = Policy {
            max_lanes,
            ..Policy::default()
        };
        let context: Arc<Context> = testing::Lane::open().context;
        let gate = Gate::from_bytes([1; 32]);
        let standing = Standing::new(Uuid::nil(), armour_ambient::Random::seeded(1));
        let producer = "http://127.0.0.1:9".to_owned();
        Bundle::new(policy, context, gate, producer, standing)
    }

    async fn place(bundle: &Arc<Bundle>) -> Option<Place> {
        bundle.place(Kind::Call, Instant::now()).await
    }

    fn opened(bundle: &Arc<Bundle>, place: Option<Place>, number: u16) -> (Lane, Option<u16>) {
        let Some(Place::Fresh(fresh)) = place else {
            panic!("it is not new");
        };
        let lost = fresh.lost.as_ref().map(|lost| lost.lane);
        (bundle.opened(fresh, number), lost)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_whose_exchange_is_not_concluded_is_replaced_and_never_used_again() {
        let bundle = bundle(2);
        let (mut lane, lost) = opened(&bundle, place(&bundle).await, 0);
        assert_eq!(lost, None);
        lane.under_way(None);
        lane.is_free();
        drop(lane);
        let Some(Place::Lane(mut lane)) = place(&bundle).await else {
            panic!("it is idle");
        };
        lane.under_way(None);
        drop(lane);
        let (_lane, lost) = opened(&bundle, place(&bundle).await, 1);
        assert_eq!(lost, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_lane_whose_exchange_is_not_concluded_makes_room_for_another() {
        let bundle = bundle(1);
        let (mut lane, _) = opened(&bundle, place(&bundle).await, 0);
        lane.under_way(None);
        let fresh = lane.into_fresh().unwrap();
        assert!(fresh.lost.as_ref().is_some_and(|lost| lost.lane == 0));
        let lane = bundle.opened(fresh, 1);
        assert!(lane.into_fresh().is_none());
        assert!(matches!(place(&bundle).await, Some(Place::Lane(lane)) if lane.number == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_lanes_than_the_policy_has() {
        let bundle = bundle(1);
        let (lane, _) = opened(&bundle, place(&bundle).await, 0);
        assert!(place(&bundle).await.is_none());
        assert_eq!(bundle.busy(), 1);
        drop(lane);
        assert!(matches!(place(&bundle).await, Some(Place::Lane(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_take_three_quarters_of_the_lanes_at_most() {
        let bundle = bundle(8);
        let mut lanes = Vec::new();
        for number in 0..6 {
            let place = bundle.place(Kind::Stream, Instant::now()).await;
            lanes.push(opened(&bundle, place, number).0);
        }
        assert!(!bundle.has_room(Kind::Stream) && bundle.has_room(Kind::Call));
        assert!(bundle.place(Kind::Stream, Instant::now()).await.is_none());
        let (mut lane, _) = opened(&bundle, place(&bundle).await, 6);
        // One that lasts though nobody could know is not cut.
        lane.streams();
        lanes.pop();
        assert!(bundle.has_room(Kind::Stream));
        lane.streams();
        assert!(!bundle.has_room(Kind::Stream));
        drop(lane);
        assert!(bundle.has_room(Kind::Stream));
    }

    #[test]
    fn few_lanes_are_for_streams_as_well() {
        for max_lanes in 1..4 {
            let streams = bundle(max_lanes).streams.available_permits();
            assert_eq!(streams, max_lanes as usize);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_lane_of_a_bundle_that_dies_gets_none() {
        let bundle = bundle(1);
        let (lane, _) = opened(&bundle, place(&bundle).await, 0);
        let until = Instant::now() + Duration::from_secs(1);
        let waiting = tokio::spawn({
            let bundle = bundle.clone();
            async move { bundle.place(Kind::Call, until).await.is_none() }
        });
        tokio::task::yield_now().await;
        bundle.kill(false);
        drop(lane);
        assert!(waiting.await.unwrap());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(bundle.due(Duration::from_secs(30)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_lanes_are_refreshed_and_closed_down_to_one() {
        let bundle = bundle(3);
        let mut lanes = Vec::new();
        for number in 0..3 {
            lanes.push(opened(&bundle, place(&bundle).await, number).0);
        }
        drop(lanes);
        let interval = Duration::from_secs(30);
        assert!(bundle.due(interval).is_none());
        tokio::time::advance(interval).await;
        for _ in 0..3 {
            assert!(matches!(bundle.due(interval), Some(Due::Refresh(_))));
        }
        assert!(bundle.due(interval).is_none());
        tokio::time::advance(interval * 3).await;
        let mut closed = 0;
        while let Some(due) = bundle.due(interval) {
            if let Due::Close(mut lane) = due {
                lane.is_closed();
                closed += 1;
            }
        }
        assert_eq!(closed, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn p6_another_bundle_is_wanted_once_the_producer_is_not_heard_of() {
        let bundle = bundle(1);
        let called = Instant::now();
        bundle.unheard(called);
        assert!(!bundle.is_heard());
        tokio::time::advance(Duration::from_secs(3)).await;
        bundle.heard();
        // A call that was lost before that says nothing.
        tokio::time::advance(Duration::from_secs(9)).await;
        bundle.unheard(called);
        assert!(bundle.is_heard());
        let called = Instant::now();
        bundle.unheard(called);
        tokio::time::advance(Duration::from_secs(6)).await;
        bundle.unheard(Instant::now());
        bundle.useless.notified().await;
    }
}
