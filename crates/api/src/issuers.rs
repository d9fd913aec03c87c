//! OpenID providers that a tenant trusts, and which workloads of theirs may enrol.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{AccessRole, Role};

wire! {
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
        /// Absent from earlier versions.
        #[serde(default)]
        pub client_authentication: ClientAuthentication,
        pub created_at: DateTime<Utc>,
    }

    /// How a client shows its secret at an issuer's token endpoint.
    #[derive(Copy, Eq, Default, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum ClientAuthentication {
        /// As the issuer says of itself: in the header, unless it takes the secret in the body
        /// alone, or there too and the header's would have to be encoded.
        #[default]
        Auto,
        /// In the header by HTTP Basic, id and secret encoded as a form's (RFC 6749, section
        /// 2.3.1).
        Basic,
        /// The same with id and secret as they are, as some issuers read it.
        BasicRaw,
        /// In the body.
        Post,
    }

    /// What kind of token an issuer's are.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum IssuerKind {
        /// OpenID Connect logins of people.
        People,
        /// Tokens by which workloads enrol, a Kubernetes service account's for example.
        Workload,
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
        /// People: how the client's secret is shown. Earlier control planes know of no choice.
        #[serde(default, skip_serializing_if = "ClientAuthentication::is_auto")]
        pub client_authentication: ClientAuthentication,
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
}

impl ClientAuthentication {
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

fn groups() -> String {
    "groups".into()
}
