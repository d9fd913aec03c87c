//! An endpoint that has started, from fixed seeds, and one of each body.

use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::v2::{body::BodyHash, enclave::LaneMark};

use super::{
    body::{
        Acknowledged, BundleRequest, Disowned, Intrusion, LinkBody, NewKeys, RetiredBundle,
        Retirement,
    },
    chain::Chain,
    incarnation::Incarnation,
    mark::{LinkHash, LinkMark},
    start::StartHash,
    starting::StartRecord,
};

pub struct Endpoint {
    pub incarnation: Incarnation,
    pub chain: Chain,
    pub record: StartRecord,
    pub rng: ChaCha20Rng,
}

pub fn long_term() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

impl Endpoint {
    pub fn started(seed: u8) -> Self {
        Self::after(&StartRecord::new([1; 16]), seed)
    }

    /// Starts from what a folder, or a copy of it, keeps.
    pub fn after(record: &StartRecord, seed: u8) -> Self {
        let record = StartRecord::from_bytes(&record.to_bytes()).unwrap();
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let made = record.begin(long_term(), &mut rng).unwrap();
        let started = made.kept().accepted();
        Self {
            incarnation: started.incarnation,
            chain: started.chain,
            record: started.record,
            rng,
        }
    }
}

pub fn mark(lane: u16) -> LaneMark {
    LaneMark {
        lane,
        n: 7,
        k: 0,
        hash: BodyHash([8; 32]),
    }
}

pub fn bodies() -> Vec<LinkBody> {
    let bundle = [3; 16];
    let link = LinkMark {
        k: 4,
        hash: LinkHash([5; 32]),
    };
    vec![
        LinkBody::Heartbeat(b"beat".to_vec()),
        LinkBody::Request(vec![BundleRequest {
            pair: [6; 16],
            draw: 7,
            replaces: [7; 16],
        }]),
        LinkBody::Acknowledge(vec![Acknowledged {
            bundle,
            context: [8; 32],
        }]),
        LinkBody::Disown(vec![
            Disowned::Link(link),
            Disowned::Start(StartHash([9; 32])),
            Disowned::Ticket {
                bundle,
                mark: mark(0),
            },
            Disowned::Receipt {
                bundle,
                mark: mark(1),
            },
        ]),
        LinkBody::Retire(Retirement {
            leaving: false,
            bundles: vec![RetiredBundle {
                bundle,
                lanes: vec![mark(0), mark(2)],
            }],
        }),
        LinkBody::Renew(NewKeys {
            key: long_term().verifying_key(),
            hpke_key: [1; 32],
        }),
        LinkBody::EnclaveIntruder(Intrusion::Gap),
    ]
}
