//! What operators, administrators and the platform call, by resource.

mod access;
mod audit;
mod bundles;
mod collisions;
mod endpoints;
mod issuers;
mod keys;
mod pairs;
mod parties;
mod platform;
mod tenants;
mod webhooks;

use armour_api::Reason;

pub use self::audit::{AuditExport, AuditFilter};

fn because(reason: &str) -> Reason {
    Reason {
        reason: reason.to_owned(),
    }
}
