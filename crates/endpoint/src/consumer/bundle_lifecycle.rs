//! Requests a bundle whenever there is none, and keeps idle lanes fresh.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use armour_api::Pair;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    bundle::Bundle,
    exchange,
    pair::{ConsumerPair, Current, DISCONNECTED, Shared},
};
use crate::{
    backoff::Backoff,
    control_plane::grant::{GrantError, Wanted},
    metrics::METRICS,
};

const REQUESTING: &str = "waiting for the control plane to grant a bundle";

/// Begins to serve a pair: requests a bundle whenever there is none.
pub fn start(
    shared: Arc<Shared>,
    pair: Pair,
    via: Option<String>,
    retry_for: u64,
) -> Arc<ConsumerPair> {
    let consumer = Arc::new(ConsumerPair {
        shared,
        pair: Mutex::new(pair),
        via,
        retry_for: AtomicU64::new(retry_for),
        current: Mutex::new(Current::None("no bundle has been drawn yet")),
        changed: Notify::new(),
        closing: CancellationToken::new(),
        lifecycle: Mutex::default(),
    });
    *consumer.lifecycle.lock() = Some(tokio::spawn(run(consumer.clone())));
    consumer
}

/// Runs until the pair is not served here any more.
async fn run(consumer: Arc<ConsumerPair>) {
    let mut backoff = Backoff::default();
    while !consumer.closing.is_cancelled() {
        match request_bundle(&consumer).await {
            Ok(bundle) => {
                backoff = Backoff::default();
                tracing::info!(bundle = %bundle.id(), "drew a bundle");
                METRICS.bundles_issued.add(1, &[]);
                if consumer.closing.is_cancelled() {
                    bundle.dead.cancel();
                }
                set(&consumer, Current::Bundle(bundle.clone()));
                consumer.session.heartbeat_now();
                tokio::select! {
                    () = bundle.dead.cancelled() => {}
                    () = refresh(&consumer, &bundle) => {}
                }
                tracing::warn!(bundle = %bundle.id(), "the bundle is of no more use");
                set(&consumer, Current::None(REQUESTING));
                if !bundle.condemned.load(Ordering::Relaxed) {
                    consumer.last_check(&bundle).await;
                }
                // Every root of it is gone from here on.
                if consumer
                    .enclave
                    .erase(bundle.id().into_bytes())
                    .await
                    .is_err()
                {
                    return;
                }
                // The next heartbeat acknowledges that; it is sent at once.
                consumer.session.heartbeat_now();
            }
            Err(error) if error.is::<Disconnected>() => {
                set(&consumer, Current::None(DISCONNECTED));
                let ask_again = consumer.pair.lock().policy.heartbeat_interval_ms;
                let ask_again = Duration::from_millis(ask_again.into());
                tokio::select! {
                    () = consumer.changed.notified() => {}
                    () = tokio::time::sleep(ask_again) => {}
                    () = consumer.closing.cancelled() => return,
                }
                continue;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "no bundle yet");
                consumer.session.note(format!("no bundle: {error:#}"));
            }
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = consumer.closing.cancelled() => return,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{DISCONNECTED}")]
struct Disconnected;

async fn request_bundle(consumer: &ConsumerPair) -> anyhow::Result<Arc<Bundle>> {
    let pair = consumer.pair.lock().id;
    let granted = consumer.session.grant(Wanted::New { pair }).await;
    let grant = granted.map_err(|error| match error {
        GrantError::Client(error) if error.is("pair-disconnected") => Disconnected.into(),
        error => anyhow::Error::from(error),
    })?;
    let sealed = grant
        .sealed_secret
        .clone()
        .ok_or_else(|| anyhow::anyhow!("a new bundle without its secret"))?;
    let producer = consumer
        .via
        .clone()
        .or_else(|| grant.producer_address.clone())
        .ok_or_else(|| anyhow::anyhow!("the producer's endpoint has no address"))?;
    consumer
        .enclave
        .install(grant.binding.clone(), sealed)
        .await?;
    let bundle = Bundle::new(grant, producer.trim_end_matches('/').to_owned());
    let client = consumer.session.client();
    client.acknowledge_bundle(bundle.id()).await?;
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

/// Sends an empty exchange on every lane that has been idle for the interval.
async fn refresh(consumer: &Arc<ConsumerPair>, bundle: &Arc<Bundle>) {
    let interval = Duration::from_millis(bundle.grant.policy.empty_exchange_interval_ms.into());
    loop {
        tokio::time::sleep(interval / 4).await;
        if consumer.check_lease(bundle).is_err() {
            continue;
        }
        while let Some(lane) = bundle.stale(interval) {
            // Concluded or not, the lane comes back by itself.
            drop(exchange::start(
                consumer.clone(),
                lane,
                exchange::Outgoing::Empty,
            ));
        }
    }
}
