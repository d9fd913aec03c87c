//! Enrolled agents, their signs of life, and their access tokens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{BundleStatus, EndpointState, LaneCursor, Pair, Role};

wire! {
    /// One enrolled agent.
    pub struct Endpoint {
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub role: Role,
        pub party_id: Uuid,
        pub name: String,
        pub signing_key: String,
        pub kem_key: String,
        pub address: Option<String>,
        pub state: EndpointState,
        pub version: String,
        pub created_at: DateTime<Utc>,
        pub last_seen_at: Option<DateTime<Utc>>,
        /// Since when it has not been heard of for longer than it may be silent.
        pub lost_at: Option<DateTime<Utc>>,
        /// The audit entry with which its keys came into the log.
        pub enrol_seq: i64,
        /// What went wrong last, as the endpoint says itself.
        pub last_error: Option<String>,
        pub last_error_at: Option<DateTime<Utc>>,
        /// What it is for callers, as it said last since it started; serving, if it did not.
        #[serde(default)]
        pub phase: Option<Phase>,
        /// The zone that it runs in, if it told one.
        #[serde(default)]
        pub zone: Option<String>,
        /// Since when no process is it: its start has ended, and none has followed.
        #[serde(default)]
        pub left_at: Option<DateTime<Utc>>,
        /// Of a producer's endpoint whose agent is permissive: how many calls without protection
        /// it has passed to its API since it started. None if it is not permissive.
        #[serde(default)]
        pub plain_calls: Option<u64>,
    }

    /// An endpoint as it sees itself, with the pairs it serves.
    pub struct EndpointSelf {
        pub endpoint: Endpoint,
        /// In order of their ids, at most 100 in one answer.
        pub pairs: Vec<Pair>,
        /// The number of its latest draw of each of these pairs that it has drawn.
        pub draws: Vec<PairDraws>,
        /// Set if there are more pairs: `after` of the call that tells them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub next: Option<Uuid>,
    }

    /// How often an endpoint has drawn a pair's bundle.
    pub struct PairDraws { pub pair_id: Uuid, pub draws: u64 }

    /// An endpoint's sign of life: the body of a heartbeat link, in JSON. Fields that a later
    /// release's agent tells besides are not looked at: a new one may add to what is told, and
    /// never narrow it, as `from` and `to` do.
    #[derive(Default)]
    pub struct Heartbeat {
        /// Bundles that the endpoint holds, each once.
        pub bundles: Vec<Uuid>,
        /// Set if these are not all: of the bundles from this id on it holds no others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub from: Option<Uuid>,
        /// Set if these are not all: of the bundles before this id it holds no others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub to: Option<Uuid>,
        /// What an earlier answer said in `more`: heads are told from there on. Its bundle
        /// is the first that is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub after: Option<LaneCursor>,
        /// What went wrong since the sign of life before, if anything; 300 characters
        /// of it are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<String>,
        /// Size of the audit log's latest head that the endpoint has seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub log_size: Option<u64>,
        /// What the endpoint is for callers now: serving, if it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub phase: Option<Phase>,
        /// The zone that it runs in, for example of a cloud: at most 63 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub zone: Option<String>,
        /// Checkpoints of foreign hands, at most 16: each bundle's first is kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub foreign_checkpoints: Vec<ForeignCheckpoint>,
        /// How many calls without protection it has passed to its API since it started, if its
        /// agent is permissive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub plain_calls: Option<u64>,
    }

    /// A checkpoint of a stream that was signed by an end's key and not by that end.
    pub struct ForeignCheckpoint {
        pub bundle_id: Uuid,
        pub lane: u32,
        /// The checkpoint with its signature, in base64, if it is at hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub checkpoint: Option<String>,
    }

    /// What a producer's endpoint is for callers.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "kebab-case")]
    #[strum(serialize_all = "kebab-case", const_into_str)]
    pub enum Phase {
        /// Consumers are given bundles with it.
        Serving,
        /// Its upstream does not answer.
        NotServing,
        /// It is about to leave.
        Draining,
    }

    /// The answer to a heartbeat.
    pub struct HeartbeatAck {
        pub server_time: DateTime<Utc>,
        /// In the order in which they were named, with the heads of at most 4,096 lanes.
        pub bundles: Vec<BundleStatus>,
        /// The last lane whose head was looked at, if there are more: they are told to a
        /// heartbeat that names the bundles from this one on, with this in `after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub more: Option<LaneCursor>,
        /// The log is shorter than what the endpoint has seen: the database was restored.
        #[serde(default)]
        pub log_behind: bool,
        /// A number that changes when the endpoint's assignments may have changed.
        #[serde(default)]
        pub assignments: u64,
    }

    /// A party's certificate of an endpoint's keys, for peers that pin the party's key.
    #[serde(deny_unknown_fields)]
    pub struct SetCertificate {
        /// As its bytes are in the protocol.
        pub certificate: String,
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
