//! Who may do what.

use chrono::{DateTime, Utc};
use uuid::Uuid;

wire! {
    /// What a caller may do.
    #[derive(Copy, Eq, PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum AccessRole {
        /// Reads what a tenant's people see; changes nothing.
        Auditor,
        /// Runs pairs and endpoints.
        Operator,
        /// Decides who may do what in a tenant.
        TenantAdmin,
        /// Runs the service; sees that tenants exist, and nothing of theirs.
        PlatformAdmin,
        /// An enrolled agent.
        Endpoint,
    }

    /// Who the caller is.
    pub struct Whoami {
        pub tenant_id: Uuid,
        /// As in the audit log.
        pub actor: String,
        /// For people to read.
        pub name: String,
        pub role: AccessRole,
        /// To be sent as `X-CSRF-Token` with calls that change something; for
        /// sessions only.
        pub csrf_token: Option<String>,
        /// The session, if it is one.
        pub session_id: Option<Uuid>,
        pub expires_at: Option<DateTime<Utc>>,
    }
}
