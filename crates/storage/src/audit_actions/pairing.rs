//! Who calls whom, and with what.

use armour_api::{Pair, Party, Policy, Role, StartChoice};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::action::AuditAction;
use crate::new_event::{AddressClaim, Silence, StartRivals, StartSummary};

/// What was done to parties, pairs, endpoints and bundles.
#[derive(Debug, Clone, Copy, Serialize, strum::IntoStaticStr)]
#[serde(untagged)]
pub enum PairingAction<'a> {
    /// A bundle was issued.
    #[strum(serialize = "bundle.mint")]
    BundleMint {
        #[serde(skip)]
        id: Uuid,
        pair_id: Uuid,
        supersedes: Option<Uuid>,
    },
    /// Several bundles were issued at once: the members of each list stand in the same order.
    #[strum(serialize = "bundle.mint")]
    BundlesMint {
        bundles: &'a [Uuid],
        pairs: &'a [Uuid],
        /// The consumers' endpoints that drew them.
        endpoints: &'a [Uuid],
        supersedes: &'a [Option<Uuid>],
    },
    /// A bundle's consumer or producer gave it up.
    #[strum(serialize = "bundle.retire")]
    BundleRetire {
        #[serde(skip)]
        id: Uuid,
        side: Role,
        /// How many lanes it had.
        lanes: usize,
    },
    /// A bundle was followed by another, or one of its ends by a later start.
    #[strum(serialize = "bundle.supersede")]
    BundleSupersede {
        #[serde(skip)]
        id: Uuid,
        successor: Option<Uuid>,
    },
    /// A consumer was registered.
    #[strum(serialize = "consumer.create")]
    ConsumerCreate {
        #[serde(skip)]
        id: Uuid,
        name: &'a str,
    },
    /// Two endpoints of producers claim one address, and both are heard of: neither is believed.
    #[strum(serialize = "endpoint.address-shared")]
    EndpointAddressShared {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        claim: AddressClaim<'a>,
    },
    /// An endpoint that was lost is heard of again.
    #[strum(serialize = "endpoint.back")]
    EndpointBack {
        #[serde(skip)]
        id: Uuid,
    },
    /// A party's certificate of an endpoint's keys was given.
    #[strum(serialize = "endpoint.certificate")]
    EndpointCertificate {
        #[serde(skip)]
        id: Uuid,
        /// SHA-256 of it, hexadecimal.
        sha256: &'a str,
    },
    /// A stranger was at the door of an endpoint's enclave.
    #[strum(serialize = "endpoint.enclave-intruder")]
    EndpointEnclaveIntruder {
        #[serde(skip)]
        id: Uuid,
        what: &'a str,
    },
    /// An agent became an endpoint. Other agents look for this word, the role and the
    /// signing key; as below, the log's map takes the address.
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
        /// A producer's address.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<&'a str>,
    },
    /// Two starts of an endpoint both live.
    #[strum(serialize = "endpoint.in-use")]
    EndpointInUse {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        rivals: StartRivals<'a>,
    },
    /// An endpoint's start signs with another key.
    #[strum(serialize = "endpoint.renew")]
    EndpointRenew {
        #[serde(skip)]
        id: Uuid,
        /// H of the start, hexadecimal.
        start: &'a str,
        #[serde(serialize_with = "in_base64")]
        key: &'a [u8; 32],
    },
    /// An endpoint has started; an earlier start has ended.
    #[strum(serialize = "endpoint.start")]
    EndpointStart {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        start: StartSummary<'a>,
        /// A producer's address, if it is another one now.
        address: Option<&'a str>,
    },
    /// People chose between two starts of an endpoint that both live.
    #[strum(serialize = "endpoint.start-choice")]
    EndpointStartChoice {
        #[serde(skip)]
        id: Uuid,
        keep: StartChoice,
        /// H of the start that was chosen against, hexadecimal.
        declined: &'a str,
    },
    /// An endpoint's start has ended without a later one.
    #[strum(serialize = "endpoint.start-end")]
    EndpointStartEnd {
        #[serde(skip)]
        id: Uuid,
        /// H of the start, hexadecimal.
        start: &'a str,
        reason: &'a str,
    },
    /// An endpoint has fallen silent.
    #[strum(serialize = "endpoint.lost")]
    EndpointLost {
        #[serde(skip)]
        id: Uuid,
        #[serde(flatten)]
        silence: Silence<'a>,
    },
    /// So many endpoints are silent at once that none of them is taken for lost.
    #[strum(serialize = "endpoints.silent")]
    EndpointsSilent { silent: u64, there: u64 },
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
            Self::BundlesMint { .. } => "bundles".to_owned(),
            Self::BundleMint { id, .. }
            | Self::BundleRetire { id, .. }
            | Self::BundleSupersede { id, .. }
            | Self::ConsumerCreate { id, .. }
            | Self::EndpointAddressShared { id, .. }
            | Self::EndpointBack { id }
            | Self::EndpointCertificate { id, .. }
            | Self::EndpointEnclaveIntruder { id, .. }
            | Self::EndpointInUse { id, .. }
            | Self::EndpointRenew { id, .. }
            | Self::EndpointStart { id, .. }
            | Self::EndpointStartChoice { id, .. }
            | Self::EndpointStartEnd { id, .. }
            | Self::EndpointEnrol { id, .. }
            | Self::EndpointLost { id, .. }
            | Self::EndpointRevoke { id, .. }
            | Self::EnrolmentTokenCreate { id, .. }
            | Self::PairPolicy { id, .. }
            | Self::PairReArm { id, .. }
            | Self::ProducerCreate { id, .. } => id.to_string(),
            Self::EndpointsSilent { .. } => "endpoints".to_owned(),
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
        r#"{"begin_within_ms":2000,"bundle_lifetime_ms":3600000,"#,
        r#""empty_exchange_interval_ms":30000,"heartbeat_interval_ms":5000,"lease_ms":60000,"#,
        r#""max_lanes":1024,"padding":"none","rekey_bytes":67108864,"rekey_interval_ms":30000,"#,
        r#""report_interval_ms":200,"reporting":"batched","#,
        r#""retry":"safe","suite":1,"supersede_grace_ms":10000,"witness_within_ms":60000}"#
    );

    #[test]
    fn of_bundles() {
        check(
            PairingAction::BundlesMint {
                bundles: &[ID, OTHER],
                pairs: &[OTHER, OTHER],
                endpoints: &[ID, ID],
                supersedes: &[None, Some(ID)],
            },
            "bundle.mint",
            "bundles",
            &format!(
                r#"{{"bundles":["{ID}","{OTHER}"],"endpoints":["{ID}","{ID}"],"pairs":["{OTHER}","{OTHER}"],"supersedes":[null,"{ID}"]}}"#
            ),
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
                successor: Some(OTHER),
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
                address: Some("https://till"),
            },
            "endpoint.enrol",
            ID_TEXT,
            concat!(
                r#"{"address":"https://till","#,
                r#""kem_key":"//////////////////////////////////////////8=","name":"till","#,
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
            PairingAction::EndpointAddressShared {
                id: ID,
                claim: AddressClaim {
                    address: "http://till:9000",
                    other_endpoint_id: OTHER,
                },
            },
            "endpoint.address-shared",
            ID_TEXT,
            concat!(
                r#"{"address":"http://till:9000","#,
                r#""other_endpoint_id":"00000000-0000-0000-0000-000000000002"}"#
            ),
        );
        check(
            PairingAction::EndpointsSilent {
                silent: 6,
                there: 20,
            },
            "endpoints.silent",
            "endpoints",
            r#"{"silent":6,"there":20}"#,
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
    fn of_starts() {
        let start = StartSummary {
            start: "00",
            counter: 7,
            host: Some("till-1"),
            process: Some(9),
        };
        let said = r#""counter":7,"host":"till-1","process":9,"start":"00""#;
        check(
            PairingAction::EndpointStart {
                id: ID,
                start,
                address: None,
            },
            "endpoint.start",
            ID_TEXT,
            &format!(r#"{{"address":null,{said}}}"#),
        );
        check(
            PairingAction::EndpointInUse {
                id: ID,
                rivals: StartRivals {
                    older: start,
                    newer: start,
                },
            },
            "endpoint.in-use",
            ID_TEXT,
            &format!(r#"{{"newer":{{{said}}},"older":{{{said}}}}}"#),
        );
        check(
            PairingAction::EndpointStartChoice {
                id: ID,
                keep: StartChoice::Older,
                declined: "00",
            },
            "endpoint.start-choice",
            ID_TEXT,
            r#"{"declined":"00","keep":"older"}"#,
        );
        check(
            PairingAction::EndpointStartEnd {
                id: ID,
                start: "00",
                reason: "it leaves",
            },
            "endpoint.start-end",
            ID_TEXT,
            r#"{"reason":"it leaves","start":"00"}"#,
        );
        check(
            PairingAction::EndpointRenew {
                id: ID,
                start: "00",
                key: &[0; 32],
            },
            "endpoint.renew",
            ID_TEXT,
            r#"{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","start":"00"}"#,
        );
        check(
            PairingAction::EndpointCertificate {
                id: ID,
                sha256: "00",
            },
            "endpoint.certificate",
            ID_TEXT,
            r#"{"sha256":"00"}"#,
        );
        check(
            PairingAction::EndpointEnclaveIntruder {
                id: ID,
                what: "stranger",
            },
            "endpoint.enclave-intruder",
            ID_TEXT,
            r#"{"what":"stranger"}"#,
        );
        check(
            PairingAction::BundleRetire {
                id: ID,
                side: Role::Consumer,
                lanes: 2,
            },
            "bundle.retire",
            ID_TEXT,
            r#"{"lanes":2,"side":"consumer"}"#,
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
