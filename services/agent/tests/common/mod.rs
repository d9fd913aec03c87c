//! A consumer's and a producer's enclave, as real processes, with one bundle.

use std::{path::PathBuf, sync::Arc};

use armour_ambient::Random;
use armour_enclave::{
    Enclave,
    binding::{Binding, BindingEnd, LaneId},
    ipc::{Accepted, Install, Peer, Received},
};
use armour_protocol::v2::{
    content::{DigestKind, Padding},
    context::Context,
    envelope,
    identity::start::SignedStart,
    message::{Request, Response},
    mode::Reason,
    proxy::{
        Arrived, Begun, Incoming, Outgoing, Pending, SEGMENT_HEADER_LEN, SegmentHeader,
        WholeContent,
    },
    schedule::BundleSecret,
};
use tokio::process::Child;

pub struct Ends {
    pub consumer: Enclave,
    pub producer: Enclave,
    pub processes: Vec<Child>,
    pub context: Arc<Context>,
    /// When the producer's enclave started.
    pub started_ms: u64,
    pub dir: tempfile::TempDir,
}

/// The secret that the control plane mints.
pub const MINTED: [u8; 32] = [0xc7; 32];
pub const BUNDLE: [u8; 16] = [3; 16];
const BUDGET: u64 = 60_000;

/// So many milliseconds from now, on the enclave's clock.
pub fn by(budget: u64) -> u64 {
    armour_enclave::clock::boot_ms() + budget
}

/// A lane of the bundle.
pub fn lane(lane: u16) -> LaneId {
    LaneId {
        bundle: BUNDLE,
        lane,
    }
}

/// An enclave that has started, and what it signed of itself.
struct Started {
    enclave: Enclave,
    process: Child,
    start: SignedStart,
    signing_key: [u8; 32],
    kem_key: [u8; 32],
}

async fn start(dir: &tempfile::TempDir, name: &str, endpoint: [u8; 16]) -> Started {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (enclave, process) = Enclave::start(program, &dir.path().join(name), None).unwrap();
    let (signing_key, kem_key) = enclave.identity().await.unwrap();
    enclave.begin_start(endpoint, None).await.unwrap();
    let start = enclave.start_kept().await.unwrap();
    enclave.start_accepted().await.unwrap();
    Started {
        enclave,
        process,
        start: SignedStart::from_bytes(&start).unwrap(),
        signing_key,
        kem_key,
    }
}

pub async fn ends(suite: u8) -> Ends {
    let dir = tempfile::tempdir().unwrap();
    let consumer = start(&dir, "consumer", [4; 16]).await;
    let producer = start(&dir, "producer", [5; 16]).await;
    let end = |party, started: &Started| BindingEnd {
        party,
        endpoint: *started.start.unverified().endpoint(),
        key: started.start.unverified().key().to_bytes(),
    };
    let binding = Binding {
        suite,
        tenant: [1; 16],
        pair: [2; 16],
        bundle: BUNDLE,
        draw: 1,
        policy: [6; 32],
        consumer: end([7; 16], &consumer),
        producer: end([8; 16], &producer),
    };
    let context = Arc::new(binding.context().unwrap());
    let minted = BundleSecret::from_bytes(MINTED);
    for (is_consumer, own, peer) in [(true, &consumer, &producer), (false, &producer, &consumer)] {
        let key = own.start.unverified().hpke_key();
        let mut rng = Random::system().generator();
        let sealed = envelope::seal(key, &context, &minted, &mut rng).unwrap();
        let install = || Install {
            binding: binding.clone(),
            consumer: is_consumer,
            peer: Peer {
                signing_key: peer.signing_key,
                kem_key: peer.kem_key,
                start: peer.start.to_bytes(),
                renewals: Vec::new(),
                certificate: None,
            },
            envelope: sealed.clone(),
            max_lanes: 4,
            now: 1_800_000_000,
        };
        let installed = own.enclave.install(install()).await.unwrap();
        assert_eq!(installed.context, *context.hash());
        // A second time would start the lanes over, and so accept old tickets.
        assert!(own.enclave.install(install()).await.is_err());
    }
    let started_ms = producer.enclave.hardening().await.unwrap().started_ms;
    Ends {
        consumer: consumer.enclave,
        producer: producer.enclave,
        processes: vec![consumer.process, producer.process],
        context,
        started_ms,
        dir,
    }
}

/// Opens the next lane; its number.
pub async fn open(ends: &Ends) -> u16 {
    let (number, head) = ends.consumer.open(BUNDLE, None).await.unwrap();
    let answered = ends.producer.accept(lane(number), head).await.unwrap();
    let Accepted::Answered { receipt, .. } = answered else {
        panic!("not answered");
    };
    let received = ends.consumer.receive(lane(number), receipt).await.unwrap();
    assert!(matches!(received, Received::Ready));
    number
}

/// A call's two one-time keys, as they crossed the doors.
pub struct Spent {
    pub request: Vec<u8>,
    pub response: Vec<u8>,
}

/// One whole exchange, with content both ways.
pub async fn exchange(ends: &Ends, lane: LaneId, ask: &[u8], answer: &[u8]) -> Spent {
    let whole = WholeContent::new(ask, DigestKind::Sha256, Padding::None).unwrap();
    let claim = whole.claim().to_bytes().to_vec();
    let begun = ends.consumer.begin(lane, claim, by(BUDGET)).await.unwrap();
    let mut wire = Vec::new();
    let outgoing = Outgoing::<Request>::from_bytes(&begun.outgoing).unwrap();
    whole.seal(outgoing, &mut wire).unwrap();
    let accepted = ends.producer.accept(lane, begun.head.clone()).await;
    let Accepted::Call(incoming) = accepted.unwrap() else {
        panic!("not accepted");
    };
    let again = ends.producer.accept(lane, begun.head.clone()).await;
    assert!(matches!(again.unwrap(), Accepted::Repeat));
    let request = begun.outgoing.to_vec();
    let begun = received(ends, &incoming, &wire, ask);
    let whole = WholeContent::new(answer, DigestKind::Sha256, Padding::None).unwrap();
    let conclusion = begun.answer(whole.claim()).to_bytes();
    let concluded = ends.producer.conclude(lane, conclusion).await.unwrap();
    let keys = concluded.outgoing.unwrap();
    let mut wire = Vec::new();
    let outgoing = Outgoing::<Response>::from_bytes(&keys).unwrap();
    whole.seal(outgoing, &mut wire).unwrap();
    let mut damaged = concluded.head.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(ends.consumer.receive(lane, damaged).await.is_err());
    let taken = ends.consumer.receive(lane, concluded.head).await.unwrap();
    let Received::Content(incoming) = taken else {
        panic!("no content");
    };
    let incoming = Incoming::<Response>::from_bytes(&incoming).unwrap();
    let (header, sealed) = segment(&wire);
    let opened = incoming.open(header, sealed).unwrap();
    let Ok(Arrived::Whole(content)) = opened.verify(&ends.context) else {
        panic!("not whole");
    };
    assert_eq!(content.content(), answer);
    Spent {
        request,
        response: keys.to_vec(),
    }
}

fn received(ends: &Ends, incoming: &[u8], wire: &[u8], ask: &[u8]) -> Begun {
    let incoming = Incoming::<Request>::from_bytes(incoming).unwrap();
    let pending = Pending::new(ends.context.clone(), incoming);
    let (header, sealed) = segment(wire);
    let request = pending.receive(header, sealed);
    let request = request.map_err(|(_, error)| error).unwrap();
    let now = armour_enclave::clock::producer_time(ends.started_ms);
    let begun = request.begin(now).map_err(|refused| refused.reason());
    let Ok((begun, Arrived::Whole(content))) = begun else {
        panic!("it is whole and in time");
    };
    assert_eq!(content.content(), ask);
    begun
}

/// Has the producer refuse a call.
pub async fn refuse(ends: &Ends, lane: LaneId) {
    let whole = WholeContent::new(b"no", DigestKind::Sha256, Padding::None).unwrap();
    let claim = whole.claim().to_bytes().to_vec();
    let begun = ends.consumer.begin(lane, claim, by(BUDGET)).await.unwrap();
    let accepted = ends.producer.accept(lane, begun.head).await.unwrap();
    let Accepted::Call(incoming) = accepted else {
        panic!("not accepted");
    };
    let incoming = Incoming::<Request>::from_bytes(&incoming).unwrap();
    let refused = Pending::new(ends.context.clone(), incoming).refuse(Reason::BUSY);
    let conclusion = refused.conclude().to_bytes();
    let concluded = ends.producer.conclude(lane, conclusion).await.unwrap();
    assert!(concluded.outgoing.is_none());
    let received = ends.consumer.receive(lane, concluded.head).await.unwrap();
    let busy = Reason::BUSY.as_u8();
    assert!(matches!(received, Received::Refused { reason } if reason == busy));
}

fn segment(wire: &[u8]) -> (SegmentHeader, &[u8]) {
    let (header, sealed) = wire.split_first_chunk::<SEGMENT_HEADER_LEN>().unwrap();
    (SegmentHeader::from_bytes(*header).unwrap(), sealed)
}

/// A file of a process.
pub fn proc(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Its text.
pub fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(proc(pid, name)).unwrap()
}

/// Whether we may look into a process that forbids it to its own user. With `ARMOUR_MUST_TRY=1`
/// (`scripts/must-try`) it fails where we may not.
pub fn privileged() -> bool {
    let privileged = rustix::process::geteuid().is_root();
    if !privileged {
        eprintln!("NOT TRIED: an enclave's memory cannot be looked into but by root");
        let must = std::env::var("ARMOUR_MUST_TRY").is_ok_and(|text| text == "1");
        assert!(
            !must,
            "ARMOUR_MUST_TRY=1, and yet an enclave was not looked into"
        );
    }
    privileged
}
