//! When endpoints were heard of.

use armour_api::Endpoint;
use armour_storage::{Actor, NewEvent, PairingAction, Tx};

use crate::http::problem::ApiResult;

/// Tells that an endpoint that was lost is heard of again. It takes the journal's lock.
///
/// # Errors
/// If the database refuses.
pub async fn tell_back(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
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
    Ok(())
}
