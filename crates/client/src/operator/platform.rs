//! The service itself, and a tenant at a glance.

use armour_api::{AuditEntry, Health, Overview, Page, System};

use crate::{Call, Client};

impl Client {
    /// Whether the control plane can serve.
    pub fn ready(&self) -> Call<'_, Health> {
        self.read("/v1/health/ready")
    }

    /// Whether the control plane is alive.
    pub fn alive(&self) -> Call<'_, Health> {
        self.read("/v1/health")
    }

    /// The caller's tenant at a glance.
    pub fn overview(&self) -> Call<'_, Overview> {
        self.read("/v1/overview")
    }

    /// Replicas, database, migrations; needs the platform's token.
    pub fn system(&self) -> Call<'_, System> {
        self.read("/v1/platform/system")
    }

    /// The platform's own audit log, latest first; needs the platform's token.
    pub fn platform_audit(&self) -> Call<'_, Page<AuditEntry>> {
        self.read("/v1/platform/audit")
    }
}
