//! Links to the control plane, and their bodies: one form each, and a changed one is
//! nobody's.

use std::sync::LazyLock;

use armour_protocol::v2::{
    body::BodyHash,
    enclave::LaneMark,
    identity::{
        body::{
            Acknowledged, BundleRequest, Disowned, Intrusion, LinkBody, LinkKind, RetiredBundle,
            Retirement,
        },
        link::{LinkEvidence, SignedLink},
        start::StartHash,
    },
};
use ed25519_dalek::VerifyingKey;

use crate::{changes, identities::Endpoint};

const KINDS: [LinkKind; 7] = [
    LinkKind::Heartbeat,
    LinkKind::Request,
    LinkKind::Acknowledge,
    LinkKind::Disown,
    LinkKind::Retire,
    LinkKind::Renew,
    LinkKind::EnclaveIntruder,
];

struct Genuine {
    key: VerifyingKey,
    /// First links of one chain that might have been, and their evidence.
    links: Vec<Vec<u8>>,
    /// And their bodies.
    all: Vec<Vec<u8>>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mark = |lane| LaneMark {
        lane,
        n: 7,
        k: 0,
        hash: BodyHash([8; 32]),
    };
    let bundle = [3; 16];
    let bodies = vec![
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
            leaving: true,
            bundles: vec![RetiredBundle {
                bundle,
                lanes: vec![mark(0), mark(2)],
            }],
        }),
        LinkBody::EnclaveIntruder(Intrusion::Gap),
    ];
    let key = Endpoint::new().started.incarnation.keys().key;
    let (mut links, mut others) = (Vec::new(), Vec::new());
    for body in bodies {
        others.push(body.to_bytes());
        // The same start each time.
        let started = Endpoint::new().started;
        let sent = started.chain.link(body, &started.incarnation);
        let sent = sent.map_err(|(_, error)| error).unwrap();
        links.push(sent.link().to_bytes());
        links.push(sent.link().evidence().to_bytes());
    }
    Genuine {
        key,
        all: [&links[..], &others].concat(),
        links,
    }
});

pub fn seeds() -> Vec<Vec<u8>> {
    changes::seeds(&GENUINE.all)
}

pub fn run(data: &[u8]) {
    let Some(bytes) = changes::message(data, &GENUINE.all) else {
        return;
    };
    let genuine = GENUINE.links.contains(&bytes);
    let link = SignedLink::from_bytes(&bytes);
    let evidence = LinkEvidence::from_bytes(&bytes);
    assert!(!genuine || link.is_ok() || evidence.is_ok());
    if let Ok(link) = link {
        assert_eq!(link.to_bytes(), bytes);
        assert_eq!(link.is_signed_by(&GENUINE.key), genuine);
        let kept = link.evidence();
        assert_eq!(LinkEvidence::from_bytes(&kept.to_bytes()), Ok(kept));
        assert_eq!(kept.head.mark(), link.mark());
        assert_eq!(kept.is_signed_by(&GENUINE.key), genuine);
    }
    if let Ok(evidence) = evidence {
        assert_eq!(evidence.to_bytes(), bytes);
        assert_eq!(evidence.is_signed_by(&GENUINE.key), genuine);
    }
    for kind in KINDS {
        if let Ok(body) = LinkBody::from_bytes(kind, &bytes) {
            assert_eq!(body.kind(), kind);
            assert_eq!(body.to_bytes(), bytes);
        }
    }
}
