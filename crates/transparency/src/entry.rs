//! What is hashed of an audit entry: the canonical JSON (RFC 8785) of its fields.

use armour_api::AuditEntry;
use serde_json::json;
use uuid::Uuid;

use crate::merkle::{Hash, leaf_hash};

/// The leaf of an entry of a tenant's log: [`leaf_hash`] of the canonical JSON of
/// `tenant_id`, `seq`, `created_at`, `actor`, `action`, `target` and `detail`.
///
/// # Errors
/// If the detail holds a number that JSON cannot carry.
pub fn leaf(tenant: Uuid, entry: &AuditEntry) -> serde_json::Result<Hash> {
    let fields = json!({
        "tenant_id": tenant,
        "seq": entry.seq,
        "created_at": entry.created_at,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
    });
    Ok(leaf_hash(&serde_json_canonicalizer::to_vec(&fields)?))
}
