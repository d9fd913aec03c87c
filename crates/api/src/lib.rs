//! Types of Armour's REST API, shared by the control plane and its clients.
//!
//! Times are RFC 3339 in UTC, durations are milliseconds, binary values are
//! base64 (RFC 4648, section 4) unless a field says otherwise.

#[macro_use]
mod wire;

mod access;
mod api_tokens;
mod assignments;
mod audit;
mod bundles;
mod collisions;
mod common;
mod endpoint_states;
mod endpoints;
mod enrolment;
mod events;
mod export;
mod issuers;
mod keys;
mod log_keys;
mod overview;
mod page;
mod pairs;
mod parties;
mod platform;
mod policy;
mod problem;
mod proofs;
mod sessions;
mod starts;
mod tenants;
mod tickets;
mod traffic;
mod webhooks;

pub use access::*;
pub use api_tokens::*;
pub use assignments::*;
pub use audit::*;
pub use bundles::*;
pub use collisions::*;
pub use common::*;
pub use endpoint_states::*;
pub use endpoints::*;
pub use enrolment::*;
pub use events::*;
pub use export::*;
pub use issuers::*;
pub use keys::*;
pub use log_keys::*;
pub use overview::*;
pub use page::*;
pub use pairs::*;
pub use parties::*;
pub use platform::*;
pub use policy::*;
pub use problem::*;
pub use proofs::*;
pub use sessions::*;
pub use starts::*;
pub use tenants::*;
pub use tickets::*;
pub use traffic::*;
pub use webhooks::*;
