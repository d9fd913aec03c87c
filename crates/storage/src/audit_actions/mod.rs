//! What the audit log tells of, domain by domain: each action with what it was done
//! to and what more its entry says.
//!
//! Entries are hashed and signed, and what has been written stays: an action may be
//! added, and a field of one, but its word and the fields that it has never change.

mod action;
mod identity;
mod ledger;
mod log;
mod pairing;
mod platform;
mod tenancy;
mod webhooks;

pub use action::AuditAction;
pub use identity::{IdentityAction, SessionEnd};
pub use ledger::LedgerAction;
pub use log::LogAction;
pub use pairing::PairingAction;
pub use platform::PlatformAction;
pub use tenancy::TenancyAction;
pub use webhooks::WebhookAction;
