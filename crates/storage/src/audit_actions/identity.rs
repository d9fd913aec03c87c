//! Who may come in, and who did.

use armour_api::{AccessRole, Issuer, WorkloadRule};
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::action::AuditAction;

/// What was done about credentials.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum IdentityAction<'a> {
    /// A holder of credentials was denied what it tried.
    #[strum(serialize = "access.deny")]
    AccessDeny {
        /// Method and path.
        #[serde(skip)]
        route: &'a str,
        why: &'a str,
    },
    /// An API token was created.
    #[strum(serialize = "api-token.create")]
    ApiTokenCreate {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
        role: AccessRole,
        expires_at: Option<DateTime<Utc>>,
    },
    /// An API token was revoked.
    #[strum(serialize = "api-token.revoke")]
    ApiTokenRevoke {
        #[serde(skip)]
        id: Uuid,
    },
    /// An API token was created in place of an earlier one.
    #[strum(serialize = "api-token.rotate")]
    ApiTokenRotate {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
        role: AccessRole,
        replaces: Uuid,
        /// How long the earlier one works on.
        overlap_until: DateTime<Utc>,
    },
    /// An issuer is trusted.
    #[strum(serialize = "issuer.create")]
    IssuerCreate { issuer: &'a Issuer },
    /// An issuer is trusted no more.
    #[strum(serialize = "issuer.delete")]
    IssuerDelete {
        #[serde(skip)]
        id: Uuid,
        sessions_ended: &'a [Uuid],
    },
    /// A person's session began.
    #[strum(serialize = "session.begin")]
    SessionBegin {
        #[serde(skip)]
        id: Uuid,
        /// The person's.
        name: &'a str,
        role: AccessRole,
    },
    /// A person's session ended.
    #[strum(serialize = "session.end")]
    SessionEnd {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        by: SessionEnd,
    },
    /// An issuer's people were not let in.
    #[strum(serialize = "sign-in.deny")]
    SignInDeny {
        #[serde(skip)]
        issuer: Uuid,
        why: &'a str,
    },
    /// Workloads of an issuer may enrol.
    #[strum(serialize = "workload-rule.create")]
    WorkloadRuleCreate { rule: &'a WorkloadRule },
    /// Workloads may enrol no more by this rule.
    #[strum(serialize = "workload-rule.delete")]
    WorkloadRuleDelete {
        #[serde(skip)]
        id: Uuid,
    },
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "by")]
pub enum SessionEnd {
    /// The person, or an administrator.
    #[serde(rename = "the caller")]
    Caller,
    /// The issuer that vouched for the person.
    #[serde(rename = "the issuer")]
    Issuer { issuer: Uuid },
}

impl AuditAction for IdentityAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::AccessDeny { route, .. } => (*route).to_owned(),
            Self::ApiTokenCreate { id, .. }
            | Self::ApiTokenRevoke { id }
            | Self::ApiTokenRotate { id, .. }
            | Self::IssuerDelete { id, .. }
            | Self::SessionBegin { id, .. }
            | Self::SessionEnd { id, .. }
            | Self::WorkloadRuleDelete { id } => id.to_string(),
            Self::IssuerCreate { issuer } => issuer.id.to_string(),
            Self::SignInDeny { issuer, .. } => issuer.to_string(),
            Self::WorkloadRuleCreate { rule } => rule.id.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use armour_api::{ClientAuthentication, IssuerKind, Role};

    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";
    const OTHER: Uuid = Uuid::from_u128(2);

    #[test]
    fn of_api_tokens() {
        let role = AccessRole::Operator;
        check(
            IdentityAction::AccessDeny {
                route: "GET /v1/pairs",
                why: "expired",
            },
            "access.deny",
            "GET /v1/pairs",
            r#"{"why":"expired"}"#,
        );
        check(
            IdentityAction::ApiTokenCreate {
                id: ID,
                name: "ci",
                role,
                expires_at: None,
            },
            "api-token.create",
            ID_TEXT,
            r#"{"expires_at":null,"name":"ci","role":"operator"}"#,
        );
        check(
            IdentityAction::ApiTokenRevoke { id: ID },
            "api-token.revoke",
            ID_TEXT,
            "{}",
        );
        check(
            IdentityAction::ApiTokenRotate {
                id: ID,
                name: "ci",
                role,
                replaces: OTHER,
                overlap_until: DateTime::UNIX_EPOCH,
            },
            "api-token.rotate",
            ID_TEXT,
            concat!(
                r#"{"name":"ci","overlap_until":"1970-01-01T00:00:00Z","#,
                r#""replaces":"00000000-0000-0000-0000-000000000002","role":"operator"}"#
            ),
        );
    }

    #[test]
    fn of_issuers() {
        let issuer = Issuer {
            id: ID,
            kind: IssuerKind::People,
            name: "office".into(),
            url: "https://id.example".into(),
            audience: "armour".into(),
            groups_claim: "groups".into(),
            role_map: Default::default(),
            scopes: Vec::new(),
            client_authentication: ClientAuthentication::BasicRaw,
            created_at: DateTime::UNIX_EPOCH,
        };
        check(
            IdentityAction::IssuerCreate { issuer: &issuer },
            "issuer.create",
            ID_TEXT,
            concat!(
                r#"{"issuer":{"audience":"armour","client_authentication":"basic-raw","#,
                r#""created_at":"1970-01-01T00:00:00Z","#,
                r#""groups_claim":"groups","id":"00000000-0000-0000-0000-000000000001","#,
                r#""kind":"people","name":"office","role_map":{},"scopes":[],"#,
                r#""url":"https://id.example"}}"#
            ),
        );
        check(
            IdentityAction::IssuerDelete {
                id: ID,
                sessions_ended: &[OTHER],
            },
            "issuer.delete",
            ID_TEXT,
            r#"{"sessions_ended":["00000000-0000-0000-0000-000000000002"]}"#,
        );
        let rule = WorkloadRule {
            id: ID,
            issuer_id: OTHER,
            subject: "system:*".into(),
            claims: Default::default(),
            role: Role::Consumer,
            party_id: OTHER,
            created_at: DateTime::UNIX_EPOCH,
        };
        check(
            IdentityAction::WorkloadRuleCreate { rule: &rule },
            "workload-rule.create",
            ID_TEXT,
            concat!(
                r#"{"rule":{"claims":{},"created_at":"1970-01-01T00:00:00Z","#,
                r#""id":"00000000-0000-0000-0000-000000000001","#,
                r#""issuer_id":"00000000-0000-0000-0000-000000000002","#,
                r#""party_id":"00000000-0000-0000-0000-000000000002","#,
                r#""role":"consumer","subject":"system:*"}}"#
            ),
        );
        check(
            IdentityAction::WorkloadRuleDelete { id: ID },
            "workload-rule.delete",
            ID_TEXT,
            "{}",
        );
    }

    #[test]
    fn of_people() {
        check(
            IdentityAction::SessionBegin {
                id: ID,
                name: "Ada",
                role: AccessRole::TenantAdmin,
            },
            "session.begin",
            ID_TEXT,
            r#"{"name":"Ada","role":"tenant-admin"}"#,
        );
        check(
            IdentityAction::SessionEnd {
                id: ID,
                by: SessionEnd::Caller,
            },
            "session.end",
            ID_TEXT,
            r#"{"by":"the caller"}"#,
        );
        check(
            IdentityAction::SessionEnd {
                id: ID,
                by: SessionEnd::Issuer { issuer: OTHER },
            },
            "session.end",
            ID_TEXT,
            r#"{"by":"the issuer","issuer":"00000000-0000-0000-0000-000000000002"}"#,
        );
        check(
            IdentityAction::SignInDeny {
                issuer: ID,
                why: "no role",
            },
            "sign-in.deny",
            ID_TEXT,
            r#"{"why":"no role"}"#,
        );
    }
}
