//! Draws a bundle whenever another one is wanted, before the one in use ends; and gives up
//! those that were.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use armour_api::{Pair, ProblemType};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    keeper,
    pair::{ConsumerPair, Current, DISCONNECTED, Shared},
};
use crate::{
    backoff::Backoff,
    control_plane::{draw::DrawError, grant::GrantError},
    metrics::METRICS,
};

const DRAWING: &str = "waiting for the control plane to grant a bundle";
/// A bundle whose producer is not reached is given up for another one no more often.
const REPLACE_INTERVAL: Duration = Duration::from_secs(10);
/// A bundle is renewed at a random moment between these parts of its lifetime, in percent.
const RENEW_FROM: u64 = 70;
const RENEW_UNTIL: u64 = 90;

/// Begins to serve a pair: draws a bundle whenever there is none.
pub fn start(
    shared: Arc<Shared>,
    pair: Pair,
    via: Option<String>,
    retry_for: u64,
) -> Arc<ConsumerPair> {
    let current = Current::None("no bundle has been drawn yet");
    let consumer = Arc::new(ConsumerPair::new(shared, pair, via, retry_for, current));
    *consumer.lifecycle.lock() = Some(tokio::spawn(run(consumer.clone())));
    consumer
}

/// Why another bundle is wanted.
enum Wanted {
    /// There is none.
    First,
    /// The one in use must not be used any more.
    Dead,
    /// It is near its end.
    Due,
    /// Its producer stops or is not reached.
    Useless,
}

/// A bundle in use.
struct Serving {
    bundle: Arc<Bundle>,
    /// When it is renewed.
    due: Instant,
    /// When it ends.
    end: Instant,
    _keeper: AbortOnDropHandle<()>,
}

/// Runs until the pair is not served here any more.
async fn run(consumer: Arc<ConsumerPair>) {
    let mut serving: Option<Serving> = None;
    let mut backoff = Backoff::default();
    let mut replaced: Option<Instant> = None;
    // What was drawn last: what is drawn next takes its place, whether it came into use or not.
    let mut last: Option<Uuid> = None;
    while !consumer.closing.is_cancelled() {
        let wanted = match &serving {
            None => Wanted::First,
            Some(serving) => tokio::select! {
                wanted = wanted(serving) => wanted,
                () = consumer.closing.cancelled() => return,
            },
        };
        // All bundles die with the pair.
        if consumer.closing.is_cancelled() {
            return;
        }
        match wanted {
            Wanted::First | Wanted::Due => {}
            Wanted::Dead => {
                if let Some(ended) = serving.take() {
                    tracing::warn!(bundle = %ended.bundle.id, "the bundle is of no more use");
                    set(&consumer, Current::None(DRAWING));
                    give_up_later(&consumer, ended.bundle, false);
                }
            }
            Wanted::Useless => {
                if let (Some(at), Some(serving)) = (replaced, &serving) {
                    tokio::select! {
                        () = tokio::time::sleep_until(at + REPLACE_INTERVAL) => {}
                        () = serving.bundle.dead.cancelled() => continue,
                        () = consumer.closing.cancelled() => return,
                    }
                }
                replaced = Some(Instant::now());
            }
        }
        if let Some(serving) = &serving {
            // From here on it is superseded at our own word.
            serving.bundle.renewing.store(true, Ordering::Relaxed);
        }
        // Whoever stops waiting must not leave a bundle half taken.
        let drawing = tokio::spawn(draw(consumer.clone(), last));
        let drawn = drawing.await.map(|(drawn, taken)| {
            last = drawn.or(last);
            taken
        });
        match drawn {
            Ok(Ok(bundle)) => {
                backoff = Backoff::default();
                tracing::info!(bundle = %bundle.id, "drew a bundle");
                METRICS.bundles_issued.add(1, &[]);
                let next = Serving::new(&consumer, bundle.clone());
                let before = serving.replace(next);
                set(&consumer, Current::Bundle(bundle));
                if let Some(before) = before {
                    let grace = before.bundle.is_heard();
                    give_up_later(&consumer, before.bundle, grace);
                }
                consumer.session.heartbeat_now();
                continue;
            }
            Ok(Err(error)) => {
                if let Some(serving) = &serving {
                    serving.bundle.renewing.store(false, Ordering::Relaxed);
                }
                if error.is::<Disconnected>() {
                    if serving.is_none() {
                        set(&consumer, Current::None(DISCONNECTED));
                    }
                    let again = consumer.pair.lock().policy.heartbeat_interval_ms;
                    tokio::select! {
                        () = consumer.changed.notified() => {}
                        () = tokio::time::sleep(Duration::from_millis(again.into())) => {}
                        () = consumer.closing.cancelled() => return,
                    }
                    continue;
                }
                tracing::warn!(error = format!("{error:#}"), "no bundle yet");
                consumer.session.note(format!("no bundle: {error:#}"));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = consumer.closing.cancelled() => return,
        }
    }
}

/// Waits until another bundle is wanted.
async fn wanted(serving: &Serving) -> Wanted {
    tokio::select! {
        biased;
        () = serving.bundle.dead.cancelled() => Wanted::Dead,
        () = tokio::time::sleep_until(serving.end) => {
            serving.bundle.kill(false);
            Wanted::Dead
        }
        () = serving.bundle.useless.notified() => Wanted::Useless,
        () = tokio::time::sleep_until(serving.due) => Wanted::Due,
    }
}

impl Serving {
    fn new(consumer: &Arc<ConsumerPair>, bundle: Arc<Bundle>) -> Self {
        let lifetime = u64::from(bundle.policy.bundle_lifetime_ms);
        let draw = u64::from(u16::from_be_bytes(consumer.random.bytes()));
        let percent = RENEW_FROM + draw % (RENEW_UNTIL - RENEW_FROM + 1);
        let now = Instant::now();
        let keeper = tokio::spawn(keeper::run(consumer.clone(), bundle.clone()));
        Self {
            bundle,
            due: now + Duration::from_millis(lifetime * percent / 100),
            end: now + Duration::from_millis(lifetime),
            _keeper: AbortOnDropHandle::new(keeper),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{DISCONNECTED}")]
struct Disconnected;

/// Draws a bundle in place of another one. Returns which one was drawn, whatever came of it.
async fn draw(
    consumer: Arc<ConsumerPair>,
    replaces: Option<Uuid>,
) -> (Option<Uuid>, anyhow::Result<Arc<Bundle>>) {
    let pair = consumer.pair.lock().id;
    match consumer.session.draw(pair, replaces).await {
        Ok(drawn) => (
            Some(drawn.bundle),
            take(&consumer, pair, drawn.bundle).await,
        ),
        Err(error) => (None, Err(refused(error))),
    }
}

fn refused(error: DrawError) -> anyhow::Error {
    match error.is(ProblemType::PairDisconnected) {
        true => Disconnected.into(),
        false => anyhow::Error::from(error),
    }
}

async fn take(consumer: &ConsumerPair, pair: Uuid, id: Uuid) -> anyhow::Result<Arc<Bundle>> {
    let taken = consumer.session.take_bundle(id, Some(pair)).await;
    let taken = taken.map_err(|error: GrantError| anyhow::Error::from(error))?;
    let producer = consumer
        .via
        .clone()
        .or(taken.grant.producer_address)
        .ok_or_else(|| anyhow::anyhow!("the producer's endpoint has no address"))?;
    let producer = producer.trim_end_matches('/').to_owned();
    tracing::info!(bundle = %id, %producer, pinned = taken.pinned, "took a bundle");
    let bundle = Bundle::new(taken.grant.policy, taken.context, taken.gate, producer);
    consumer.live.lock().push(bundle.clone());
    if consumer.closing.is_cancelled() {
        bundle.kill(false);
    }
    Ok(bundle)
}

fn set(consumer: &ConsumerPair, current: Current) {
    let mut place = consumer.current.lock();
    // Waiters on `changed` include the lifecycle itself while disconnected.
    let same = matches!((&*place, &current), (Current::None(a), Current::None(b)) if a == b);
    *place = current;
    drop(place);
    if !same {
        consumer.changed.notify_waiters();
    }
}

/// Gives up a bundle that was in use, once the calls under way on it have ended if there is
/// hope for them.
pub(super) fn give_up_later(consumer: &Arc<ConsumerPair>, bundle: Arc<Bundle>, grace: bool) {
    let later = consumer.clone();
    consumer.giving_up.spawn(async move {
        if grace {
            let grace = Duration::from_millis(bundle.policy.supersede_grace_ms.into());
            tokio::select! {
                () = bundle.quiet(grace) => {}
                () = bundle.dead.cancelled() => {}
                () = later.closing.cancelled() => return,
            }
        } else {
            bundle.leaving.cancel();
            let grace = Duration::from_millis(bundle.policy.begin_within_ms.into());
            if !bundle.dead.is_cancelled() {
                bundle.quiet(grace).await;
            }
        }
        bundle.kill(false);
        if later.closing.is_cancelled() {
            // Retired together with all others.
            return;
        }
        let condemned = bundle.condemned.load(Ordering::Relaxed);
        // Also of one that was disconnected: a copy may have used it until then, and what the
        // ledger holds beyond this list shows that.
        if let Some(lanes) = later.end_lanes(&bundle).await {
            // Nothing more is recorded of one that was disconnected.
            if !condemned {
                tokio::select! {
                    () = later.last_reports(&bundle) => {}
                    () = later.closing.cancelled() => return,
                }
            }
            if let Err(error) = later.session.retire(vec![lanes], false).await {
                tracing::warn!(%error, bundle = %bundle.id, "a bundle is not retired");
            }
        }
        later.forget(&bundle).await;
        if condemned {
            // The next heartbeat acknowledges that; it is sent at once.
            later.session.heartbeat_now();
        }
    });
}
