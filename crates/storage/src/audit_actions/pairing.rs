//! Who calls whom, and with what.

use armour_api::{Pair, Party, Policy, Role};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::action::AuditAction;
use crate::new_event::Silence;

/// What was done to parties, pairs, endpoints and bundles.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum PairingAction<'a> {
    /// An endpoint holds a bundle's secret, and the copy of it was erased.
    #[strum(serialize = "bundle.acknowledge")]
    BundleAcknowledge {
        #[serde(skip)]
        id: Uuid,
    },
    /// A bundle was issued.
    #[strum(serialize = "bundle.mint")]
    BundleMint {
        #[serde(skip)]
        id: Uuid,
        pair_id: Uuid,
        supersedes: Option<Uuid>,
    },
    /// A bundle was followed by another.
    #[strum(serialize = "bundle.supersede")]
    BundleSupersede {
        #[serde(skip)]
        id: Uuid,
        successor: Uuid,
    },
    /// A consumer was registered.
    #[strum(serialize = "consumer.create")]
    ConsumerCreate {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
    },
    /// An endpoint that was lost is heard of again.
    #[strum(serialize = "endpoint.back")]
    EndpointBack {
        #[serde(skip)]
        id: Uuid,
    },
    /// An agent became an endpoint. Other agents look for this word, the role and the
    /// signing key.
    #[strum(serialize = "endpoint.enrol")]
    EndpointEnrol {
        #[serde(skip)]
        id: Uuid,
        role: Role,
        party_id: Uuid,
        name: &'a str,
        #[serde(serialize_with = "in_base64")]
        signing_key: &'a [u8; 32],
        #[serde(serialize_with = "in_base64")]
        kem_key: &'a [u8; 32],
    },
    /// An endpoint has fallen silent.
    #[strum(serialize = "endpoint.lost")]
    EndpointLost {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        silence: Silence<'a>,
    },
    /// An endpoint is admitted no more.
    #[strum(serialize = "endpoint.revoke")]
    EndpointRevoke {
        #[serde(skip)]
        id: Uuid,
        reason: &'a str,
    },
    /// An agent may enrol once.
    #[strum(serialize = "enrolment-token.create")]
    EnrolmentTokenCreate {
        #[serde(skip)]
        id: Uuid,
        role: Role,
        party_id: Uuid,
        expires_at: DateTime<Utc>,
    },
    /// A consumer and a producer were paired.
    #[strum(serialize = "pair.create")]
    PairCreate { pair: &'a Pair },
    /// A pair has another policy.
    #[strum(serialize = "pair.policy")]
    PairPolicy {
        #[serde(skip)]
        id: Uuid,
        before: &'a Policy,
        after: &'a Policy,
    },
    /// A pair that was disconnected may exchange again.
    #[strum(serialize = "pair.re-arm")]
    PairReArm {
        #[serde(skip)]
        id: Uuid,
        reason: &'a str,
    },
    /// A producer was registered.
    #[strum(serialize = "producer.create")]
    ProducerCreate {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
    },
}

impl<'a> PairingAction<'a> {
    /// A party of this side was registered.
    pub fn party_create(role: Role, party: &'a Party) -> Self {
        let (id, name) = (party.id, &party.name);
        match role {
            Role::Consumer => Self::ConsumerCreate { id, name },
            Role::Producer => Self::ProducerCreate { id, name },
        }
    }
}

impl AuditAction for PairingAction<'_> {
    fn target(&self) -> String {
        match self {
            Self::BundleAcknowledge { id }
            | Self::BundleMint { id, .. }
            | Self::BundleSupersede { id, .. }
            | Self::ConsumerCreate { id, .. }
            | Self::EndpointBack { id }
            | Self::EndpointEnrol { id, .. }
            | Self::EndpointLost { id, .. }
            | Self::EndpointRevoke { id, .. }
            | Self::EnrolmentTokenCreate { id, .. }
            | Self::PairPolicy { id, .. }
            | Self::PairReArm { id, .. }
            | Self::ProducerCreate { id, .. } => id.to_string(),
            Self::PairCreate { pair } => pair.id.to_string(),
        }
    }
}

fn in_base64<S: Serializer>(key: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(key))
}

#[cfg(test)]
mod tests {
    use armour_api::PairState;

    use super::{super::action::check, *};

    const ID: Uuid = Uuid::from_u128(1);
    const ID_TEXT: &str = "00000000-0000-0000-0000-000000000001";
    const OTHER: Uuid = Uuid::from_u128(2);
    const POLICY: &str = concat!(
        r#"{"empty_exchange_interval_ms":30000,"heartbeat_interval_ms":5000,"lease_ms":60000,"#,
        r#""max_lanes":16,"report_interval_ms":200,"reporting":"batched","suite":1,"#,
        r#""supersede_grace_ms":10000}"#
    );

    #[test]
    fn of_bundles() {
        check(
            PairingAction::BundleAcknowledge { id: ID },
            "bundle.acknowledge",
            ID_TEXT,
            "{}",
        );
        check(
            PairingAction::BundleMint {
                id: ID,
                pair_id: OTHER,
                supersedes: None,
            },
            "bundle.mint",
            ID_TEXT,
            r#"{"pair_id":"00000000-0000-0000-0000-000000000002","supersedes":null}"#,
        );
        check(
            PairingAction::BundleSupersede {
                id: ID,
                successor: OTHER,
            },
            "bundle.supersede",
            ID_TEXT,
            r#"{"successor":"00000000-0000-0000-0000-000000000002"}"#,
        );
    }

    #[test]
    fn of_endpoints() {
        check(
            PairingAction::EndpointBack { id: ID },
            "endpoint.back",
            ID_TEXT,
            "{}",
        );
        check(
            PairingAction::EndpointEnrol {
                id: ID,
                role: Role::Producer,
                party_id: OTHER,
                name: "till",
                signing_key: &[0; 32],
                kem_key: &[255; 32],
            },
            "endpoint.enrol",
            ID_TEXT,
            concat!(
                r#"{"kem_key":"//////////////////////////////////////////8=","name":"till","#,
                r#""party_id":"00000000-0000-0000-0000-000000000002","role":"producer","#,
                r#""signing_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#
            ),
        );
        check(
            PairingAction::EndpointLost {
                id: ID,
                silence: Silence {
                    name: "till",
                    silent_for_s: 90,
                },
            },
            "endpoint.lost",
            ID_TEXT,
            r#"{"name":"till","silent_for_s":90}"#,
        );
        check(
            PairingAction::EndpointRevoke {
                id: ID,
                reason: "sold",
            },
            "endpoint.revoke",
            ID_TEXT,
            r#"{"reason":"sold"}"#,
        );
        check(
            PairingAction::EnrolmentTokenCreate {
                id: ID,
                role: Role::Consumer,
                party_id: OTHER,
                expires_at: DateTime::UNIX_EPOCH,
            },
            "enrolment-token.create",
            ID_TEXT,
            concat!(
                r#"{"expires_at":"1970-01-01T00:00:00Z","#,
                r#""party_id":"00000000-0000-0000-0000-000000000002","role":"consumer"}"#
            ),
        );
    }

    #[test]
    fn of_parties() {
        let party = Party {
            id: ID,
            name: "shop".into(),
            created_at: DateTime::UNIX_EPOCH,
        };
        check(
            PairingAction::party_create(Role::Consumer, &party),
            "consumer.create",
            ID_TEXT,
            r#"{"name":"shop"}"#,
        );
        check(
            PairingAction::party_create(Role::Producer, &party),
            "producer.create",
            ID_TEXT,
            r#"{"name":"shop"}"#,
        );
    }

    #[test]
    fn of_pairs() {
        let policy = Policy::default();
        let pair = Pair {
            id: ID,
            consumer_id: OTHER,
            producer_id: OTHER,
            consumer_name: "shop".into(),
            producer_name: "bank".into(),
            state: PairState::Active,
            policy: policy.clone(),
            created_at: DateTime::UNIX_EPOCH,
            revision: 1,
        };
        let detail = [
            r#"{"pair":{"consumer_id":"00000000-0000-0000-0000-000000000002","#,
            r#""consumer_name":"shop","created_at":"1970-01-01T00:00:00Z","#,
            r#""id":"00000000-0000-0000-0000-000000000001","policy":"#,
            POLICY,
            r#","producer_id":"00000000-0000-0000-0000-000000000002","#,
            r#""producer_name":"bank","revision":1,"state":"active"}}"#,
        ];
        check(
            PairingAction::PairCreate { pair: &pair },
            "pair.create",
            ID_TEXT,
            &detail.concat(),
        );
        check(
            PairingAction::PairPolicy {
                id: ID,
                before: &policy,
                after: &policy,
            },
            "pair.policy",
            ID_TEXT,
            &format!(r#"{{"after":{POLICY},"before":{POLICY}}}"#),
        );
        check(
            PairingAction::PairReArm {
                id: ID,
                reason: "looked at",
            },
            "pair.re-arm",
            ID_TEXT,
            r#"{"reason":"looked at"}"#,
        );
    }
}
