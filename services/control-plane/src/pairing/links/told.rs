//! Who tells something by a link, and what is said of each item.

use armour_api::{Endpoint, ItemOutcome};
use armour_protocol::v2::identity::start::StartHash;
use armour_storage::Actor;

use crate::{
    http::problem::{ApiError, ApiResult},
    pairing::fleet_watch::FleetWatch,
};

/// Who tells something by a link.
pub struct Told<'a> {
    /// The endpoint, whose row is locked.
    pub endpoint: &'a Endpoint,
    /// Its living start.
    pub start: StartHash,
    /// Whether another start lives, and people have yet to choose.
    pub in_dispute: bool,
    /// Whether links of the chain may be lost, which its endpoint then sends again.
    pub fenced: bool,
    /// What this replica knows of fleets.
    pub watch: &'a FleetWatch,
}

impl Told<'_> {
    /// The actor of audit entries.
    pub fn actor(&self) -> Actor {
        Actor::Endpoint(self.endpoint.id)
    }
}

/// What came of an item.
///
/// # Errors
/// What is not for the endpoint to act on: then the link is not taken.
pub fn item(done: ApiResult<()>) -> ApiResult<ItemOutcome> {
    let problem = match done {
        Ok(()) => None,
        Err(refused) => Some(refusal(refused)?),
    };
    Ok(ItemOutcome { problem })
}

/// What a refused item is told.
///
/// # Errors
/// If it is no refusal.
pub fn refusal(error: ApiError) -> ApiResult<armour_api::Problem> {
    match error.is_refusal() {
        true => Ok(error.problem()),
        false => Err(error),
    }
}
