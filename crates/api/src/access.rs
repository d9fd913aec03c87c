//! Who may act: API tokens, people's sessions, issuers, endpoints' access tokens.

use std::collections::BTreeMap;

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Role;

wire! {
    /// What a caller may do.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    #[serde(rename_all = "kebab-case")]
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

    /// An API token, without its secret.
    pub struct ApiToken {
        pub id: Uuid,
        pub name: String,
        pub role: AccessRole,
        /// The token's beginning, by which to recognise it; the secret follows.
        pub prefix: String,
        pub created_at: DateTime<Utc>,
        pub expires_at: Option<DateTime<Utc>>,
        pub revoked_at: Option<DateTime<Utc>>,
        /// To the minute.
        pub last_used_at: Option<DateTime<Utc>>,
    }

    /// A new API token.
    #[serde(deny_unknown_fields)]
    pub struct NewApiToken {
        /// 1 to 100 characters.
        pub name: String,
        /// `tenant-admin`, `operator` or `auditor`.
        pub role: AccessRole,
        /// 60 to 63072000 seconds; it does not expire if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }

    /// How a token is replaced.
    #[serde(deny_unknown_fields)]
    pub struct RotateApiToken {
        /// How long the earlier one still works: 0 to 2592000 seconds.
        pub overlap_s: u32,
        /// Life of the new one, 60 to 63072000 seconds; it ends when the earlier
        /// one would have if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }

    /// What kind of token an issuer's are.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum IssuerKind {
        /// OpenID Connect logins of people.
        People,
        /// Tokens by which workloads enrol, a Kubernetes service account's for example.
        Workload,
    }

    /// An OpenID provider that a tenant trusts, without its client's secret.
    pub struct Issuer {
        pub id: Uuid,
        pub kind: IssuerKind,
        pub name: String,
        pub url: String,
        pub audience: String,
        pub groups_claim: String,
        pub role_map: BTreeMap<String, AccessRole>,
        pub scopes: Vec<String>,
        pub created_at: DateTime<Utc>,
    }

    /// A new issuer.
    #[serde(deny_unknown_fields)]
    pub struct NewIssuer {
        pub kind: IssuerKind,
        /// 1 to 100 characters.
        pub name: String,
        /// The issuer's identifier, an `https` URL; discovery is below it.
        pub url: String,
        /// People: the client's id. Workload: what tokens must name as their audience.
        pub audience: String,
        /// People: the client's secret; a public client has none.
        #[serde(default)]
        pub client_secret: Option<String>,
        /// The claim of the ID token that lists a person's groups.
        #[serde(default = "groups")]
        pub groups_claim: String,
        /// People: role by group. Who is in none of them is not let in.
        #[serde(default)]
        pub role_map: BTreeMap<String, AccessRole>,
        /// Scopes to ask for besides `openid`.
        #[serde(default)]
        pub scopes: Vec<String>,
    }

    /// Which workloads of an issuer become endpoints of what.
    pub struct WorkloadRule {
        pub id: Uuid,
        pub issuer_id: Uuid,
        pub subject: String,
        pub claims: BTreeMap<String, String>,
        pub role: Role,
        pub party_id: Uuid,
        pub created_at: DateTime<Utc>,
    }

    /// A new rule.
    #[serde(deny_unknown_fields)]
    pub struct NewWorkloadRule {
        /// What `sub` must be; `*` stands for any run of characters.
        pub subject: String,
        /// Claims that must have these values; `a.b` names a claim within a claim.
        #[serde(default)]
        pub claims: BTreeMap<String, String>,
        pub role: Role,
        /// The producer or consumer.
        pub party_id: Uuid,
    }

    /// An issuer that people of a tenant may sign in with.
    pub struct SignInChoice { pub issuer_id: Uuid, pub name: String }

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

    /// A person's session.
    pub struct Session {
        pub id: Uuid,
        pub issuer_id: Uuid,
        pub subject: String,
        pub name: String,
        pub role: AccessRole,
        pub user_agent: String,
        pub created_at: DateTime<Utc>,
        pub last_used_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub ended_at: Option<DateTime<Utc>>,
        /// Whether it is the calling one.
        pub current: bool,
    }

    /// The end of a session.
    pub struct LoggedOut {
        /// Where the browser goes to end the provider's session too, if it can.
        pub redirect: Option<String>,
    }

    /// Asks for an access token; the DPoP proof shows who asks.
    #[serde(deny_unknown_fields)]
    pub struct TokenRequest { pub tenant_id: Uuid, pub endpoint_id: Uuid }

    /// An access token that is worth nothing without the endpoint's key (RFC 9449).
    pub struct AccessToken {
        pub access_token: String,
        /// `DPoP`.
        pub token_type: String,
        /// Seconds.
        pub expires_in: u32,
    }
}

fn groups() -> String {
    "groups".into()
}

words! {
    AccessRole {
        Auditor = "auditor", Operator = "operator", TenantAdmin = "tenant-admin",
        PlatformAdmin = "platform-admin", Endpoint = "endpoint",
    }
    IssuerKind { People = "people", Workload = "workload" }
}
