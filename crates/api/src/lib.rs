//! Types of Armour's REST API, shared by the control plane and its clients.
//!
//! Times are RFC 3339 in UTC, durations are milliseconds, binary values are
//! base64 (RFC 4648, section 4) unless a field says otherwise.

#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a wire type with the derives that all of them share.
macro_rules! wire {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(ToSchema))]
        $(#[$meta])*
        pub $kind $name $body
    )*};
}

/// Gives an enumeration the word that stands for it in JSON and in PostgreSQL.
macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl $name {
            /// The word that stands for the value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

mod access;
mod audit;
mod overview;
mod platform;

pub use access::*;
pub use audit::*;
pub use overview::*;
pub use platform::*;

wire! {
    /// An RFC 9457 problem document.
    pub struct Problem {
        /// Stable identifier of the kind of problem.
        pub r#type: String,
        /// Short summary of the kind.
        pub title: String,
        /// HTTP status.
        pub status: u16,
        /// What was wrong with this request.
        pub detail: String,
        /// The request's id, as in the `x-request-id` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub request_id: Option<String>,
    }

    /// A customer of the service.
    pub struct Tenant {
        pub id: Uuid,
        pub name: String,
        pub created_at: DateTime<Utc>,
        pub deleted_at: Option<DateTime<Utc>>,
    }

    /// A new tenant.
    #[serde(deny_unknown_fields)]
    pub struct NewTenant {
        /// 1 to 100 characters.
        pub name: String,
    }

    /// A tenant and its first token, an administrator's, which is shown this once.
    pub struct CreatedTenant { pub tenant: Tenant, pub token: String }

    /// A new producer or consumer.
    #[serde(deny_unknown_fields)]
    pub struct NewNamed {
        /// 1 to 100 characters.
        pub name: String,
    }

    /// A secret that is shown this once, and its id.
    pub struct CreatedSecret { pub id: Uuid, pub token: String }

    /// A producer or a consumer.
    pub struct Party { pub id: Uuid, pub name: String, pub created_at: DateTime<Utc> }

    /// Which side of a pair an endpoint is on.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum Role { Consumer, Producer }

    /// When tickets are reported.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum Reporting {
        /// Before the exchange is accepted.
        Strict,
        /// Within `report_interval_ms`.
        Batched,
    }

    /// What a pair's endpoints must keep to.
    #[derive(Eq)]
    #[serde(deny_unknown_fields, default)]
    pub struct Policy {
        /// Cipher suite: 1 or 2.
        pub suite: u8,
        pub reporting: Reporting,
        pub report_interval_ms: u32,
        /// Idle lanes send an empty exchange this often.
        pub empty_exchange_interval_ms: u32,
        pub heartbeat_interval_ms: u32,
        /// Endpoints without contact for this long refuse traffic.
        pub lease_ms: u32,
        /// Most lanes of a bundle.
        pub max_lanes: u32,
        /// How long reports on a superseded bundle are still accepted.
        pub supersede_grace_ms: u32,
    }

    /// Whether a pair may exchange.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum PairState { Active, Disconnected }

    /// One consumer and one producer.
    pub struct Pair {
        pub id: Uuid,
        pub consumer_id: Uuid,
        pub producer_id: Uuid,
        pub consumer_name: String,
        pub producer_name: String,
        pub state: PairState,
        pub policy: Policy,
        pub created_at: DateTime<Utc>,
        /// Grows with each change; the number in its `ETag`.
        pub revision: i32,
    }

    /// In which order pairs are listed.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "kebab-case")]
    pub enum PairSort { Newest, Oldest, Consumer, ConsumerDescending, Producer, ProducerDescending }

    /// A new pair.
    #[serde(deny_unknown_fields)]
    pub struct NewPair {
        pub consumer_id: Uuid,
        pub producer_id: Uuid,
        #[serde(default)]
        pub policy: Policy,
    }

    /// Why an operator does what cannot be undone.
    #[serde(deny_unknown_fields)]
    pub struct Reason {
        /// 1 to 500 characters; kept in the audit log.
        pub reason: String,
    }

    /// A new enrolment token for endpoints of one producer or consumer.
    #[serde(deny_unknown_fields)]
    pub struct NewEnrolmentToken {
        pub role: Role,
        /// The producer or consumer.
        pub party_id: Uuid,
        /// 60 to 604800 seconds; an hour if absent.
        #[serde(default)]
        pub expires_in_s: Option<u32>,
    }

    /// An enrolment token, without its secret.
    pub struct EnrolmentToken {
        pub id: Uuid,
        pub role: Role,
        pub party_id: Uuid,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub used_at: Option<DateTime<Utc>>,
    }

    /// What an agent sends, once, to become an endpoint.
    #[serde(deny_unknown_fields)]
    pub struct Enrol {
        /// 1 to 100 characters.
        pub name: String,
        /// Ed25519 public key, 32 bytes.
        pub signing_key: String,
        /// X25519 public key for HPKE, 32 bytes.
        pub kem_key: String,
        /// Where consumers reach a producer: `http://host:port`.
        #[serde(default)]
        pub address: Option<String>,
        /// The agent's version.
        pub version: String,
    }

    /// Whether an endpoint may act.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum EndpointState { Active, Revoked }

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
    }

    /// An endpoint as it sees itself, with the pairs it serves.
    pub struct EndpointSelf {
        pub endpoint: Endpoint,
        pub pairs: Vec<Pair>,
        /// The number of its latest draw, 0 before the first.
        #[serde(default)]
        pub draws: u64,
    }

    /// A bundle's life.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "lowercase")]
    pub enum BundleState { Active, Superseded, Disconnected }

    /// All tickets under one minted root secret.
    pub struct Bundle {
        pub id: Uuid,
        pub pair_id: Uuid,
        pub consumer_endpoint_id: Uuid,
        pub producer_endpoint_id: Uuid,
        pub suite: u8,
        pub state: BundleState,
        pub created_at: DateTime<Utc>,
        pub superseded_at: Option<DateTime<Utc>>,
        pub disconnected_at: Option<DateTime<Utc>>,
        /// Exchanges that the ledger has recorded.
        pub exchanges: i64,
    }

    /// A lane's head in the ledger.
    #[derive(Eq)]
    pub struct LaneHead {
        pub lane: u32,
        /// Number of the last recorded exchange.
        pub n: u64,
        /// SHA-256 of its ticket, hexadecimal.
        pub hash: String,
    }

    /// A bundle with what an endpoint needs to use it.
    pub struct BundleGrant {
        pub bundle: Bundle,
        pub policy: Policy,
        pub tenant_id: Uuid,
        /// The two endpoints' Ed25519 keys.
        pub consumer_signing_key: String,
        pub producer_signing_key: String,
        /// Where the producer's endpoint is reached.
        pub producer_address: Option<String>,
        /// The minted secret, HPKE-sealed to the asking endpoint; absent once
        /// it has been acknowledged and erased.
        pub sealed_secret: Option<String>,
        /// What the audit log says of the two endpoints' keys; asked for with the
        /// size of the head that the caller has pinned.
        pub log: Option<crate::KeyProof>,
    }

    /// Asks for a bundle; an earlier one of the same endpoint is superseded.
    #[serde(deny_unknown_fields)]
    pub struct DrawBundle {
        pub pair_id: Uuid,
        /// Size of the audit log's head that the endpoint has pinned.
        #[serde(default)]
        pub pinned: Option<u64>,
        /// Greater than that of any earlier draw of this endpoint: a draw that comes
        /// late must not supersede what was drawn after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub number: Option<u64>,
    }

    /// A run of one lane's tickets.
    #[serde(deny_unknown_fields)]
    pub struct TicketReport {
        pub bundle_id: Uuid,
        pub lane: u32,
        /// Number of the first ticket.
        pub first: u64,
        /// Hash of the ticket before the first, 32 bytes.
        pub previous: String,
        /// For each ticket 96 bytes: digest of the share, signature.
        pub entries: String,
        /// How long ago the last of them was issued or accepted.
        pub age_ms: u64,
    }

    /// Reports of tickets, at most 1000 lanes at once.
    #[serde(deny_unknown_fields)]
    pub struct ReportTickets { pub reports: Vec<TicketReport> }

    /// What the ledger made of one report.
    #[derive(Eq)]
    #[serde(rename_all = "kebab-case", tag = "verdict")]
    pub enum ReportVerdict {
        /// Recorded, or known already.
        Accepted,
        /// Tickets are missing before the report; send from `expected` on.
        Gap { expected: u64 },
        /// It contradicts the record: the bundle is disconnected.
        Collision,
        /// The bundle was disconnected before.
        Disconnected,
        /// Not a valid report of this endpoint; it proves nothing.
        Refused { detail: String },
    }

    /// One verdict per report, in order.
    pub struct ReportedTickets { pub verdicts: Vec<ReportVerdict> }

    /// An endpoint's sign of life.
    #[serde(deny_unknown_fields)]
    pub struct Heartbeat {
        /// Bundles that the endpoint holds.
        pub bundles: Vec<Uuid>,
        /// What went wrong since the sign of life before, if anything; 300 characters
        /// of it are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<String>,
        /// Size of the audit log's latest head that the endpoint has seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub log_size: Option<u64>,
    }

    /// A bundle's state and, for its consumer, the ledger's lane heads.
    pub struct BundleStatus { pub id: Uuid, pub state: BundleState, pub lanes: Vec<LaneHead> }

    /// The answer to a heartbeat.
    pub struct HeartbeatAck {
        pub server_time: DateTime<Utc>,
        pub bundles: Vec<BundleStatus>,
        /// The log is shorter than what the endpoint has seen: the database was restored.
        #[serde(default)]
        pub log_behind: bool,
    }

    /// A consumer's word that a recorded ticket is not its own.
    #[serde(deny_unknown_fields)]
    pub struct Disown { pub bundle_id: Uuid, pub lane: u32, pub n: u64 }

    /// How a collision became evident.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "kebab-case")]
    pub enum CollisionKind {
        /// Two different successors of one ticket.
        Fork,
        /// A superseded bundle was used after its grace.
        Superseded,
        /// The consumer disowned a recorded ticket.
        Disowned,
        /// The consumer's bundle was superseded by a draw that is not its own.
        Usurped,
    }

    /// A proof that somebody else holds a consumer's state.
    pub struct Collision {
        pub id: Uuid,
        pub pair_id: Uuid,
        pub bundle_id: Uuid,
        pub kind: CollisionKind,
        pub lane: u32,
        pub n: u64,
        /// The recorded signed ticket (158 bytes), where there is one.
        pub recorded: Option<String>,
        /// The contradicting signed ticket (158 bytes), where there is one.
        pub reported: Option<String>,
        /// The endpoint whose report showed it.
        pub reporter_id: Uuid,
        pub detected_at: DateTime<Utc>,
    }

    /// Something that happened, in the order of `seq` within the tenant.
    pub struct Event {
        pub seq: i64,
        /// For example `bundle.disconnected`.
        pub kind: String,
        pub pair_id: Option<Uuid>,
        pub bundle_id: Option<Uuid>,
        pub endpoint_id: Option<Uuid>,
        pub detail: serde_json::Value,
        pub created_at: DateTime<Utc>,
    }

    /// A health answer.
    pub struct Health { pub status: String, pub version: String }
}

/// A page of a list; `next` is the cursor of the following page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            suite: 1,
            reporting: Reporting::Batched,
            report_interval_ms: 200,
            empty_exchange_interval_ms: 30_000,
            heartbeat_interval_ms: 5_000,
            lease_ms: 60_000,
            max_lanes: 16,
            supersede_grace_ms: 10_000,
        }
    }
}

impl Policy {
    /// Says which field is out of range, if any.
    ///
    /// # Errors
    /// A sentence that names the field and its range.
    pub fn check(&self) -> Result<(), String> {
        let ranges = [
            ("suite", u32::from(self.suite), 1, 2),
            ("report_interval_ms", self.report_interval_ms, 10, 60_000),
            (
                "empty_exchange_interval_ms",
                self.empty_exchange_interval_ms,
                100,
                3_600_000,
            ),
            (
                "heartbeat_interval_ms",
                self.heartbeat_interval_ms,
                100,
                600_000,
            ),
            ("lease_ms", self.lease_ms, 1_000, 86_400_000),
            ("max_lanes", self.max_lanes, 1, 1024),
            (
                "supersede_grace_ms",
                self.supersede_grace_ms,
                100,
                3_600_000,
            ),
        ];
        for (field, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "policy.{field} must be from {least} to {most}, not {value}"
                ));
            }
        }
        if self.lease_ms <= self.heartbeat_interval_ms {
            return Err("policy.lease_ms must exceed policy.heartbeat_interval_ms".into());
        }
        Ok(())
    }
}

words! {
    Role { Consumer = "consumer", Producer = "producer" }
    PairState { Active = "active", Disconnected = "disconnected" }
    PairSort {
        Newest = "newest", Oldest = "oldest", Consumer = "consumer",
        ConsumerDescending = "consumer-descending", Producer = "producer",
        ProducerDescending = "producer-descending",
    }
    EndpointState { Active = "active", Revoked = "revoked" }
    BundleState { Active = "active", Superseded = "superseded", Disconnected = "disconnected" }
    CollisionKind { Fork = "fork", Superseded = "superseded", Disowned = "disowned", Usurped = "usurped" }
}
