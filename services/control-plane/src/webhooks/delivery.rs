//! Tells receivers of events (Standard Webhooks): signed, tried again with growing
//! pauses, and to public hosts only.

use std::sync::Arc;

use armour_api::DeliveryState;
use armour_storage::{Attempt, DueDelivery, Store};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Duration, Utc};
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde_json::json;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    http::problem::{ApiError, ApiResult},
    jobs::Job,
    platform::egress::Egress,
};

/// Deliveries that one replica makes at the same time for a tenant.
const AT_ONCE: i64 = 8;
/// Until then a delivery that was taken is nobody else's.
const LEASE: Duration = Duration::seconds(60);
/// Pauses after failed attempts, as multiples of the first; about a day in all
/// when the first is 5 seconds. After the last a delivery has failed.
const PAUSES: [i32; 8] = [1, 12, 60, 360, 1440, 3600, 5040, 7200];
/// Longest error that is kept, in characters.
const MAX_ERROR: usize = 300;

/// What deliveries take.
pub struct Deliveries {
    /// The database.
    pub store: Store,
    /// How receivers are called.
    pub egress: Egress,
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

/// Makes the deliveries that are due.
async fn run(deliveries: Arc<Deliveries>) -> ApiResult<()> {
    for tenant in deliveries
        .store
        .tenants_with_work(deliveries.store.now())
        .await?
    {
        if deliveries.stopping.is_cancelled() {
            break;
        }
        deliver_for(&deliveries, tenant).await?;
    }
    Ok(())
}

/// Name of the secret that signs a webhook's deliveries.
pub fn secret_name(webhook: Uuid) -> String {
    format!("webhook:{webhook}")
}

async fn deliver_for(deliveries: &Deliveries, tenant: Uuid) -> ApiResult<()> {
    loop {
        let now = deliveries.store.now();
        let mut tx = deliveries.store.tenant(tenant).await?;
        let due = tx.deliveries().claim(now, now + LEASE, AT_ONCE).await?;
        if due.is_empty() {
            tx.work_hints().refresh().await?;
            tx.commit().await?;
            return Ok(());
        }
        tx.commit().await?;
        futures::stream::iter(due)
            .for_each_concurrent(None, async |delivery| {
                if let Err(error) = deliver(deliveries, tenant, &delivery).await {
                    tracing::warn!(delivery = %delivery.id, error = error.detail(), "not delivered");
                }
            })
            .await;
    }
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
    tx.commit().await?;
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
    Ok(match deliveries.egress.send(request).await {
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
