//! Tells receivers of events (Standard Webhooks): signed, tried again with growing
//! pauses, and to public hosts only.

use armour_api::DeliveryState;
use armour_storage::{Attempt, DueDelivery};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Duration, Utc};
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    problem::{ApiError, ApiResult},
    state::App,
};

/// Deliveries that one replica makes at the same time for a tenant.
const AT_ONCE: i64 = 8;
/// Until then a delivery that was taken is nobody else's.
const LEASE: Duration = Duration::seconds(60);
/// Pauses after failed attempts, as multiples of the first; about a day in all
/// when the first is 5 seconds. After the last a delivery has failed.
const PAUSES: [i32; 8] = [1, 12, 60, 360, 1440, 3600, 5040, 7200];
/// Longest error that is kept, in characters.
const MOST_ERROR: usize = 300;

/// Makes the deliveries that are due.
pub async fn run(app: App) -> ApiResult<()> {
    for tenant in app.store.tenants_with_work(app.now()).await? {
        if app.stopping.is_cancelled() {
            break;
        }
        deliver_for(&app, tenant).await?;
    }
    Ok(())
}

/// Name of the secret that signs a webhook's deliveries.
pub fn secret_name(webhook: Uuid) -> String {
    format!("webhook:{webhook}")
}

async fn deliver_for(app: &App, tenant: Uuid) -> ApiResult<()> {
    loop {
        let now = app.now();
        let mut tx = app.store.tenant(tenant).await?;
        let due = tx.deliveries().claim(now, now + LEASE, AT_ONCE).await?;
        if due.is_empty() {
            tx.work_hints().refresh().await?;
            tx.commit().await?;
            return Ok(());
        }
        tx.commit().await?;
        futures::stream::iter(due)
            .for_each_concurrent(None, async |delivery| {
                if let Err(error) = deliver(app, tenant, &delivery).await {
                    tracing::warn!(delivery = %delivery.id, error = error.detail(), "not delivered");
                }
            })
            .await;
    }
}

async fn deliver(app: &App, tenant: Uuid, delivery: &DueDelivery) -> ApiResult<()> {
    let sent = send(app, tenant, delivery).await?;
    let now = app.now();
    let attempt = match &sent {
        Ok(status) if (200..300).contains(status) => Attempt {
            state: DeliveryState::Delivered,
            status: Some((*status).into()),
            error: None,
            next: now,
        },
        Ok(status) => failed(app, delivery, Some((*status).into()), None, now),
        Err(error) => failed(app, delivery, None, Some(error), now),
    };
    let mut tx = app.store.tenant(tenant).await?;
    tx.deliveries()
        .record_attempt(delivery.id, &attempt)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Sends it; the receiver's status, or why there is none.
async fn send(app: &App, tenant: Uuid, delivery: &DueDelivery) -> ApiResult<Result<u16, String>> {
    let mut tx = app.store.tenant(tenant).await?;
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
    let timestamp = app.now().timestamp().to_string();
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
    Ok(match app.egress.send(request).await {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(error) => Err(error.to_string().chars().take(MOST_ERROR).collect()),
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
    app: &App,
    delivery: &DueDelivery,
    status: Option<i32>,
    error: Option<&'a str>,
    now: DateTime<Utc>,
) -> Attempt<'a> {
    let pause = usize::try_from(delivery.attempts)
        .ok()
        .and_then(|attempts| PAUSES.get(attempts));
    let first = Duration::milliseconds(app.config.webhook_retry_ms.into());
    let (state, pause) = match pause {
        None => (DeliveryState::Failed, Duration::zero()),
        // Up to a fifth more, so that receivers are not all tried at once.
        Some(times) => {
            let pause = first * *times;
            let jitter = rand::rng().random_range(0..=200);
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
