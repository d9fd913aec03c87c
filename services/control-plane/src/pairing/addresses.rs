//! Addresses that more than one endpoint of a producer claims.
//!
//! Whoever claims one later has taken it over, as a rule: the earlier one has gone, and nobody is
//! led to it any more. If both go on being heard of, something is in front of them that leads
//! calls to either, and most of these would come to an agent that they are not for. Then neither
//! is believed, and people are told why.

use armour_api::{Endpoint, Phase, Role};
use armour_storage::{Actor, AddressClaim, NewEvent, PairingAction, Tx};
use chrono::Duration;

use super::assignments::changed;
use crate::http::problem::ApiResult;

/// A later claim is a balancer's only if both are heard of after so many intervals of heartbeats.
const INTERVALS: i64 = 2;

/// An endpoint that starts claims its address: those that had it are told.
///
/// # Errors
/// If the database refuses.
pub async fn claim(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
    if endpoint.role != Role::Producer {
        return Ok(());
    }
    let before = tx.addresses().claim(endpoint.id).await?;
    let events = before
        .iter()
        .map(|(earlier, address)| NewEvent::EndpointDisplaced {
            endpoint: *earlier,
            claim: AddressClaim {
                address,
                other_endpoint_id: endpoint.id,
            },
        });
    Ok(tx.events().record_all(events).await?)
}

/// Looks, with a sign of life of an endpoint, whether another one is heard of that claims its
/// address.
///
/// # Errors
/// If the database refuses.
pub async fn look(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
    if endpoint.role != Role::Producer {
        return Ok(());
    }
    let Some(rival) = tx.addresses().rival(endpoint.id).await? else {
        if tx.addresses().set_refused(endpoint.id, false).await? {
            changed(tx, endpoint).await?;
        }
        return Ok(());
    };
    let error = format!(
        "endpoint {} claims the address {} as well, and both are heard of: a balancer in front of \
         them leads calls to those that they are not for; give each an address of its own",
        rival.rival, rival.address
    );
    let settled = rival.since + Duration::milliseconds(INTERVALS * rival.interval_ms);
    let both_beat = rival.rival_seen_at > settled && tx.now() > settled;
    if rival.is_refused {
        tx.endpoints().record_error(endpoint.id, &error).await?;
    } else if rival.is_later && both_beat && endpoint.phase != Some(Phase::Draining) {
        tx.addresses().set_refused(endpoint.id, true).await?;
        tx.endpoints().record_error(endpoint.id, &error).await?;
        let (id, claim) = (
            endpoint.id,
            AddressClaim {
                address: &rival.address,
                other_endpoint_id: rival.rival,
            },
        );
        tx.audit_log()
            .append(
                &Actor::Service,
                PairingAction::EndpointAddressShared { id, claim },
            )
            .await?;
        let endpoint_id = endpoint.id;
        tx.events()
            .record(NewEvent::EndpointAddressShared {
                endpoint: endpoint_id,
                claim,
            })
            .await?;
        changed(tx, endpoint).await?;
    }
    Ok(())
}
