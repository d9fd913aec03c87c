//! Addresses that more than one endpoint claims.
//!
//! Whoever claimed one first is believed for as long as it is heard of: nobody takes an address from
//! an endpoint that lives. A later one waits, and does not serve; once the earlier one has missed its
//! signs of life the address is the later one's. If both go on being heard of, something is in front
//! of them that leads calls to either, and many of these would come to an agent that they are not for:
//! then the later one is refused, and people are told why.

use armour_api::{Endpoint, Phase, Role};
use armour_storage::{Actor, AddressClaim, AddressRival, NewEvent, PairingAction, Tx};
use chrono::Duration;

use crate::http::problem::ApiResult;

/// An endpoint that starts again within this time goes on with its claim.
const KEPT: Duration = Duration::minutes(1);
/// How many others with an endpoint's address are looked at.
const MAX_RIVALS: i64 = 16;

/// An endpoint that starts claims its address, or goes on with its claim if it is as it was. Those
/// that had it before and are not heard of are displaced by it: people are told.
///
/// # Errors
/// If the database refuses.
pub async fn claim(tx: &mut Tx, endpoint: &Endpoint, moved: bool) -> ApiResult<()> {
    if endpoint.role != Role::Producer {
        return Ok(());
    }
    let last = endpoint.last_seen_at;
    let goes_on = !moved && last.is_some_and(|seen| tx.now() - seen < KEPT);
    tx.addresses().claim(endpoint.id, goes_on).await?;
    let rivals = tx.addresses().rivals(endpoint.id, MAX_RIVALS).await?;
    let now = tx.now();
    let silent = rivals.iter().filter(|rival| {
        let beats = rival.beats_until().is_some_and(|until| until > now);
        rival.is_earlier && !beats
    });
    let events = silent.map(|rival| displaced(endpoint, rival));
    Ok(tx.events().record_all(events).await?)
}

/// What a look at an endpoint's address has found that is to be told.
#[derive(Debug, Default)]
pub struct Found {
    /// Whether its consumers' endpoints may have to hold other bundles.
    pub changed: bool,
    refused: Option<AddressRival>,
    displaced: Vec<AddressRival>,
}

impl Found {
    /// Tells of it. It takes the journal's lock.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn tell(&self, tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<()> {
        let events = self.displaced.iter().map(|one| displaced(endpoint, one));
        tx.events().record_all(events).await?;
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

/// Looks, with a sign of life of an endpoint as it was before that, whether another one is heard of
/// that claims its address.
///
/// # Errors
/// If the database refuses.
pub async fn look(tx: &mut Tx, endpoint: &Endpoint) -> ApiResult<Found> {
    let mut found = Found::default();
    if endpoint.role != Role::Producer {
        return Ok(found);
    }
    let rivals = tx.addresses().rivals(endpoint.id, MAX_RIVALS).await?;
    let (now, before) = (tx.now(), endpoint.last_seen_at);
    let beats = |rival: &&AddressRival| rival.beats_until().is_some_and(|until| until > now);
    let earlier = rivals.iter().filter(|rival| rival.is_earlier);
    let Some(first) = earlier.clone().find(beats).cloned() else {
        found.changed = tx.addresses().set_refused(endpoint.id, false).await?;
        // Those that it waited for when it was heard of last.
        let waited_for = |rival: &&AddressRival| {
            let until = rival.beats_until();
            until.is_some_and(|until| before.is_some_and(|before| before < until))
        };
        found.displaced = earlier.filter(waited_for).cloned().collect();
        // Those that had its address while it was not heard of.
        let later = rivals.iter().find(|rival| !rival.is_earlier);
        let was_away = later
            .is_some_and(|rival| before.is_none_or(|before| before + rival.own_patience() <= now));
        found.changed |= was_away || !found.displaced.is_empty();
        return Ok(found);
    };
    let (other, address) = (first.rival, &first.address);
    let settled = first.settled_at();
    let both_beat = now > settled && first.seen_at.is_some_and(|seen| seen > settled);
    if !both_beat || endpoint.phase == Some(Phase::Draining) {
        let error = format!(
            "endpoint {other} has claimed the address {address} before, and is heard of: this one \
             waits until it is not"
        );
        tx.endpoints().record_error(endpoint.id, &error).await?;
        return Ok(found);
    }
    tx.endpoints().lock(endpoint.id).await?;
    if tx.addresses().set_refused(endpoint.id, true).await? {
        found.changed = true;
        found.refused = Some(first.clone());
    }
    let error = format!(
        "endpoint {other} claims the address {address} as well, and both are heard of: a balancer \
         in front of them leads calls to those that they are not for; give each an address of its \
         own"
    );
    tx.endpoints().record_error(endpoint.id, &error).await?;
    Ok(found)
}

fn displaced<'a>(endpoint: &Endpoint, earlier: &'a AddressRival) -> NewEvent<'a> {
    NewEvent::EndpointDisplaced {
        endpoint: earlier.rival,
        claim: AddressClaim {
            address: &earlier.address,
            other_endpoint_id: endpoint.id,
        },
    }
}
