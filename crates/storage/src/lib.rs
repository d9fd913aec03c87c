//! Armour's PostgreSQL layer: every SQL statement lives here.
//!
//! A [`Store`] hands out transactions that are bound to one tenant by
//! row-level security: a statement that forgets its tenant sees nothing. A
//! transaction, [`Tx`], has a view for each aggregate: `tx.pairs().find(id)`.

mod actor;
mod addresses;
mod announcer;
mod api_tokens;
mod audit_actions;
mod audit_log;
mod audit_partitions;
mod audit_tree;
mod bundle_retirements;
mod bundles;
mod clock;
mod collisions;
mod connections;
mod contexts;
mod counted;
mod decode;
mod deliveries;
mod disconnect_acknowledgements;
mod disputes;
mod endpoint_map;
mod endpoints;
mod enrolment_tokens;
mod erasure;
mod error;
mod events;
mod exchange_counts;
mod fences;
mod fit;
mod fleets;
mod health;
mod idempotency_claim;
mod idempotency_keys;
mod issuers;
mod job_leases;
mod journals;
mod key_versions;
mod keyring;
mod lane_ids;
mod lanes;
mod like;
mod log_head;
mod log_keys;
mod migrations;
mod new_event;
mod news;
mod origin;
mod overview;
mod page;
mod pair_draws;
mod pairs;
mod parties;
mod presence_questions;
mod proofs;
mod quotas;
mod rate_leases;
mod receipt_disputes;
mod replicas;
mod rotations;
mod secrets;
mod serving_role;
mod sessions;
mod shares;
mod signing_keys;
mod silence;
mod starts;
mod store;
mod sub_tickets;
mod sweep;
mod system;
mod tenants;
mod tickets;
mod traffic;
mod tx;
mod unwitnessed;
mod webhooks;
mod work_hints;
mod workload_rules;

pub use actor::Actor;
pub use addresses::{AddressRival, Addresses};
pub use announcer::Announcer;
pub use api_tokens::{ApiTokens, NewToken, TokenRow};
pub use audit_actions::{
    AuditAction, IdentityAction, LedgerAction, LogAction, PairingAction, PlatformAction,
    SessionEnd, TenancyAction, WebhookAction,
};
pub use audit_log::{AuditFilter, AuditLog, SignedEntry};
pub use audit_partitions::retain_from;
pub use audit_tree::AuditTree;
pub use bundle_retirements::{BundleRetirements, RetirementMarks};
pub use bundles::{BundleRow, Bundles, MAX_GRACE, NewBundle, bundle_secret};
pub use collisions::{Collisions, NewCollision};
pub use connections::{Connections, Limits, Server};
pub use counted::Counted;
pub use deliveries::{Attempt, Deliveries, DueDelivery};
pub use disconnect_acknowledgements::DisconnectAcknowledgements;
pub use disputes::{DisputeRow, Disputes};
pub use endpoint_map::EndpointMap;
pub use endpoints::{Endpoints, NewEndpoint};
pub use enrolment_tokens::EnrolmentTokens;
pub use error::{Result, StorageError};
pub use events::Events;
pub use fences::Fences;
pub use fleets::{Fleets, HeldBundle, MovingPair, ServingProducer};
pub use idempotency_claim::IdempotencyClaim;
pub use idempotency_keys::{IdempotencyKeys, Replay};
pub use issuers::{Issuers, client_secret};
pub use job_leases::JobLeases;
pub use key_versions::KeyVersions;
pub use keyring::{Keyring, KeyringError, TenantKey};
pub use lane_ids::LaneId;
pub use lanes::{Dispute, LaneAdvance, LaneState, Lanes, LineState, Witnessed};
pub use log_keys::LogKeys;
pub use migrations::migrate;
pub use new_event::{
    AddressClaim, CheckpointAlarm, CollisionSummary, FenceSummary, MissingWitness, NewEvent,
    Silence, StartRivals, StartSummary,
};
pub use origin::Origin;
pub use page::PAGE;
pub use pair_draws::PairDrawNumbers;
pub use pairs::{PairQuery, Pairs};
pub use parties::Parties;
pub use presence_questions::{PresenceQuestions, QuestionRow};
pub use proofs::Proofs;
pub use quotas::TenantQuotas;
pub use rate_leases::RateLease;
pub use receipt_disputes::{DueDispute, ReceiptDisputes};
pub use replicas::Replicas;
pub use rotations::Rotations;
pub use secrets::Secrets;
pub use sessions::{NewSession, SessionRow, SessionScope, Sessions, id_token};
pub use shares::Urgency;
pub use signing_keys::{PublicSigningKey, SigningKeys};
pub use silence::{LostEndpoint, SilentCount, SilentEndpoints, SilentSince};
pub use starts::{
    NewStart, StartRow, Starts,
    keys::KeyRow,
    living_keys::LivingKeys,
    standing::{LivingStart, Standing},
};
pub use store::Store;
pub use sub_tickets::{LineAdvance, SubRange, SubRunRow, SubTickets, SubWitness};
pub use tenants::Tenants;
pub use tickets::{MAX_STORED, RunRow, StoredRuns, TicketRange, Tickets};
pub use traffic::RECENT_MINUTES;
pub use tx::{PLATFORM, Tx};
pub use unwitnessed::{Unwitnessed, UnwitnessedRow};
pub use webhooks::Webhooks;
pub use work_hints::WorkHints;
pub use workload_rules::WorkloadRules;
