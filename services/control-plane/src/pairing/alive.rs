//! When endpoints were heard of.

use armour_api::Endpoint;
use armour_storage::{Actor, NewEvent, PairingAction, Tx};

use super::assignments::changed;
use crate::http::problem::ApiResult;

/// Notes when the endpoint was heard of, and tells if it had been lost.
///
/// # Errors
/// If the database refuses.
pub async fn note_alive(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
    if !tx.endpoints().touch(endpoint.id).await? {
        return Ok(());
    }
    tx.audit_log()
        .append(
            &Actor::Endpoint(endpoint.id),
            PairingAction::EndpointBack { id: endpoint.id },
        )
        .await?;
    tx.events()
        .record(NewEvent::EndpointBack {
            endpoint: endpoint.id,
            name: &endpoint.name,
        })
        .await?;
    changed(tx, endpoint).await
}
