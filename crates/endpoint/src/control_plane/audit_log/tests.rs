//! Grants of a control plane that writes its log as it must, and hands out what it likes.

use std::{collections::HashMap, slice::from_ref};

use armour_api::{AuditEntry, Bundle, BundleEnd, BundleState, EndpointState, EnrolProof, Policy};
use armour_protocol::v2::identity::{start::SignedStart, starting::StartRecord};
use armour_transparency::{
    Frontier, Hash, Node, TreeHead, entry,
    map::{Change, MapInMemory},
    merkle::{consistency_ranges, cover, fold, inclusion_ranges},
    states::to_wire,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use ed25519_dalek::SigningKey;
use parking_lot::Mutex as SyncMutex;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::control_plane::{
    peer_heads::PeerHeadError,
    testing::{Answer, ControlPlane, OWN, TestEnclave},
};

const PRODUCER: Uuid = Uuid::from_u128(20);
const BUNDLE: Uuid = Uuid::from_u128(30);
const ADDRESS: &str = "https://till:9000";
/// When the log was written.
const WRITTEN: i64 = 1_000_000;

/// A tenant's log, of any size that it had.
#[derive(Clone, Default)]
struct Log {
    entries: Vec<AuditEntry>,
    edge: Frontier,
    nodes: HashMap<Node, Hash>,
    /// What its entries say of endpoints.
    leaves: Vec<(Uuid, Change)>,
}

impl Log {
    /// Both ends are enrolled and started.
    fn new() -> Self {
        let mut log = Self::default();
        for (endpoint, role, address) in [
            (OWN.id, "consumer", None),
            (PRODUCER, "producer", Some(ADDRESS)),
        ] {
            let mut detail = json!({ "role": role, "signing_key": long_term_of(endpoint) });
            if let Some(address) = address {
                detail["address"] = json!(address);
            }
            log.append("endpoint.enrol", endpoint, detail);
            log.started(endpoint, 1);
        }
        log
    }

    fn append(&mut self, action: &str, endpoint: Uuid, detail: serde_json::Value) {
        let entry = AuditEntry {
            seq: self.entries.len() as i64 + 1,
            actor: "service".into(),
            action: action.into(),
            target: endpoint.to_string(),
            detail,
            created_at: at(WRITTEN),
        };
        let change = Change::of(&entry.action, &entry.target, &entry.detail);
        self.leaves.extend(change.unwrap());
        let leaf = entry::leaf(OWN.tenant, &entry).unwrap();
        self.nodes.extend(self.edge.push(leaf));
        self.entries.push(entry);
    }

    fn started(&mut self, endpoint: Uuid, number: u8) {
        let start = start_of(endpoint, number).unverified().hash();
        let detail = json!({ "start": hex::encode(start.0), "address": null });
        self.append("endpoint.start", endpoint, detail);
    }

    fn map(&self) -> MapInMemory {
        let mut map = MapInMemory::default();
        for (endpoint, change) in &self.leaves {
            map.apply(*endpoint, change.clone()).unwrap();
        }
        map
    }

    fn hashes(&self, ranges: Vec<(u64, u64)>) -> Vec<String> {
        let hash = |(from, to)| {
            let cover: Vec<Hash> = cover(from, to).iter().map(|at| self.nodes[at]).collect();
            STANDARD.encode(fold(&cover).unwrap())
        };
        ranges.into_iter().map(hash).collect()
    }

    fn head(&self, seconds: i64) -> SignedHead {
        self.head_with(seconds, self.map().root())
    }

    fn head_with(&self, seconds: i64, map_root: Hash) -> SignedHead {
        let head = TreeHead {
            tenant: OWN.tenant,
            size: self.edge.size(),
            root: self.edge.root(),
            at: at(seconds),
            map_root: Some(map_root),
        };
        head.to_wire(&head.sign(&log_key()))
    }

    fn latest(&self, seconds: i64) -> LogHead {
        LogHead {
            log_key: STANDARD.encode(log_key().verifying_key()),
            rotations: Vec::new(),
            head: self.head(seconds),
            consistency: Vec::new(),
        }
    }

    /// What it proves of both ends, to whoever has pinned a head.
    fn proof(&self, seconds: i64, pinned: u64) -> KeyProof {
        let (size, map) = (self.edge.size(), self.map());
        let keys = [OWN.id, PRODUCER].map(|endpoint| {
            let target = endpoint.to_string();
            let mut entries = self.entries.iter();
            let enrolled =
                |entry: &&AuditEntry| entry.action == "endpoint.enrol" && entry.target == target;
            let entry = entries.find(enrolled).unwrap().clone();
            let ranges = inclusion_ranges(entry.seq as u64 - 1, size).unwrap();
            EnrolProof {
                inclusion: self.hashes(ranges),
                entry,
            }
        });
        let states = [OWN.id, PRODUCER].map(|endpoint| {
            let path = map.path(endpoint).unwrap();
            to_wire(path.leaf().unwrap(), path.beside())
        });
        let consistency = match pinned == size {
            true => Vec::new(),
            false => {
                let (first, last) = (pinned.min(size), pinned.max(size));
                self.hashes(consistency_ranges(first, last).unwrap())
            }
        };
        KeyProof {
            head: self.head(seconds),
            consistency,
            rotations: Vec::new(),
            keys: keys.into(),
            states: states.into(),
        }
    }

    fn grant(&self, seconds: i64, pinned: u64) -> BundleGrant {
        BundleGrant {
            bundle: Bundle {
                id: BUNDLE,
                pair_id: Uuid::from_u128(40),
                consumer_endpoint_id: OWN.id,
                producer_endpoint_id: PRODUCER,
                suite: 1,
                state: BundleState::Active,
                created_at: at(WRITTEN),
                superseded_at: None,
                disconnected_at: None,
                exchanges: 0,
            },
            draw: 1,
            policy: Policy::default(),
            tenant_id: OWN.tenant,
            consumer: end(OWN.id),
            producer: end(PRODUCER),
            producer_address: Some(ADDRESS.into()),
            sealed_secret: None,
            log: Some(self.proof(seconds, pinned)),
        }
    }
}

fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn secret_of(endpoint: Uuid) -> SigningKey {
    SigningKey::from_bytes(&[endpoint.as_bytes()[15]; 32])
}

fn long_term_of(endpoint: Uuid) -> String {
    STANDARD.encode(secret_of(endpoint).verifying_key())
}

/// An endpoint's start of this number.
fn start_of(endpoint: Uuid, number: u8) -> SignedStart {
    let record = StartRecord::new(endpoint.into_bytes());
    let mut rng = ChaCha20Rng::from_seed([number; 32]);
    let begun = record.begin(secret_of(endpoint), &mut rng).unwrap();
    begun.kept().start().clone()
}

fn end(endpoint: Uuid) -> BundleEnd {
    BundleEnd {
        party_id: Uuid::from_u128(50),
        endpoint_id: endpoint,
        signing_key: long_term_of(endpoint),
        kem_key: String::new(),
        start: STANDARD.encode(start_of(endpoint, 1).to_bytes()),
        renewals: Vec::new(),
        incarnation_key: String::new(),
        certificate: None,
    }
}

/// An agent that has pinned the log, and what it is granted next.
struct Agent {
    log: AuditLog,
    control_plane: ControlPlane,
    grants: Arc<SyncMutex<Vec<BundleGrant>>>,
    folder: tempfile::TempDir,
}

impl Agent {
    async fn new(pinned: &Log) -> Self {
        let grants: Arc<SyncMutex<Vec<BundleGrant>>> = Arc::default();
        let (first, next) = (pinned.latest(WRITTEN), grants.clone());
        let control_plane = ControlPlane::start(move |_, asked| {
            if asked.path == "/v1/endpoint/log" {
                return Answer::json(&first);
            }
            if asked.path.starts_with("/v1/endpoint/log/restart") {
                return Answer::Problem("nothing-lost", 409);
            }
            let mut grants = next.lock();
            // The last one is granted ever again.
            let mut grant = match grants.len() {
                0 => return Answer::Problem("unavailable", 503),
                1 => grants[0].clone(),
                _ => grants.remove(0),
            };
            let proof = grant.log.as_mut().unwrap();
            let size = proof.head.size;
            if asked.path.ends_with(&format!("?pinned={size}")) {
                proof.consistency.clear();
            }
            Answer::json(&grant)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let client = &control_plane.client;
        let log = AuditLog::open(folder.path(), None, true, client, TestEnclave::new());
        Self {
            log: log.await.unwrap(),
            control_plane,
            grants,
            folder,
        }
    }

    async fn takes(&self, grants: &[BundleGrant]) -> Result<BundleGrant, GrantError> {
        *self.grants.lock() = grants.to_vec();
        self.log.vouched(&self.control_plane.client, BUNDLE).await
    }
}

#[track_caller]
fn outdated(taken: Result<BundleGrant, GrantError>) -> String {
    match taken {
        Err(GrantError::Outdated(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn untrusted(taken: Result<BundleGrant, GrantError>) -> String {
    match taken {
        Err(GrantError::Untrusted(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_the_log_bears_out_is_taken() {
    let log = Log::new();
    let agent = Agent::new(&log).await;
    let granted = log.grant(WRITTEN + 1, 4);
    assert_eq!(agent.takes(from_ref(&granted)).await.unwrap(), granted);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_endpoint_is_not_granted() {
    let mut log = Log::new();
    let agent = Agent::new(&log).await;
    log.append("endpoint.revoke", PRODUCER, json!({ "reason": "stolen" }));
    let granted = log.grant(WRITTEN + 1, 4);
    let why = outdated(agent.takes(from_ref(&granted)).await);
    assert!(why.contains("is revoked"), "{why}");
    // Nor if the control plane says that it is not.
    let mut lie = granted;
    let states = &mut lie.log.as_mut().unwrap().states;
    states[1].state = EndpointState::Active;
    let why = untrusted(agent.takes(&[lie]).await);
    assert!(why.contains("does not lead to the map's root"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_start_is_not_granted() {
    let mut log = Log::new();
    let agent = Agent::new(&log).await;
    log.started(PRODUCER, 2);
    let why = outdated(agent.takes(&[log.grant(WRITTEN + 1, 4)]).await);
    assert!(why.contains("has another start"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn another_address_and_another_certificate_are_not_granted() {
    let log = Log::new();
    let agent = Agent::new(&log).await;
    let mut elsewhere = log.grant(WRITTEN + 1, 4);
    elsewhere.producer_address = Some("https://thief:9000".into());
    let why = outdated(agent.takes(&[elsewhere]).await);
    assert!(why.contains("has another address"), "{why}");
    let mut certified = log.grant(WRITTEN + 1, 4);
    certified.producer.certificate = Some(STANDARD.encode("a certificate"));
    let why = outdated(agent.takes(&[certified]).await);
    assert!(why.contains("has another certificate"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_without_states_or_map_is_not_taken() {
    let log = Log::new();
    let agent = Agent::new(&log).await;
    let mut stateless = log.grant(WRITTEN + 1, 4);
    stateless.log.as_mut().unwrap().states.clear();
    untrusted(agent.takes(&[stateless]).await);
    let mut without_map = log.grant(WRITTEN + 1, 4);
    let head = TreeHead {
        map_root: None,
        ..TreeHead::check(&log.head(WRITTEN + 1), &log_key().verifying_key()).unwrap()
    };
    without_map.log.as_mut().unwrap().head = head.to_wire(&head.sign(&log_key()));
    untrusted(agent.takes(&[without_map]).await);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_older_than_the_lease_hides_no_revocation() {
    let mut log = Log::new();
    let agent = Agent::new(&log).await;
    let before = log.grant(WRITTEN + 1, 4);
    log.append("endpoint.revoke", PRODUCER, json!({ "reason": "stolen" }));
    // Who never shows the entry shows a head from before it, and only for so long.
    assert!(agent.takes(from_ref(&before)).await.is_ok());
    let lease = u64::from(Policy::default().lease_ms);
    tokio::time::advance(Duration::from_millis(lease + 2_000)).await;
    let why = outdated(agent.takes(from_ref(&before)).await);
    assert!(why.contains("older"), "{why}");
    // Who has shown it, never again.
    let seen = agent.takes(&[log.grant(WRITTEN + 70, 4)]).await;
    outdated(seen);
    let fresh = {
        let mut grant = before;
        let early = Log::new();
        grant.log = Some(KeyProof {
            consistency: log.proof(WRITTEN, 4).consistency,
            ..early.proof(WRITTEN + 70, 4)
        });
        grant
    };
    let why = outdated(agent.takes(&[fresh]).await);
    assert!(why.contains("one seen before"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_it_was_granted_is_asked_for_again() {
    let mut log = Log::new();
    let agent = Agent::new(&log).await;
    let old = log.grant(WRITTEN + 1, 4);
    let moved = json!({ "start": hex::encode(start_of(PRODUCER, 1).unverified().hash().0),
        "address": "https://new:9000" });
    log.append("endpoint.start", PRODUCER, moved);
    let mut torn = log.grant(WRITTEN + 1, 4);
    torn.producer_address = old.producer_address;
    let mut whole = log.grant(WRITTEN + 1, 5);
    whole.producer_address = Some("https://new:9000".into());
    assert_eq!(agent.takes(&[torn, whole.clone()]).await.unwrap(), whole);
}

#[tokio::test(start_paused = true)]
async fn two_maps_of_one_size_are_an_alarm_and_two_times_are_none() {
    let log = Log::new();
    let agent = Agent::new(&log).await;
    let client = &agent.control_plane.client;
    let later = head::encode(&log.head(WRITTEN + 30)).unwrap();
    agent.log.compare(client, &later).await.unwrap();
    let other = log.head_with(WRITTEN + 30, [7; 32]);
    let encoded = head::encode(&other).unwrap();
    let compared = agent.log.compare(client, &encoded).await;
    assert!(matches!(compared, Err(PeerHeadError::Alarm(_))));
    // Nor is it taken from the control plane.
    let mut grant = log.grant(WRITTEN + 1, 4);
    grant.log.as_mut().unwrap().head = other;
    let why = untrusted(agent.takes(&[grant]).await);
    assert!(why.contains("two different heads"), "{why}");
    let kept = std::fs::read_to_string(agent.folder.path().join("log-alarms.json")).unwrap();
    assert!(kept.lines().count() >= 2);
}
