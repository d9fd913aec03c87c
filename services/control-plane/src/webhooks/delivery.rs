//! Tells receivers of events (Standard Webhooks): signed, tried again with growing
//! pauses, and to public hosts only.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use armour_api::DeliveryState;
use armour_storage::{Actor, Attempt, DueDelivery, NewEvent, Store, Tx, WebhookAction};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Duration, Utc};
use futures::{StreamExt, stream::FuturesUnordered};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde_json::json;
use sha2::Sha256;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    http::problem::{ApiError, ApiResult},
    jobs::Job,
    platform::egress::{Egresses, Purpose},
};

/// Tenants whose deliveries one replica makes at the same time.
pub const TENANTS_AT_ONCE: usize = 100;
/// How long a tenant's turn lasts: what is under way then is brought to an end, and what else is
/// due waits for the next.
const TURN: std::time::Duration = std::time::Duration::from_secs(5);
/// Webhooks of a tenant that one replica tells at the same time.
const WEBHOOKS_AT_ONCE: usize = 8;
/// Deliveries that one replica makes at the same time to a webhook.
const AT_ONCE: i64 = 4;
/// How often it is looked for others that are due while some are under way.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);
/// Until then a delivery that was taken is nobody else's.
const LEASE: Duration = Duration::seconds(60);
/// Pauses after failed attempts, as multiples of the first; about a day in all
/// when the first is 5 seconds. After the last a delivery has failed.
const PAUSES: [i32; 8] = [1, 12, 60, 360, 1440, 3600, 5040, 7200];
/// The receiver is gone for good (RFC 9110, section 15.5.11).
const GONE: u16 = 410;
/// Longest error that is kept, in characters.
const MAX_ERROR: usize = 300;

/// What deliveries take.
pub struct Deliveries {
    /// The database.
    pub store: Store,
    /// How receivers are called.
    pub egresses: Egresses,
    /// Tenants whose deliveries are made at the same time.
    pub tenants_at_once: usize,
    /// The first pause after a failure.
    pub retry: Duration,
    /// Cancelled when the service stops.
    pub stopping: CancellationToken,
}

/// Tells receivers what is due.
pub fn job(deliveries: Deliveries) -> Job {
    let pause = std::time::Duration::from_millis(500);
    Job::new("webhooks", pause, Arc::new(deliveries), run)
}

/// Makes the deliveries that are due. Tenants are served at the same time: none waits for
/// another's receiver to answer. They take turns, where there are more than are served at once:
/// whoever has more to deliver when its turn ends waits for those who have had none.
async fn run(deliveries: Arc<Deliveries>) -> ApiResult<()> {
    let (mut serving, mut served) = (FuturesUnordered::new(), HashSet::new());
    let mut had_turns = HashSet::new();
    loop {
        let room = deliveries.tenants_at_once.saturating_sub(served.len());
        if room > 0 && !deliveries.stopping.is_cancelled() {
            let now = deliveries.store.now();
            let besides: Vec<Uuid> = served.union(&had_turns).copied().collect();
            let limit = i64::try_from(room).unwrap_or(i64::MAX);
            let store = &deliveries.store;
            let found = store.tenants_with_work(now, &besides, limit).await;
            let found = unless_under_way(&served, found.map_err(ApiError::from))?;
            let nobody_waits = found.is_empty() && !had_turns.is_empty();
            for tenant in found {
                served.insert(tenant);
                let deliveries = &deliveries;
                serving.push(async move { (tenant, deliver_for(deliveries, tenant).await) });
            }
            if nobody_waits {
                // Everybody has had one.
                had_turns.clear();
                continue;
            }
        }
        let Some(waited) = next(&mut serving).await else {
            return Ok(());
        };
        if let Some((tenant, done)) = waited {
            served.remove(&tenant);
            had_turns.insert(tenant);
            if let Err(error) = done {
                tracing::warn!(%tenant, error = error.detail(), "its webhooks are not told");
            }
        }
    }
}

/// The next of these to be done, or after a while `Some(None)`; `None` if there are none.
async fn next<F: Future>(of: &mut FuturesUnordered<F>) -> Option<Option<F::Output>> {
    match tokio::time::timeout(LOOK_EVERY, of.next()).await {
        Ok(None) => None,
        Ok(done) => Some(done),
        Err(_) => Some(None),
    }
}

/// What was found to do; nothing if the database failed while some are under way, which would
/// be broken off with the round: their receivers have what was posted, and would get it again.
fn unless_under_way<T>(under_way: &HashSet<Uuid>, found: ApiResult<Vec<T>>) -> ApiResult<Vec<T>> {
    match found {
        Err(error) if !under_way.is_empty() => {
            tracing::warn!(error = error.detail(), "it is looked again for webhooks");
            Ok(Vec::new())
        }
        found => found,
    }
}

/// Name of the secret that signs a webhook's deliveries.
pub fn secret_name(webhook: Uuid) -> String {
    format!("webhook:{webhook}")
}

/// Makes a tenant's deliveries until none is due or its turn ends. Webhooks are told at the same
/// time: none waits for another's receiver to answer.
async fn deliver_for(deliveries: &Deliveries, tenant: Uuid) -> ApiResult<()> {
    let (mut telling, mut told) = (FuturesUnordered::new(), HashSet::new());
    let began = Instant::now();
    loop {
        let mut due = Vec::new();
        let goes_on = began.elapsed() < TURN && !deliveries.stopping.is_cancelled();
        if told.len() < WEBHOOKS_AT_ONCE && goes_on {
            due = unless_under_way(&told, claim(deliveries, tenant, &told).await)?;
        }
        let found = !due.is_empty();
        for (webhook, due) in by_webhook(due) {
            told.insert(webhook);
            telling.push(async move {
                let all = due.iter().map(|one| deliver(deliveries, tenant, one));
                for (one, done) in due.iter().zip(futures::future::join_all(all).await) {
                    if let Err(error) = done {
                        tracing::warn!(delivery = %one.id, error = error.detail(), "not delivered");
                    }
                }
                webhook
            });
        }
        if found {
            // There may be others that are due.
            continue;
        }
        match next(&mut telling).await {
            None => return Ok(()),
            Some(None) => {}
            Some(Some(webhook)) => {
                told.remove(&webhook);
            }
        }
    }
}

/// Takes deliveries that are due, of webhooks other than these.
async fn claim(
    deliveries: &Deliveries,
    tenant: Uuid,
    told: &HashSet<Uuid>,
) -> ApiResult<Vec<DueDelivery>> {
    let now = deliveries.store.now();
    let besides: Vec<Uuid> = told.iter().copied().collect();
    let mut tx = deliveries.store.tenant(tenant).await?;
    let due = tx
        .deliveries()
        .claim(now, now + LEASE, &besides, AT_ONCE)
        .await?;
    if due.is_empty() && told.is_empty() {
        tx.work_hints().refresh().await?;
    }
    tx.commit().await?;
    Ok(due)
}

fn by_webhook(due: Vec<DueDelivery>) -> HashMap<Uuid, Vec<DueDelivery>> {
    let mut by_webhook = HashMap::<_, Vec<_>>::new();
    for delivery in due {
        by_webhook
            .entry(delivery.webhook)
            .or_default()
            .push(delivery);
    }
    by_webhook
}

async fn deliver(deliveries: &Deliveries, tenant: Uuid, delivery: &DueDelivery) -> ApiResult<()> {
    let sent = send(deliveries, tenant, delivery).await?;
    let now = deliveries.store.now();
    let attempt = match &sent {
        Ok(status) if (200..300).contains(status) => Attempt {
            state: DeliveryState::Delivered,
            status: Some((*status).into()),
            error: None,
            next: now,
        },
        Ok(status) => failed(deliveries, delivery, Some((*status).into()), None, now),
        Err(error) => failed(deliveries, delivery, None, Some(error), now),
    };
    let mut tx = deliveries.store.tenant(tenant).await?;
    tx.deliveries()
        .record_attempt(delivery.id, &attempt)
        .await?;
    if let Ok(status) = sent
        && status == GONE
    {
        disable(&mut tx, delivery, status).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Has a receiver told nothing any more that says that it is gone (Standard Webhooks, "Automatic
/// disabling of endpoints"), and says so.
async fn disable(tx: &mut Tx, delivery: &DueDelivery, status: u16) -> ApiResult<()> {
    let (id, url) = (delivery.webhook, &delivery.url[..]);
    let why = "the receiver is gone: the webhook was disabled";
    if !tx.webhooks().disable(id, why).await? {
        return Ok(());
    }
    let action = WebhookAction::Disable { id, url, status };
    tx.audit_log().append(&Actor::Service, action).await?;
    tx.events()
        .record(NewEvent::WebhookDisabled {
            webhook: id,
            url,
            status,
        })
        .await?;
    Ok(())
}

/// Sends it; the receiver's status, or why there is none.
async fn send(
    deliveries: &Deliveries,
    tenant: Uuid,
    delivery: &DueDelivery,
) -> ApiResult<Result<u16, String>> {
    let mut tx = deliveries.store.tenant(tenant).await?;
    let secret = tx.secrets().get(&secret_name(delivery.webhook)).await?;
    drop(tx);
    let secret = secret.ok_or_else(|| ApiError::not_found("the webhook was removed"))?;
    let event = &delivery.event;
    let body = serde_json::to_vec(&json!({
        "type": event.kind,
        "timestamp": event.created_at,
        "data": { "tenant_id": tenant, "event": event },
    }))
    .map_err(ApiError::internal)?;
    let timestamp = deliveries.store.now().timestamp().to_string();
    let id = format!("msg_{}", delivery.id.simple());
    let signature = sign(&secret, &id, &timestamp, &body)?;
    let request = http::Request::post(&delivery.url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body);
    let request = match request {
        Ok(request) => request,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let egress = deliveries.egresses.of(Purpose::Webhooks, tenant);
    Ok(match egress.send(request).await {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(error) => Err(error.to_string().chars().take(MAX_ERROR).collect()),
    })
}

/// `v1,` and HMAC-SHA-256 of `id.timestamp.body` in base64.
fn sign(secret: &Zeroizing<Vec<u8>>, id: &str, timestamp: &str, body: &[u8]) -> ApiResult<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(ApiError::internal)?;
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

fn failed<'a>(
    deliveries: &Deliveries,
    delivery: &DueDelivery,
    status: Option<i32>,
    error: Option<&'a str>,
    now: DateTime<Utc>,
) -> Attempt<'a> {
    let pause = usize::try_from(delivery.attempts)
        .ok()
        .and_then(|attempts| PAUSES.get(attempts));
    let first = deliveries.retry;
    let (state, pause) = match pause {
        None => (DeliveryState::Failed, Duration::zero()),
        // Up to a fifth more, so that receivers are not all tried at once.
        Some(times) => {
            let pause = first * *times;
            let jitter = deliveries.store.random().generator().random_range(0..=200);
            (DeliveryState::Pending, pause + pause * jitter / 1000)
        }
    };
    Attempt {
        state,
        status,
        error,
        next: now + pause,
    }
}
