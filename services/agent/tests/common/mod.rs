//! A consumer's and a producer's enclave, as real processes, with one bundle.

use std::path::PathBuf;

use armour_ambient::Random;
use armour_enclave::{
    Enclave,
    binding::{Binding, LaneId},
    ipc::{Accepted, Keyed},
};
use armour_protocol::{
    Suite,
    bundle::{BundleContext, BundleSecret},
    envelope,
};
use ed25519_dalek::VerifyingKey;
use tokio::process::Child;

pub struct Ends {
    pub consumer: Enclave,
    pub producer: Enclave,
    pub processes: Vec<Child>,
    pub dir: tempfile::TempDir,
}

/// The secret that the control plane mints.
pub const MINTED: [u8; 32] = [0xc7; 32];
pub const LANE: LaneId = LaneId {
    bundle: [3; 16],
    lane: 0,
};

pub async fn ends(suite: u8) -> Ends {
    let dir = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_armour-agent"));
    let (consumer, one) = Enclave::start(program, &dir.path().join("consumer")).unwrap();
    let (producer, two) = Enclave::start(program, &dir.path().join("producer")).unwrap();
    let (consumer_key, consumer_kem) = consumer.identity().await.unwrap();
    let (producer_key, producer_kem) = producer.identity().await.unwrap();
    let binding = Binding {
        suite,
        tenant: [1; 16],
        pair: [2; 16],
        bundle: LANE.bundle,
        consumer: [4; 16],
        producer: [5; 16],
        consumer_key,
        producer_key,
    };
    let context = BundleContext {
        suite: Suite::from_u8(suite).unwrap(),
        tenant: binding.tenant,
        pair: binding.pair,
        bundle: binding.bundle,
        consumer: binding.consumer,
        producer: binding.producer,
        consumer_key: VerifyingKey::from_bytes(&consumer_key).unwrap(),
        producer_key: VerifyingKey::from_bytes(&producer_key).unwrap(),
    };
    let minted = BundleSecret::from_bytes(MINTED);
    for (enclave, kem) in [(&consumer, consumer_kem), (&producer, producer_kem)] {
        let sealed =
            envelope::seal(&kem, &context, &minted, &mut Random::system().generator()).unwrap();
        enclave
            .install(binding.clone(), sealed.clone())
            .await
            .unwrap();
        // A second time would start the lanes over, and so accept old tickets.
        assert!(
            enclave
                .install(binding.clone(), sealed)
                .await
                .unwrap_err()
                .is("installed")
        );
    }
    Ends {
        consumer,
        producer,
        processes: vec![one, two],
        dir,
    }
}

pub async fn accept(ends: &Ends, lane: LaneId, request: &Keyed) -> Keyed {
    match ends
        .producer
        .accept(lane, request.head.clone())
        .await
        .unwrap()
    {
        Accepted::Next(keyed) => keyed,
        _ => panic!("not accepted"),
    }
}

/// A file of a process.
pub fn proc(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Its text.
pub fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(proc(pid, name)).unwrap()
}

/// Whether we may look into a process that forbids it to its own user.
pub fn privileged() -> bool {
    let privileged = rustix::process::geteuid().is_root();
    if !privileged {
        eprintln!("not root: an enclave's memory cannot be looked into, which is the point");
    }
    privileged
}
