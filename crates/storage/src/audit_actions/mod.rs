//! What the audit log tells of, domain by domain: each action with what it was done
//! to and what more its entry says.
//!
//! Entries are hashed and signed, and what has been written stays: an action may be
//! added, but the word and the detail of one that exists never change.

mod identity;
mod ledger;
mod pairing;
mod platform;
mod tenancy;
mod webhooks;

pub use identity::{IdentityAction, SessionEnd};
pub use ledger::LedgerAction;
pub use pairing::PairingAction;
pub use platform::PlatformAction;
pub use tenancy::TenancyAction;
pub use webhooks::WebhookAction;

/// An action as its entry has it: `Into` gives its word, `Serialize` its detail.
pub trait AuditAction: Copy + Into<&'static str> + serde::Serialize {
    /// What it was done to.
    fn target(&self) -> String;
}

/// Checks an action's word and target, and its detail to the byte.
#[cfg(test)]
fn check(action: impl AuditAction, word: &str, target: &str, detail: &str) {
    assert_eq!(action.into(), word);
    assert_eq!(action.target(), target, "{word}");
    let says = serde_json::to_value(action).unwrap();
    assert_eq!(says.to_string(), detail, "{word}");
}
