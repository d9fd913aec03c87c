//! Strangers at the door of an endpoint's enclave.

use armour_api::LinkOutcome;
use armour_protocol::v2::identity::body::Intrusion;
use armour_storage::{NewEvent, PairingAction, Tx};

use super::told::Told;
use crate::{
    http::problem::ApiResult,
    ledger::disconnect::{Scope, disconnect},
};

/// The enclave has wiped all bundles: they end here, too, and people are told.
///
/// # Errors
/// If the database refuses.
pub async fn apply(tx: &mut Tx, told: &Told<'_>, what: Intrusion) -> ApiResult<LinkOutcome> {
    let (endpoint, actor) = (told.endpoint.id, told.actor());
    let what = match what {
        Intrusion::Stranger => "stranger",
        Intrusion::Gap => "gap",
    };
    let scope = Scope::endpoint(endpoint);
    disconnect(tx, &actor, scope, "a stranger was at the enclave's door").await?;
    tx.audit_log()
        .append(
            &actor,
            PairingAction::EndpointEnclaveIntruder { id: endpoint, what },
        )
        .await?;
    tx.events()
        .record(NewEvent::EndpointEnclaveIntruder { endpoint, what })
        .await?;
    Ok(LinkOutcome::Done)
}
