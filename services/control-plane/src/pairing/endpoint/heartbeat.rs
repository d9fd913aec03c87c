//! Signs of life.

use armour_api::{BundleState, BundleStatus, Endpoint, Heartbeat, HeartbeatAck};
use armour_storage::{NewEvent, PairingAction, StorageError, Tx};
use axum::Json as Answer;
use uuid::Uuid;

use crate::{
    http::{
        extract::Json,
        problem::{ApiError, ApiResult},
    },
    identity::authn::EndpointAuth,
};

/// Most bundles that a heartbeat asks about.
const MAX_BUNDLES: usize = 1000;
/// Most characters of an agent's error that are kept.
const MAX_ERROR: usize = 300;

/// A sign of life. The answer tells the state of the bundles asked about and,
/// to their consumer, the ledger's lane heads: it must own every one of them.
#[utoipa::path(post, path = "/v1/endpoint/heartbeat", tag = "endpoint", request_body = Heartbeat,
    responses((status = 200, body = HeartbeatAck)))]
pub(super) async fn heartbeat(
    mut caller: EndpointAuth,
    Json(heartbeat): Json<Heartbeat>,
) -> ApiResult<Answer<HeartbeatAck>> {
    if heartbeat.bundles.len() > MAX_BUNDLES {
        return Err(ApiError::invalid("at most 1000 bundles a heartbeat"));
    }
    note_alive(&mut caller).await?;
    let (tx, endpoint) = (&mut caller.tx, &caller.endpoint);
    if let Some(error) = &heartbeat.error {
        note_error(tx, endpoint, error).await?;
    }
    tx.disconnect_acknowledgements()
        .record(endpoint.id, &heartbeat.bundles)
        .await?;
    let mut bundles = Vec::with_capacity(heartbeat.bundles.len());
    for id in heartbeat.bundles {
        bundles.push(bundle_status(tx, endpoint, id).await?);
    }
    let log_behind = match heartbeat.log_size {
        Some(seen) => seen > tx.audit_log().size().await?,
        None => false,
    };
    let server_time = tx.now();
    caller.tx.commit().await?;
    Ok(Answer(HeartbeatAck {
        server_time,
        bundles,
        log_behind,
    }))
}

/// Notes when the endpoint was heard of, and tells if it had been lost.
async fn note_alive(caller: &mut EndpointAuth) -> ApiResult<()> {
    let (actor, endpoint) = (caller.actor(), &caller.endpoint);
    let tx = &mut caller.tx;
    if !tx.endpoints().touch(endpoint.id).await? {
        return Ok(());
    }
    tx.audit_log()
        .append(&actor, PairingAction::EndpointBack { id: endpoint.id })
        .await?;
    tx.events()
        .record(NewEvent::EndpointBack {
            endpoint: endpoint.id,
            name: &endpoint.name,
        })
        .await?;
    Ok(())
}

/// Keeps what an agent says has failed, in a form that may be shown to people.
async fn note_error(tx: &mut Tx, endpoint: &Endpoint, error: &str) -> ApiResult<()> {
    let printable = error.chars().filter(|c| !c.is_control());
    let error: String = printable.take(MAX_ERROR).collect();
    Ok(tx.endpoints().record_error(endpoint.id, &error).await?)
}

/// A bundle's state and, for its consumer, the heads of its lanes.
async fn bundle_status(tx: &mut Tx, endpoint: &Endpoint, id: Uuid) -> ApiResult<BundleStatus> {
    let (state, lanes) = match tx.bundles().find(id).await {
        Ok(bundle) if bundle.consumer_endpoint_id == endpoint.id => {
            (bundle.state, tx.lanes().heads(id).await?)
        }
        Ok(bundle) => (bundle.state, Vec::new()),
        // A bundle that is gone is as good as disconnected.
        Err(StorageError::NotFound) => (BundleState::Disconnected, Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(BundleStatus { id, state, lanes })
}
