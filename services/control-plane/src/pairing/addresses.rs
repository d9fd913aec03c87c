//! Addresses that more than one endpoint of a producer claims.
//!
//! Whoever claims one later has taken it over, as a rule: the earlier one has gone, and nobody is
//! led to it any more. If both go on being heard of, something is in front of them that leads
//! calls to either, and most of these would come to an agent that they are not for. Then neither
//! is believed, and people are told why.

use armour_api::{Endpoint, Phase, Role};
use armour_storage::{Actor, AddressClaim, AddressRival, NewEvent, PairingAction, Tx};
use chrono::Duration;

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

/// What a look at an endpoint's address has found that is to be told.
#[derive(Debug, Default)]
pub struct Found {
    /// Whether its consumers' endpoints may have to hold other bundles.
    pub changed: bool,
    refused: Option<AddressRival>,
}

impl Found {
    /// Tells of it. It takes the journal's lock.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn tell(&self, tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
        let Some(rival) = &self.refused else {
            return Ok(());
        };
        let (id, claim) = (
            endpoint.id,
            AddressClaim {
                address: &rival.address,
                other_endpoint_id: rival.rival,
            },
        );
        let action = PairingAction::EndpointAddressShared { id, claim };
        tx.audit_log().append(&Actor::Service, action).await?;
        let event = NewEvent::EndpointAddressShared {
            endpoint: endpoint.id,
            claim,
        };
        tx.events().record(event).await?;
        Ok(())
    }
}

/// Looks, with a sign of life of an endpoint, whether another one is heard of that claims its
/// address.
///
/// # Errors
/// If the database refuses.
pub async fn look(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<Found> {
    let mut found = Found::default();
    if endpoint.role != Role::Producer {
        return Ok(found);
    }
    let Some(rival) = tx.addresses().rival(endpoint.id).await? else {
        found.changed = tx.addresses().set_refused(endpoint.id, false).await?;
        return Ok(found);
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
        tx.endpoints().lock(endpoint.id).await?;
        tx.addresses().set_refused(endpoint.id, true).await?;
        tx.endpoints().record_error(endpoint.id, &error).await?;
        found = Found {
            changed: true,
            refused: Some(rival),
        };
    }
    Ok(found)
}
