//! Armour's PostgreSQL layer: every SQL statement lives here.
//!
//! A [`Store`] hands out transactions that are bound to one tenant by
//! row-level security: a statement that forgets its tenant sees nothing. A
//! transaction, [`Tx`], has a view for each aggregate: `tx.pairs().find(id)`.

mod actor;
mod api_tokens;
mod audit_actions;
mod audit_log;
mod audit_partitions;
mod audit_tree;
mod bundles;
mod clock;
mod collisions;
mod counted;
mod decode;
mod deliveries;
mod disconnect_acknowledgements;
mod endpoints;
mod enrolment_tokens;
mod error;
mod events;
mod fences;
mod health;
mod idempotency_keys;
mod issuers;
mod job_leases;
mod journals;
mod key_versions;
mod keyring;
mod lanes;
mod like;
mod migrations;
mod new_event;
mod overview;
mod page;
mod pairs;
mod parties;
mod proofs;
mod quotas;
mod rate_leases;
mod replicas;
mod rotations;
mod secrets;
mod sessions;
mod signing_keys;
mod store;
mod sweep;
mod system;
mod tenants;
mod tickets;
mod tx;
mod webhooks;
mod work_hints;
mod workload_rules;

pub use actor::Actor;
pub use api_tokens::{ApiTokens, NewToken, TokenRow};
pub use audit_actions::{
    AuditAction, IdentityAction, LedgerAction, PairingAction, PlatformAction, SessionEnd,
    TenancyAction, WebhookAction,
};
pub use audit_log::{AuditFilter, AuditLog, SignedEntry};
pub use audit_partitions::retain_from;
pub use audit_tree::AuditTree;
pub use bundles::{BundleRow, Bundles, NewBundle, bundle_secret};
pub use collisions::{Collisions, NewCollision};
pub use counted::Counted;
pub use deliveries::{Attempt, Deliveries, DueDelivery};
pub use disconnect_acknowledgements::DisconnectAcknowledgements;
pub use endpoints::{Endpoints, NewEndpoint};
pub use enrolment_tokens::EnrolmentTokens;
pub use error::{Result, StorageError};
pub use events::Events;
pub use fences::Fences;
pub use idempotency_keys::{IdempotencyKeys, Replay};
pub use issuers::{Issuers, client_secret};
pub use job_leases::JobLeases;
pub use key_versions::KeyVersions;
pub use keyring::{Keyring, KeyringError, TenantKey};
pub use lanes::{LaneAdvance, LaneId, Lanes, Witnessed};
pub use new_event::{CollisionSummary, FenceSummary, NewEvent, Silence};
pub use page::PAGE;
pub use pairs::{PairQuery, Pairs};
pub use parties::Parties;
pub use proofs::Proofs;
pub use quotas::TenantQuotas;
pub use rate_leases::RateLease;
pub use replicas::Replicas;
pub use rotations::Rotations;
pub use secrets::Secrets;
pub use sessions::{NewSession, SessionRow, SessionScope, Sessions, id_token};
pub use signing_keys::{PublicSigningKey, SigningKeys};
pub use store::Store;
pub use tenants::Tenants;
pub use tickets::{TicketRange, Tickets};
pub use tx::{PLATFORM, Tx};
pub use webhooks::Webhooks;
pub use work_hints::WorkHints;
pub use workload_rules::WorkloadRules;
