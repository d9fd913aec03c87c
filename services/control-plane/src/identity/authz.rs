//! Who may call what: the one table that is enforced. A route that is not in it
//! is refused to everybody.

use armour_api::{
    AccessRole::{self, Auditor, Endpoint, Operator, PlatformAdmin, TenantAdmin},
    ProblemType,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Anybody: it needs no credentials, or checks its own kind.
    Anybody,
    /// Callers of these roles.
    Roles(&'static [AccessRole]),
}

use Allowed::{Anybody, Roles};

/// Those who see what is the tenant's.
const READERS: Allowed = Roles(&[Auditor, Operator, TenantAdmin]);
/// Those who run pairs and endpoints.
const OPERATORS: Allowed = Roles(&[Operator, TenantAdmin]);
/// Those who decide who may do what.
const ADMINS: Allowed = Roles(&[TenantAdmin]);
/// Those who decide it, and those who check on them.
const ADMINS_AND_AUDITORS: Allowed = Roles(&[Auditor, TenantAdmin]);
const PLATFORM: Allowed = Roles(&[PlatformAdmin]);
const ENDPOINTS: Allowed = Roles(&[Endpoint]);

/// Method, path as in the OpenAPI document, who may.
pub const TABLE: &[(&str, &str, Allowed)] = &[
    ("GET", "/v1/health", Anybody),
    ("GET", "/v1/health/ready", Anybody),
    ("GET", "/v1/keys", Anybody),
    ("GET", "/v1/auth/choices", Anybody),
    ("GET", "/v1/auth/login", Anybody),
    ("GET", "/v1/auth/callback/{tenant}/{issuer}", Anybody),
    (
        "POST",
        "/v1/auth/back-channel-logout/{tenant}/{issuer}",
        Anybody,
    ),
    ("POST", "/v1/enrol", Anybody),
    ("POST", "/v1/enrol/workload/{id}", Anybody),
    ("POST", "/v1/endpoint/starts", Anybody),
    ("POST", "/v1/endpoint/presence", Anybody),
    ("POST", "/v1/endpoint/links", Anybody),
    ("POST", "/v1/endpoint/token", Anybody),
    // The platform.
    ("GET", "/v1/tenants", PLATFORM),
    ("POST", "/v1/tenants", PLATFORM),
    ("GET", "/v1/tenants/{id}", PLATFORM),
    ("DELETE", "/v1/tenants/{id}", PLATFORM),
    ("POST", "/v1/tenants/{id}/fence", PLATFORM),
    ("GET", "/v1/tenants/{id}/quotas", PLATFORM),
    ("PUT", "/v1/tenants/{id}/quotas", PLATFORM),
    ("GET", "/v1/tenants/{id}/overview", PLATFORM),
    ("GET", "/v1/platform/master-keys", PLATFORM),
    (
        "POST",
        "/v1/platform/master-keys/{version}/retire",
        PLATFORM,
    ),
    ("GET", "/v1/platform/rotations", PLATFORM),
    ("POST", "/v1/platform/rotations", PLATFORM),
    ("GET", "/v1/platform/rotations/{id}", PLATFORM),
    ("GET", "/v1/platform/signing-keys", PLATFORM),
    ("POST", "/v1/platform/signing-keys", PLATFORM),
    ("GET", "/v1/platform/audit", PLATFORM),
    ("GET", "/v1/platform/system", PLATFORM),
    // Who may act.
    ("GET", "/v1/whoami", READERS),
    ("POST", "/v1/logout", READERS),
    ("GET", "/v1/sessions", READERS),
    ("DELETE", "/v1/sessions/{id}", READERS),
    ("GET", "/v1/api-tokens", ADMINS_AND_AUDITORS),
    ("POST", "/v1/api-tokens", ADMINS),
    ("DELETE", "/v1/api-tokens/{id}", ADMINS),
    ("POST", "/v1/api-tokens/{id}/rotate", ADMINS),
    ("GET", "/v1/issuers", ADMINS_AND_AUDITORS),
    ("POST", "/v1/issuers", ADMINS),
    ("GET", "/v1/issuers/{id}", ADMINS_AND_AUDITORS),
    ("DELETE", "/v1/issuers/{id}", ADMINS),
    ("GET", "/v1/issuers/{id}/rules", ADMINS_AND_AUDITORS),
    ("POST", "/v1/issuers/{id}/rules", ADMINS),
    ("DELETE", "/v1/issuers/{id}/rules/{rule}", ADMINS),
    ("GET", "/v1/webhooks", ADMINS_AND_AUDITORS),
    ("POST", "/v1/webhooks", ADMINS),
    ("GET", "/v1/webhooks/{id}", ADMINS_AND_AUDITORS),
    ("DELETE", "/v1/webhooks/{id}", ADMINS),
    ("POST", "/v1/webhooks/{id}/enable", ADMINS),
    ("GET", "/v1/webhooks/{id}/deliveries", ADMINS_AND_AUDITORS),
    (
        "POST",
        "/v1/webhooks/{id}/deliveries/{delivery}/replay",
        ADMINS,
    ),
    ("GET", "/v1/quotas", READERS),
    ("GET", "/v1/overview", READERS),
    // What is run.
    ("GET", "/v1/producers", READERS),
    ("POST", "/v1/producers", OPERATORS),
    ("GET", "/v1/producers/{id}", READERS),
    ("GET", "/v1/consumers", READERS),
    ("POST", "/v1/consumers", OPERATORS),
    ("GET", "/v1/consumers/{id}", READERS),
    ("GET", "/v1/pairs", READERS),
    ("POST", "/v1/pairs", OPERATORS),
    ("GET", "/v1/pairs/{id}", READERS),
    ("PUT", "/v1/pairs/{id}/policy", OPERATORS),
    ("POST", "/v1/pairs/{id}/disconnect", OPERATORS),
    ("POST", "/v1/pairs/{id}/re-arm", OPERATORS),
    ("GET", "/v1/pairs/{id}/traffic", READERS),
    ("GET", "/v1/enrolment-tokens", READERS),
    ("POST", "/v1/enrolment-tokens", OPERATORS),
    ("GET", "/v1/endpoints", READERS),
    ("GET", "/v1/endpoints/{id}", READERS),
    ("POST", "/v1/endpoints/{id}/revoke", OPERATORS),
    ("POST", "/v1/endpoints/{id}/start-choice", OPERATORS),
    ("GET", "/v1/endpoints/{id}/starts", READERS),
    ("GET", "/v1/start-disputes", READERS),
    ("PUT", "/v1/endpoints/{id}/certificate", OPERATORS),
    ("GET", "/v1/bundles", READERS),
    ("GET", "/v1/bundles/{id}", READERS),
    ("GET", "/v1/bundles/{id}/lanes", READERS),
    ("GET", "/v1/bundles/{id}/sub-tickets", READERS),
    ("GET", "/v1/bundles/{id}/tickets", READERS),
    ("GET", "/v1/bundles/{id}/obediences", READERS),
    ("POST", "/v1/bundles/{id}/disconnect", OPERATORS),
    // What happened.
    ("GET", "/v1/collisions", READERS),
    ("GET", "/v1/collisions/{id}", READERS),
    ("GET", "/v1/collisions/{id}/evidence", READERS),
    ("GET", "/v1/events", READERS),
    ("GET", "/v1/audit", READERS),
    ("GET", "/v1/audit/head", READERS),
    ("GET", "/v1/audit/consistency", READERS),
    ("GET", "/v1/audit/{seq}/proof", READERS),
    ("GET", "/v1/audit/export", READERS),
    ("POST", "/v1/audit/key-rotations", ADMINS),
    // Endpoints.
    ("GET", "/v1/endpoint", ENDPOINTS),
    ("GET", "/v1/endpoint/log", ENDPOINTS),
    ("POST", "/v1/endpoint/log/restart", ENDPOINTS),
    ("GET", "/v1/endpoint/assignments", ENDPOINTS),
    ("GET", "/v1/endpoint/bundles", ENDPOINTS),
    ("GET", "/v1/endpoint/bundles/{id}", ENDPOINTS),
    ("POST", "/v1/endpoint/reports", ENDPOINTS),
    ("POST", "/v1/endpoint/receipts", ENDPOINTS),
    ("GET", "/v1/endpoint/events", ENDPOINTS),
];

/// Whether a role may call a route.
pub fn allows(role: AccessRole, method: &str, path: &str) -> bool {
    // axum answers HEAD by the handler of GET.
    let method = if method == "HEAD" { "GET" } else { method };
    allowed(method, path).is_some_and(|allowed| match allowed {
        Anybody => true,
        Roles(roles) => roles.contains(&role),
    })
}

fn allowed(method: &str, path: &str) -> Option<Allowed> {
    let row = TABLE.iter().find(|(m, p, _)| *m == method && *p == path);
    row.map(|(_, _, allowed)| *allowed)
}

/// What callers of a route may be told before it does anything, for who they are.
pub fn problems(method: &str, path: &str) -> Vec<ProblemType> {
    let Roles(roles) = allowed(method, path).unwrap_or(Roles(&[])) else {
        return Vec::new();
    };
    let mut problems = vec![ProblemType::Unauthenticated, ProblemType::Forbidden];
    match roles.contains(&Endpoint) {
        true => problems.extend([
            ProblemType::TokenExpired,
            ProblemType::InvalidDpopProof,
            ProblemType::UseDpopNonce,
            ProblemType::EndpointRevoked,
            ProblemType::IdentityCollided,
            ProblemType::StartEnded,
        ]),
        false if method != "GET" => problems.push(ProblemType::Csrf),
        false => {}
    }
    problems
}

/// The table as `docs/roles.md` shows it.
pub fn markdown() -> String {
    const ROLES: [AccessRole; 5] = [PlatformAdmin, TenantAdmin, Operator, Auditor, Endpoint];
    let mut text = String::from("| route |");
    for role in ROLES {
        text += &format!(" {} |", role.into_str());
    }
    text += "\n|---|---|---|---|---|---|\n";
    for (method, path, allowed) in TABLE {
        text += &format!("| `{method} {path}` |");
        for role in ROLES {
            text += match allowed {
                Anybody => " anybody |",
                Roles(roles) if roles.contains(&role) => " yes |",
                Roles(_) => " |",
            };
        }
        text.push('\n');
    }
    text
}
