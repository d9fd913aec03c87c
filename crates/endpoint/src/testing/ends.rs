//! Two enclaves in this process that hold the two ends of one bundle.

use std::sync::Arc;

use armour_ambient::Random;
use armour_enclave::{
    Enclave,
    binding::{Binding, BindingEnd},
    ipc::{Install, Peer},
};
use armour_protocol::v2::{
    context::Context, envelope, gate::Gate, identity::start::SignedStart, schedule::BundleSecret,
};

/// Both ends of a bundle.
pub(crate) struct Ends {
    pub consumer: Enclave,
    pub producer: Enclave,
    pub context: Arc<Context>,
    /// The gate's key.
    pub gate: [u8; 32],
}

/// One of them that has started, and what it signed of itself.
struct Started {
    enclave: Enclave,
    start: SignedStart,
    peer: Peer,
}

impl Ends {
    /// A bundle that is installed in both.
    pub async fn installed(max_lanes: u16) -> Self {
        Self::several(1, max_lanes).await.remove(0)
    }

    /// The same, and so many bundles more that are installed in the producer's enclave alone, with
    /// their gates.
    pub async fn with_more(max_lanes: u16, more: u32) -> (Self, Vec<(Arc<Context>, Gate)>) {
        let (consumer, producer) = (Started::new(4).await, Started::new(5).await);
        let ends = Self::of(&consumer, &producer, 0, max_lanes).await;
        let mut others = Vec::new();
        for number in 0..more {
            let mut binding = binding(&consumer, &producer, 0);
            binding.bundle[..4].copy_from_slice(&number.to_be_bytes());
            binding.draw = u64::from(number) + 2;
            let context = Arc::new(binding.context().unwrap());
            let secret = BundleSecret::from_bytes([9; 32]);
            let mut rng = Random::seeded(8).generator();
            let key = producer.start.unverified().hpke_key();
            let install = Install {
                binding,
                consumer: false,
                peer: consumer.peer.clone(),
                envelope: envelope::seal(key, &context, &secret, &mut rng).unwrap(),
                max_lanes,
                now: 1_800_000_000,
            };
            let installed = producer.enclave.install(install).await.unwrap();
            others.push((context, Gate::from_bytes(*installed.gate)));
        }
        (ends, others)
    }

    /// Bundles of one consumer with so many producers, which are one party's.
    pub async fn several(count: u8, max_lanes: u16) -> Vec<Self> {
        let consumer = Started::new(4).await;
        let mut ends = Vec::new();
        for number in 0..count {
            let producer = Started::new(5 + number).await;
            ends.push(Self::of(&consumer, &producer, number, max_lanes).await);
        }
        ends
    }

    async fn of(consumer: &Started, producer: &Started, number: u8, max_lanes: u16) -> Self {
        let binding = binding(consumer, producer, number);
        let context = Arc::new(binding.context().unwrap());
        let secret = BundleSecret::from_bytes([9; 32]);
        let mut rng = Random::seeded(8).generator();
        let mut install = |own: &Started, other: &Started, consumer| {
            let key = own.start.unverified().hpke_key();
            Install {
                binding: binding.clone(),
                consumer,
                peer: other.peer.clone(),
                envelope: envelope::seal(key, &context, &secret, &mut rng).unwrap(),
                max_lanes,
                now: 1_800_000_000,
            }
        };
        let ours = install(consumer, producer, true);
        let theirs = install(producer, consumer, false);
        producer.enclave.install(theirs).await.unwrap();
        let installed = consumer.enclave.install(ours).await.unwrap();
        Self {
            consumer: consumer.enclave.clone(),
            producer: producer.enclave.clone(),
            context,
            gate: *installed.gate,
        }
    }
}

fn binding(consumer: &Started, producer: &Started, number: u8) -> Binding {
    Binding {
        suite: 1,
        tenant: [1; 16],
        pair: [2; 16],
        bundle: [3 + number; 16],
        draw: 1 + u64::from(number),
        policy: [6; 32],
        consumer: consumer.end(7),
        producer: producer.end(8),
    }
}

impl Started {
    async fn new(endpoint: u8) -> Self {
        let enclave = Enclave::in_process().unwrap();
        let (signing_key, kem_key) = enclave.identity().await.unwrap();
        enclave.begin_start([endpoint; 16], None).await.unwrap();
        let start = enclave.start_kept().await.unwrap();
        enclave.start_accepted().await.unwrap();
        Self {
            enclave,
            peer: Peer {
                signing_key,
                kem_key,
                start: start.clone(),
                renewals: Vec::new(),
                certificate: None,
            },
            start: SignedStart::from_bytes(&start).unwrap(),
        }
    }

    fn end(&self, party: u8) -> BindingEnd {
        BindingEnd {
            party: [party; 16],
            endpoint: *self.start.unverified().endpoint(),
            key: self.start.unverified().key().to_bytes(),
        }
    }
}
