//! One bundle after the other: draws it, renews it before it ends, and replaces it when it is of
//! no more use or its producer is not.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use armour_api::ProblemType;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    drawing::{Failed, draw},
    giving_up::{Grace, give_up_later},
    keeper,
    pair::ConsumerPair,
    probing,
    release::Holding,
    serving::Why,
};
use crate::{backoff::Backoff, metrics::METRICS};

/// A bundle whose producer is not reached is given up for another one no more often.
const REPLACE_INTERVAL: Duration = Duration::from_secs(10);
/// A bundle is renewed at a random moment between these parts of its lifetime, in percent.
const RENEW_FROM: u64 = 70;
const RENEW_UNTIL: u64 = 90;
/// Bundles of which a producer has too many are replaced at a random moment within this time,
/// one of a pair at a time.
const REBALANCE_WITHIN_MS: u16 = 5_000;
/// Where nothing but the bundle in use is granted, it is asked again after this time, unless the
/// control plane assigns anew before.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Whether streams have ended is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A producer that leaves has gone within this time.
const STREAMS_LEAVE_WITHIN: Duration = Duration::from_secs(600);

/// A bundle that was of use for less than this is followed by a pause, ever longer.
const LIVED: Duration = Duration::from_secs(10);

/// What draws one bundle after the other.
pub struct Slot {
    consumer: Arc<ConsumerPair>,
    /// What it holds, for those who look at all slots.
    holding: Arc<Holding>,
    held: Option<Held>,
    /// What was drawn last: what is drawn next takes its place, whether it came into use or not.
    last: Option<Uuid>,
    /// Whether that was granted and not taken: the control plane counts it as held.
    is_stray: bool,
    /// When its producer was not reached last, and another bundle was drawn therefore.
    replaced: Option<Instant>,
}

/// A bundle in use.
struct Held {
    bundle: Arc<Bundle>,
    /// When it was drawn.
    since: Instant,
    /// When it is renewed.
    due: Instant,
    /// When it ends.
    end: Instant,
    _keeper: AbortOnDropHandle<()>,
    _probing: AbortOnDropHandle<()>,
}

/// Why another bundle is wanted.
enum Wanted {
    /// There is none.
    First,
    /// The one in use must not be used any more.
    Dead,
    /// It is near its end.
    Due,
    /// Its producer is not reached.
    Useless,
    /// Its producer leaves.
    Moves,
    /// Its producer has too many.
    Rebalance,
    /// This pair has too many, maybe.
    Released,
}

/// What comes of an attempt.
enum Drawn {
    /// There is another bundle, or there is to be none.
    Done,
    /// Later.
    Again,
    /// This slot is one too many.
    Over,
}

impl Slot {
    /// One without a bundle.
    pub fn new(consumer: Arc<ConsumerPair>, holding: Arc<Holding>) -> Self {
        Self {
            consumer,
            holding,
            held: None,
            last: None,
            is_stray: false,
            replaced: None,
        }
    }

    /// Runs until the pair is not served here any more, or there are enough bundles without
    /// this.
    pub async fn run(mut self) {
        let consumer = self.consumer.clone();
        tokio::select! {
            () = self.serve() => {}
            // All bundles die with the pair.
            () = consumer.closing.cancelled() => {}
        }
    }

    async fn serve(&mut self) {
        let (mut backoff, mut drew) = (Backoff::default(), false);
        loop {
            let wanted = match &self.held {
                None => Wanted::First,
                Some(held) => wanted(held, &self.holding).await,
            };
            let short = match (&self.held, &wanted) {
                (Some(held), Wanted::Dead | Wanted::Moves) => held.since.elapsed() < LIVED,
                (Some(_), _) => false,
                (None, _) => true,
            };
            if self.is_over(&wanted).await {
                return;
            }
            if self.prepared(wanted).await.is_none() {
                continue;
            }
            if !short {
                backoff = Backoff::default();
            } else if drew {
                // Whoever grants nothing but what dies at once is asked ever less often.
                backoff.wait().await;
            }
            let drawn = self.draw().await;
            drew = matches!(drawn, Drawn::Done) && self.held.is_some();
            match drawn {
                Drawn::Done => {}
                Drawn::Again => backoff.wait().await,
                Drawn::Over => return,
            }
        }
    }

    /// Whether this is one too many: then its bundle is given up, once what is under way on it
    /// has ended.
    async fn is_over(&mut self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Due | Wanted::Rebalance => return false,
            Wanted::Dead => self.is_dead(),
            Wanted::First | Wanted::Useless | Wanted::Moves | Wanted::Released => {}
        }
        if !self.consumer.slots.may_end() {
            return false;
        }
        self.end().await;
        true
    }

    /// Gives up what it has.
    async fn end(&mut self) {
        match self.let_go() {
            Some(held) => {
                tracing::info!(bundle = %held.bundle.id, "one bundle less is wanted");
                self.consumer.serve_without(held.bundle.id);
                // It is not superseded: streams may last as long as it would.
                let grace = match held.bundle.is_heard() {
                    true => Grace::Streams { until: held.end },
                    false => Grace::None,
                };
                give_up_later(&self.consumer, held.bundle, grace);
            }
            None => {
                if let Some(last) = self.last.filter(|_| self.is_stray) {
                    // It has no lanes.
                    let retired = self
                        .consumer
                        .session
                        .retire(vec![(last, Vec::new())], false);
                    if let Err(error) = retired.await {
                        tracing::warn!(%error, bundle = %last, "a bundle is not retired");
                    }
                }
            }
        }
    }

    fn let_go(&mut self) -> Option<Held> {
        self.holding.set(None);
        self.held.take()
    }

    /// The bundle in use is of no more use.
    fn is_dead(&mut self) {
        if let Some(ended) = self.let_go() {
            tracing::warn!(bundle = %ended.bundle.id, "the bundle is of no more use");
            self.consumer.serve_without(ended.bundle.id);
            give_up_later(&self.consumer, ended.bundle, Grace::None);
        }
    }

    /// Waits until another bundle may be drawn; none if none is wanted any more.
    async fn prepared(&mut self, wanted: Wanted) -> Option<()> {
        let held = self.held.as_ref();
        match wanted {
            Wanted::First | Wanted::Dead | Wanted::Due => Some(()),
            Wanted::Moves => self.has_no_streams(held?).await,
            Wanted::Released => None,
            Wanted::Useless => {
                if let (Some(at), Some(held)) = (self.replaced, held) {
                    tokio::select! {
                        () = tokio::time::sleep_until(at + REPLACE_INTERVAL) => {}
                        () = held.bundle.dead.cancelled() => return None,
                    }
                }
                self.replaced = Some(Instant::now());
                Some(())
            }
            Wanted::Rebalance => {
                let bundle = &held?.bundle;
                let drawn = u16::from_be_bytes(self.consumer.random.bytes());
                let wait = Duration::from_millis((drawn % REBALANCE_WITHIN_MS).into());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = bundle.dead.cancelled() => return None,
                }
                let still = bundle.is_one_too_many.swap(false, Ordering::Relaxed);
                // Streams would be cut: it is renewed some day, which rebalances as well.
                (still && !bundle.has_streams()).then_some(())
            }
        }
    }

    /// Waits until a bundle whose producer leaves carries no stream, as long as others serve: to be
    /// superseded would cut them before their producer has gone. None once it is dead.
    async fn has_no_streams(&self, held: &Held) -> Option<()> {
        let (consumer, bundle) = (&self.consumer, &held.bundle);
        let until = held.due.min(Instant::now() + STREAMS_LEAVE_WITHIN);
        while bundle.has_streams()
            && bundle.is_heard()
            && consumer.is_elsewhere(&[bundle.standing.producer])
            && Instant::now() < until
        {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = bundle.dead.cancelled() => return None,
            }
        }
        Some(())
    }

    async fn draw(&mut self) -> Drawn {
        let consumer = self.consumer.clone();
        if let Some(held) = &self.held {
            // From here on it is superseded at our own word.
            held.bundle.renewing.store(true, Ordering::Relaxed);
        }
        // Whoever stops waiting must not leave a bundle half taken.
        let drawing = consumer.giving_up.spawn(draw(consumer.clone(), self.last));
        let Ok((drawn, taken)) = drawing.await else {
            return Drawn::Again;
        };
        if drawn.is_some() {
            self.last = drawn;
            self.is_stray = taken.is_err();
        }
        let failed = match taken {
            Ok(bundle) => {
                tracing::info!(bundle = %bundle.id, "drew a bundle");
                METRICS.bundles_issued.add(1, &[]);
                let next = Held::new(&consumer, bundle.clone());
                self.holding.set(Some(bundle.clone()));
                let before = self.held.replace(next);
                consumer.serve_by(bundle, before.as_ref().map(|before| before.bundle.id));
                if let Some(before) = before {
                    let grace = match before.bundle.is_heard() {
                        true => Grace::Calls,
                        false => Grace::None,
                    };
                    give_up_later(&consumer, before.bundle, grace);
                }
                consumer.session.heartbeat_now();
                return Drawn::Done;
            }
            Err(failed) => failed,
        };
        // Once another is granted this one is superseded, whatever came of the other.
        if let (Some(held), None) = (&self.held, drawn) {
            held.bundle.renewing.store(false, Ordering::Relaxed);
        }
        self.failed(failed).await
    }

    async fn failed(&mut self, failed: Failed) -> Drawn {
        let consumer = self.consumer.clone();
        if failed.is(ProblemType::PairDisconnected) {
            if self.held.is_none() {
                consumer.is_without(Why::Disconnected);
            }
            let again = consumer.pair.lock().policy.heartbeat_interval_ms;
            tokio::select! {
                () = consumer.changed.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(again.into())) => {}
            }
            return Drawn::Done;
        }
        consumer.is_without(Why::Waiting);
        if failed.is(ProblemType::BundlesEnough) {
            if self.held.is_none() && consumer.slots.has_enough() {
                self.end().await;
                return Drawn::Over;
            }
            let assigned = consumer.slots.assigned.notified();
            let _ = tokio::time::timeout(ASK_AGAIN, assigned).await;
            return Drawn::Again;
        }
        tracing::warn!(error = format!("{failed:#}"), "no bundle yet");
        consumer.session.note(format!("no bundle: {failed:#}"));
        Drawn::Again
    }
}

/// Waits until another bundle is wanted, or this one no more.
async fn wanted(held: &Held, holding: &Holding) -> Wanted {
    let bundle = &held.bundle;
    tokio::select! {
        biased;
        () = bundle.dead.cancelled() => Wanted::Dead,
        () = tokio::time::sleep_until(held.end) => {
            bundle.kill(false);
            Wanted::Dead
        }
        () = bundle.moves.cancelled() => Wanted::Moves,
        () = bundle.useless.notified() => Wanted::Useless,
        () = tokio::time::sleep_until(held.due) => Wanted::Due,
        () = bundle.rebalance.notified() => Wanted::Rebalance,
        () = holding.released.notified() => Wanted::Released,
    }
}

impl Held {
    fn new(consumer: &Arc<ConsumerPair>, bundle: Arc<Bundle>) -> Self {
        let lifetime = u64::from(bundle.policy.bundle_lifetime_ms);
        let draw = u64::from(u16::from_be_bytes(consumer.random.bytes()));
        let percent = RENEW_FROM + draw % (RENEW_UNTIL - RENEW_FROM + 1);
        let now = Instant::now();
        let keeper = tokio::spawn(keeper::run(consumer.clone(), bundle.clone()));
        let probing = tokio::spawn(probing::run(consumer.clone(), bundle.clone()));
        Self {
            bundle,
            since: now,
            due: now + Duration::from_millis(lifetime * percent / 100),
            end: now + Duration::from_millis(lifetime),
            _keeper: AbortOnDropHandle::new(keeper),
            _probing: AbortOnDropHandle::new(probing),
        }
    }
}
