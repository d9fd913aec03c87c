//! Starts of an endpoint, and the links from each to the control plane. What is signed is
//! in `docs/protocol.md`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{HeartbeatAck, Problem};

wire! {
    /// Announces a start. It needs no token: the start is signed by the endpoint's long-term
    /// key.
    #[serde(deny_unknown_fields)]
    pub struct AnnounceStart {
        pub tenant_id: Uuid,
        /// The signed start.
        pub start: String,
        /// A producer's address from now on, as at enrolment; as it was if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub address: Option<String>,
        /// Where it runs, for people who have to choose between two starts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub host: Option<String>,
        /// Its process's number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub process: Option<u32>,
    }

    /// The start is the endpoint from here on; that of an earlier one has ended.
    pub struct StartAccepted {
        pub endpoint_id: Uuid,
        pub counter: u64,
        pub server_time: DateTime<Utc>,
    }

    /// The living start's word that it lives, while another wants its place. It needs no
    /// token: it is signed.
    #[serde(deny_unknown_fields)]
    pub struct AnswerPresence {
        pub tenant_id: Uuid,
        pub endpoint_id: Uuid,
        /// H of the other start, 32 bytes.
        pub other: String,
        /// 64 bytes.
        pub signature: String,
    }

    /// A start of an endpoint, as people see it.
    #[derive(Eq)]
    pub struct EndpointStart {
        /// H of it, hexadecimal.
        pub start: String,
        /// The endpoint's own count of its starts.
        pub counter: u64,
        /// Where it runs, as it says itself.
        pub host: Option<String>,
        pub process: Option<u32>,
        pub accepted_at: DateTime<Utc>,
        /// None for the start that is the endpoint now.
        pub ended_at: Option<DateTime<Utc>>,
        /// How many links of its chain were taken, those lost to a restore included.
        pub links: u64,
        pub last_link_at: Option<DateTime<Utc>>,
    }

    /// Two starts of an endpoint that both live, until somebody chooses or ten minutes have
    /// passed.
    #[derive(Eq)]
    pub struct StartDispute {
        pub endpoint_id: Uuid,
        pub since: DateTime<Utc>,
        /// The start that is the endpoint meanwhile; none once it has left.
        pub older: Option<EndpointStart>,
        /// H of the start that was refused, hexadecimal.
        pub newer: String,
        pub newer_counter: u64,
        /// Where that runs, as it says itself.
        pub newer_host: Option<String>,
        pub newer_process: Option<u32>,
        /// The address that it told, if it is a producer's.
        pub newer_address: Option<String>,
    }

    /// Which of two starts is the endpoint.
    #[derive(Copy, Eq, strum::EnumString, strum::IntoStaticStr)]
    #[serde(rename_all = "lowercase")]
    #[strum(serialize_all = "lowercase", const_into_str)]
    pub enum StartChoice { Older, Newer }

    /// Chooses between two starts of an endpoint that both live.
    #[serde(deny_unknown_fields)]
    pub struct ChooseStart { pub keep: StartChoice }

    /// A link of an endpoint's chain. It needs no token: it is signed, and counted.
    #[serde(deny_unknown_fields)]
    pub struct SendLink {
        pub tenant_id: Uuid,
        /// The signed link.
        pub link: String,
    }

    /// The last link that the control plane holds of a chain.
    #[derive(Eq)]
    pub struct ChainHead {
        /// 0 before the first.
        pub k: u64,
        /// H of the link, or of the start before the first; 32 bytes.
        pub hash: String,
    }

    /// What came of a link.
    pub struct LinkAnswer {
        /// The chain's last link, this one if it was taken.
        pub head: ChainHead,
        /// The endpoint's start has ended; nothing of it is taken any more.
        pub ended: bool,
        /// If this link is the head: what came of it.
        pub outcome: Option<LinkOutcome>,
    }

    /// What came of a link that was taken.
    #[serde(rename_all = "kebab-case", tag = "kind")]
    pub enum LinkOutcome {
        /// To a heartbeat.
        Heartbeat(HeartbeatAck),
        /// To a request of bundles: for each, in order.
        Bundles { items: Vec<BundleOutcome> },
        /// To acknowledge, disown and retire: for each, in order.
        Items { items: Vec<ItemOutcome> },
        /// To renew and enclave-intruder.
        Done,
    }

    /// What came of a request of one bundle.
    pub struct BundleOutcome {
        /// The bundle that was issued.
        pub bundle_id: Option<Uuid>,
        /// Or why none was.
        pub problem: Option<Problem>,
        /// How many bundles of the pair the endpoint should hold now; 0 if there is no such pair.
        #[serde(default)]
        pub wanted: u32,
    }

    /// What came of one item of a link.
    pub struct ItemOutcome {
        /// Why nothing came of it, if so.
        pub problem: Option<Problem>,
    }
}
