//! What happens that those who watch are told of: each kind of event with what it says.

use armour_api::{CollisionKind, EventKind, Policy, Role};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Something that has happened, to be recorded.
#[derive(Debug, Clone, Copy)]
pub enum NewEvent<'a> {
    /// What a producer's endpoint is for callers has changed: its consumers' endpoints may have
    /// to hold other bundles. They ask for them within this time.
    AssignmentsChanged {
        endpoint: Uuid,
        producer: Uuid,
        within_ms: u32,
    },
    /// A bundle is of no use any more, on either side.
    BundleDisconnected {
        pair: Uuid,
        bundle: Uuid,
        reason: &'a str,
    },
    /// In one of a bundle's streams a checkpoint was found that an end's key signed and not
    /// that end.
    BundleForeignCheckpoint {
        pair: Uuid,
        bundle: Uuid,
        alarm: CheckpointAlarm<'a>,
    },
    /// A bundle was issued.
    BundleMinted { pair: Uuid, bundle: Uuid },
    /// A bundle's consumer or producer gave it up.
    BundleRetired {
        pair: Uuid,
        bundle: Uuid,
        side: Role,
    },
    /// A bundle was followed by another, or one of its ends by a later start.
    BundleSuperseded {
        pair: Uuid,
        bundle: Uuid,
        successor: Option<Uuid>,
    },
    /// A bundle's producer does not report what its consumer does.
    BundleUnwitnessed {
        pair: Uuid,
        bundle: Uuid,
        witness: MissingWitness,
    },
    /// Somebody else holds the state of `endpoint`.
    CollisionDetected {
        pair: Option<Uuid>,
        bundle: Option<Uuid>,
        endpoint: Uuid,
        collision: CollisionSummary,
    },
    /// An endpoint that was lost is heard of again.
    EndpointBack { endpoint: Uuid, name: &'a str },
    /// Somebody else holds an endpoint's keys.
    EndpointCollided { endpoint: Uuid, kind: CollisionKind },
    /// Another endpoint claims the address of one that is there, which is believed no more.
    EndpointDisplaced {
        endpoint: Uuid,
        claim: AddressClaim<'a>,
    },
    /// Two endpoints claim one address, and both are heard of.
    EndpointAddressShared {
        endpoint: Uuid,
        claim: AddressClaim<'a>,
    },
    /// So many of the endpoints that are there are silent at once that none is taken for lost.
    EndpointsSilent { silent: u64, there: u64 },
    /// A stranger was at the door of an endpoint's enclave.
    EndpointEnclaveIntruder { endpoint: Uuid, what: &'a str },
    /// An agent became an endpoint.
    EndpointEnrolled {
        endpoint: Uuid,
        role: Role,
        name: &'a str,
    },
    /// Two starts of an endpoint both live.
    EndpointInUse {
        endpoint: Uuid,
        rivals: StartRivals<'a>,
    },
    /// An endpoint has fallen silent.
    EndpointLost {
        endpoint: Uuid,
        silence: Silence<'a>,
    },
    /// An endpoint's living start is asked whether it lives, though this one, H of it in
    /// base64, wants its place.
    EndpointPresenceAsked { endpoint: Uuid, start: &'a str },
    /// An endpoint is admitted no more.
    EndpointRevoked { endpoint: Uuid, reason: &'a str },
    /// An endpoint has started.
    EndpointStarted {
        endpoint: Uuid,
        start: StartSummary<'a>,
    },
    /// The database was restored to an earlier state, and what was before has ended.
    LedgerFenced(FenceSummary<'a>),
    /// A consumer and a producer were paired.
    PairCreated { pair: Uuid },
    /// A pair may not exchange any more.
    PairDisconnected { pair: Uuid, reason: &'a str },
    /// A pair that was disconnected may exchange again.
    PairReArmed { pair: Uuid, reason: &'a str },
    /// A pair has another policy.
    PairUpdated { pair: Uuid, policy: &'a Policy },
    /// A receiver of webhooks answered that it is gone, and is told nothing any more.
    WebhookDisabled {
        webhook: Uuid,
        url: &'a str,
        status: u16,
    },
}

/// What its event and its audit entry say of a collision.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CollisionSummary {
    /// Its id.
    pub collision_id: Uuid,
    /// How it became evident.
    pub kind: CollisionKind,
    /// The side that was copied.
    pub role: Role,
    /// The lane, for those of tickets and receipts.
    pub lane: Option<u16>,
    /// The exchange or, for links and starts, the number of the link or start.
    pub n: u64,
    /// The sub-ticket of that exchange, for those of streams that re-key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<u32>,
    /// The endpoint whose report showed it.
    pub reporter_id: Uuid,
}

/// What an event and an audit entry say of an address that two endpoints claim.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AddressClaim<'a> {
    /// The address.
    pub address: &'a str,
    /// The other endpoint.
    pub other_endpoint_id: Uuid,
}

/// What its event and its audit entry say of an endpoint that is lost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Silence<'a> {
    /// The endpoint's name.
    pub name: &'a str,
    /// For how long, at least, nothing was heard of it.
    pub silent_for_s: i64,
}

/// What events and audit entries say of a start.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StartSummary<'a> {
    /// H of it, hexadecimal.
    pub start: &'a str,
    /// Its number.
    pub counter: u64,
    /// Where it runs, as it says itself.
    pub host: Option<&'a str>,
    /// Its process's number there.
    pub process: Option<u32>,
}

/// What its event and its audit entry say of two starts that both live.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StartRivals<'a> {
    /// The one that was there.
    pub older: StartSummary<'a>,
    /// The one that was refused.
    pub newer: StartSummary<'a>,
}

/// What its event and its audit entry say of a bundle whose producer does not report.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MissingWitness {
    /// The producer's endpoint.
    pub producer_endpoint_id: Uuid,
    /// Since when it is behind.
    pub since: DateTime<Utc>,
}

/// What its event and its audit entry say of a checkpoint that an end's key signed and not that
/// end.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CheckpointAlarm<'a> {
    /// The endpoint that found it.
    pub reporter_id: Uuid,
    /// The lane.
    pub lane: u32,
    /// The exchange, and how often its streams had been re-keyed, if the checkpoint was told.
    pub n: Option<u64>,
    /// The same.
    pub k: Option<u32>,
    /// The endpoint whose key signed the checkpoint, if it was told and the signature holds.
    pub signed_by: Option<Uuid>,
    /// The checkpoint as it was told, in base64.
    pub checkpoint: Option<&'a str>,
}

/// What its event and its audit entry say of a fence.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FenceSummary<'a> {
    /// Why.
    pub reason: &'a str,
    /// How many bundles ended.
    pub bundles: usize,
    /// How many sessions ended.
    pub sessions: usize,
    /// How many entries somebody has seen of the log that is lost.
    pub seen_of_the_lost_log: Option<u64>,
}

/// An event's columns.
#[derive(Debug)]
pub(crate) struct EventRecord {
    pub kind: EventKind,
    pub pair: Option<Uuid>,
    pub bundle: Option<Uuid>,
    pub endpoint: Option<Uuid>,
    pub detail: Value,
}

impl NewEvent<'_> {
    pub(crate) fn record(self) -> EventRecord {
        use EventRecord as Record;
        match self {
            Self::AssignmentsChanged {
                endpoint,
                producer,
                within_ms,
            } => Record::new(EventKind::AssignmentsChanged)
                .of_endpoint(endpoint)
                .saying(json!({ "producer_id": producer, "within_ms": within_ms })),
            Self::BundleDisconnected {
                pair,
                bundle,
                reason,
            } => Record::new(EventKind::BundleDisconnected)
                .of_bundle(pair, bundle)
                .saying(json!({ "reason": reason })),
            Self::BundleForeignCheckpoint {
                pair,
                bundle,
                alarm,
            } => Record::new(EventKind::BundleForeignCheckpoint)
                .of_bundle(pair, bundle)
                .saying(json!(alarm)),
            Self::BundleMinted { pair, bundle } => {
                Record::new(EventKind::BundleMinted).of_bundle(pair, bundle)
            }
            Self::BundleRetired { pair, bundle, side } => Record::new(EventKind::BundleRetired)
                .of_bundle(pair, bundle)
                .saying(json!({ "side": side })),
            Self::BundleSuperseded {
                pair,
                bundle,
                successor,
            } => Record::new(EventKind::BundleSuperseded)
                .of_bundle(pair, bundle)
                .saying(json!({ "successor": successor })),
            Self::BundleUnwitnessed {
                pair,
                bundle,
                witness,
            } => Record::new(EventKind::BundleUnwitnessed)
                .of_bundle(pair, bundle)
                .saying(json!(witness)),
            Self::CollisionDetected {
                pair,
                bundle,
                endpoint,
                collision,
            } => Record {
                pair,
                bundle,
                ..Record::new(EventKind::CollisionDetected)
            }
            .of_endpoint(endpoint)
            .saying(json!(collision)),
            Self::EndpointBack { endpoint, name } => Record::new(EventKind::EndpointBack)
                .of_endpoint(endpoint)
                .saying(json!({ "name": name })),
            Self::EndpointCollided { endpoint, kind } => Record::new(EventKind::EndpointCollided)
                .of_endpoint(endpoint)
                .saying(json!({ "kind": kind })),
            Self::EndpointEnclaveIntruder { endpoint, what } => {
                Record::new(EventKind::EndpointEnclaveIntruder)
                    .of_endpoint(endpoint)
                    .saying(json!({ "what": what }))
            }
            Self::EndpointEnrolled {
                endpoint,
                role,
                name,
            } => Record::new(EventKind::EndpointEnrolled)
                .of_endpoint(endpoint)
                .saying(json!({ "role": role, "name": name })),
            Self::EndpointInUse { endpoint, rivals } => Record::new(EventKind::EndpointInUse)
                .of_endpoint(endpoint)
                .saying(json!(rivals)),
            Self::EndpointPresenceAsked { endpoint, start } => {
                Record::new(EventKind::EndpointPresenceAsked)
                    .of_endpoint(endpoint)
                    .saying(json!({ "start": start }))
            }
            Self::EndpointStarted { endpoint, start } => Record::new(EventKind::EndpointStarted)
                .of_endpoint(endpoint)
                .saying(json!(start)),
            Self::EndpointDisplaced { endpoint, claim } => {
                Record::new(EventKind::EndpointDisplaced)
                    .of_endpoint(endpoint)
                    .saying(json!(claim))
            }
            Self::EndpointAddressShared { endpoint, claim } => {
                Record::new(EventKind::EndpointAddressShared)
                    .of_endpoint(endpoint)
                    .saying(json!(claim))
            }
            Self::EndpointsSilent { silent, there } => Record::new(EventKind::EndpointsSilent)
                .saying(json!({ "silent": silent, "there": there })),
            Self::EndpointLost { endpoint, silence } => Record::new(EventKind::EndpointLost)
                .of_endpoint(endpoint)
                .saying(json!(silence)),
            Self::EndpointRevoked { endpoint, reason } => Record::new(EventKind::EndpointRevoked)
                .of_endpoint(endpoint)
                .saying(json!({ "reason": reason })),
            Self::LedgerFenced(fence) => Record::new(EventKind::LedgerFenced).saying(json!(fence)),
            Self::PairCreated { pair } => Record::new(EventKind::PairCreated).of_pair(pair),
            Self::PairDisconnected { pair, reason } => Record::new(EventKind::PairDisconnected)
                .of_pair(pair)
                .saying(json!({ "reason": reason })),
            Self::PairReArmed { pair, reason } => Record::new(EventKind::PairReArmed)
                .of_pair(pair)
                .saying(json!({ "reason": reason })),
            Self::PairUpdated { pair, policy } => Record::new(EventKind::PairUpdated)
                .of_pair(pair)
                .saying(json!({ "policy": policy })),
            Self::WebhookDisabled {
                webhook,
                url,
                status,
            } => Record::new(EventKind::WebhookDisabled)
                .saying(json!({ "webhook_id": webhook, "url": url, "status": status })),
        }
    }
}

impl EventRecord {
    fn new(kind: EventKind) -> Self {
        Self {
            kind,
            pair: None,
            bundle: None,
            endpoint: None,
            detail: Value::Null,
        }
    }

    fn of_pair(self, pair: Uuid) -> Self {
        let pair = Some(pair);
        Self { pair, ..self }
    }

    fn of_bundle(self, pair: Uuid, bundle: Uuid) -> Self {
        let (pair, bundle) = (Some(pair), Some(bundle));
        Self {
            pair,
            bundle,
            ..self
        }
    }

    fn of_endpoint(self, endpoint: Uuid) -> Self {
        let endpoint = Some(endpoint);
        Self { endpoint, ..self }
    }

    fn saying(self, detail: Value) -> Self {
        Self { detail, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Uuid = Uuid::from_u128(1);
    const BUNDLE: Uuid = Uuid::from_u128(2);
    const ENDPOINT: Uuid = Uuid::from_u128(3);
    const OTHER: Uuid = Uuid::from_u128(4);

    /// Checks an event's kind, its pair, bundle and endpoint, and its detail to the byte.
    fn check(event: NewEvent<'_>, kind: &str, ids: [Option<Uuid>; 3], detail: &str) {
        let record = event.record();
        assert_eq!(record.kind.into_str(), kind);
        assert_eq!([record.pair, record.bundle, record.endpoint], ids, "{kind}");
        assert_eq!(record.detail.to_string(), detail, "{kind}");
    }

    #[test]
    fn of_bundles() {
        let (pair, bundle) = (PAIR, BUNDLE);
        let ids = [Some(PAIR), Some(BUNDLE), None];
        check(
            NewEvent::BundleDisconnected {
                pair,
                bundle,
                reason: "stolen",
            },
            "bundle.disconnected",
            ids,
            r#"{"reason":"stolen"}"#,
        );
        check(
            NewEvent::BundleMinted { pair, bundle },
            "bundle.minted",
            ids,
            "null",
        );
        check(
            NewEvent::BundleSuperseded {
                pair,
                bundle,
                successor: Some(OTHER),
            },
            "bundle.superseded",
            ids,
            r#"{"successor":"00000000-0000-0000-0000-000000000004"}"#,
        );
        let alarm = CheckpointAlarm {
            reporter_id: ENDPOINT,
            lane: 1,
            n: Some(2),
            k: Some(3),
            signed_by: Some(OTHER),
            checkpoint: Some("AA=="),
        };
        check(
            NewEvent::BundleForeignCheckpoint {
                pair,
                bundle,
                alarm,
            },
            "bundle.foreign-checkpoint",
            ids,
            concat!(
                r#"{"checkpoint":"AA==","k":3,"lane":1,"n":2,"#,
                r#""reporter_id":"00000000-0000-0000-0000-000000000003","#,
                r#""signed_by":"00000000-0000-0000-0000-000000000004"}"#
            ),
        );
        let witness = MissingWitness {
            producer_endpoint_id: ENDPOINT,
            since: DateTime::UNIX_EPOCH,
        };
        check(
            NewEvent::BundleUnwitnessed {
                pair,
                bundle,
                witness,
            },
            "bundle.unwitnessed",
            ids,
            concat!(
                r#"{"producer_endpoint_id":"00000000-0000-0000-0000-000000000003","#,
                r#""since":"1970-01-01T00:00:00Z"}"#
            ),
        );
        let side = Role::Producer;
        check(
            NewEvent::BundleRetired { pair, bundle, side },
            "bundle.retired",
            ids,
            r#"{"side":"producer"}"#,
        );
        check(
            NewEvent::CollisionDetected {
                pair: Some(pair),
                bundle: Some(bundle),
                endpoint: ENDPOINT,
                collision: CollisionSummary {
                    collision_id: OTHER,
                    kind: CollisionKind::Fork,
                    role: Role::Consumer,
                    lane: Some(5),
                    n: 6,
                    k: None,
                    reporter_id: ENDPOINT,
                },
            },
            "collision.detected",
            [Some(PAIR), Some(BUNDLE), Some(ENDPOINT)],
            concat!(
                r#"{"collision_id":"00000000-0000-0000-0000-000000000004","kind":"fork","#,
                r#""lane":5,"n":6,"reporter_id":"00000000-0000-0000-0000-000000000003","#,
                r#""role":"consumer"}"#
            ),
        );
    }

    #[test]
    fn of_endpoints() {
        let (endpoint, name) = (ENDPOINT, "till");
        let ids = [None, None, Some(ENDPOINT)];
        check(
            NewEvent::EndpointBack { endpoint, name },
            "endpoint.back",
            ids,
            r#"{"name":"till"}"#,
        );
        check(
            NewEvent::EndpointEnrolled {
                endpoint,
                role: Role::Consumer,
                name,
            },
            "endpoint.enrolled",
            ids,
            r#"{"name":"till","role":"consumer"}"#,
        );
        check(
            NewEvent::EndpointLost {
                endpoint,
                silence: Silence {
                    name,
                    silent_for_s: 90,
                },
            },
            "endpoint.lost",
            ids,
            r#"{"name":"till","silent_for_s":90}"#,
        );
        check(
            NewEvent::EndpointRevoked {
                endpoint,
                reason: "sold",
            },
            "endpoint.revoked",
            ids,
            r#"{"reason":"sold"}"#,
        );
    }

    #[test]
    fn of_addresses_and_silences() {
        let claim = AddressClaim {
            address: "http://till:9000",
            other_endpoint_id: OTHER,
        };
        let said = format!(r#"{{"address":"http://till:9000","other_endpoint_id":"{OTHER}"}}"#);
        let (endpoint, ids) = (ENDPOINT, [None, None, Some(ENDPOINT)]);
        let displaced = NewEvent::EndpointDisplaced { endpoint, claim };
        check(displaced, "endpoint.displaced", ids, &said);
        let shared = NewEvent::EndpointAddressShared { endpoint, claim };
        check(shared, "endpoint.address-shared", ids, &said);
        check(
            NewEvent::EndpointsSilent {
                silent: 6,
                there: 20,
            },
            "endpoints.silent",
            [None; 3],
            r#"{"silent":6,"there":20}"#,
        );
    }

    #[test]
    fn of_assignments() {
        check(
            NewEvent::AssignmentsChanged {
                endpoint: PAIR,
                producer: PAIR,
                within_ms: 500,
            },
            "assignments.changed",
            [None, None, Some(PAIR)],
            &format!(r#"{{"producer_id":"{PAIR}","within_ms":500}}"#),
        );
    }

    #[test]
    fn of_starts() {
        let endpoint = ENDPOINT;
        let ids = [None, None, Some(ENDPOINT)];
        let start = StartSummary {
            start: "00",
            counter: 7,
            host: Some("till-1"),
            process: None,
        };
        let said = r#"{"counter":7,"host":"till-1","process":null,"start":"00"}"#;
        check(
            NewEvent::EndpointStarted { endpoint, start },
            "endpoint.started",
            ids,
            said,
        );
        let rivals = StartRivals {
            older: start,
            newer: start,
        };
        check(
            NewEvent::EndpointInUse { endpoint, rivals },
            "endpoint.in-use",
            ids,
            &format!(r#"{{"newer":{said},"older":{said}}}"#),
        );
        check(
            NewEvent::EndpointPresenceAsked {
                endpoint,
                start: "AA==",
            },
            "endpoint.presence-asked",
            ids,
            r#"{"start":"AA=="}"#,
        );
        check(
            NewEvent::EndpointEnclaveIntruder {
                endpoint,
                what: "gap",
            },
            "endpoint.enclave-intruder",
            ids,
            r#"{"what":"gap"}"#,
        );
        check(
            NewEvent::EndpointCollided {
                endpoint,
                kind: CollisionKind::Link,
            },
            "endpoint.collided",
            ids,
            r#"{"kind":"link"}"#,
        );
    }

    #[test]
    fn of_pairs() {
        let pair = PAIR;
        let ids = [Some(PAIR), None, None];
        check(NewEvent::PairCreated { pair }, "pair.created", ids, "null");
        check(
            NewEvent::PairDisconnected {
                pair,
                reason: "stolen",
            },
            "pair.disconnected",
            ids,
            r#"{"reason":"stolen"}"#,
        );
        check(
            NewEvent::PairReArmed {
                pair,
                reason: "looked at",
            },
            "pair.re-armed",
            ids,
            r#"{"reason":"looked at"}"#,
        );
        let policy = Policy::default();
        let detail = format!(r#"{{"policy":{}}}"#, json!(policy));
        check(
            NewEvent::PairUpdated {
                pair,
                policy: &policy,
            },
            "pair.updated",
            ids,
            &detail,
        );
    }

    #[test]
    fn of_webhooks() {
        check(
            NewEvent::WebhookDisabled {
                webhook: PAIR,
                url: "https://hook.example/",
                status: 410,
            },
            "webhook.disabled",
            [None, None, None],
            &format!(r#"{{"status":410,"url":"https://hook.example/","webhook_id":"{PAIR}"}}"#),
        );
    }

    #[test]
    fn of_the_ledger() {
        let fence = FenceSummary {
            reason: "restored",
            bundles: 1,
            sessions: 2,
            seen_of_the_lost_log: None,
        };
        check(
            NewEvent::LedgerFenced(fence),
            "ledger.fenced",
            [None; 3],
            r#"{"bundles":1,"reason":"restored","seen_of_the_lost_log":null,"sessions":2}"#,
        );
    }
}
