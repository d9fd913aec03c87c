//! Parsers take whatever comes, and one form of each message only.

use armour_protocol::v2::identity::{
    body::{LinkBody, LinkKind},
    certificate::{Certificate, Certifier, Pin, Role, Subject, UnixTime},
    link::{LinkEvidence, SignedLink},
    peer::KnownPeer,
    start::SignedStart,
    starting::StartRecord,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::control_plane::{ENDPOINT, long_term};

const KINDS: [LinkKind; 7] = [
    LinkKind::Heartbeat,
    LinkKind::Request,
    LinkKind::Acknowledge,
    LinkKind::Disown,
    LinkKind::Retire,
    LinkKind::Renew,
    LinkKind::EnclaveIntruder,
];

/// Whatever is read is written the same.
fn parse_all(bytes: &[u8]) {
    let same = |written: &[u8]| assert_eq!(written, bytes);
    let _ = Certificate::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedStart::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = StartRecord::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = KnownPeer::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedLink::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = LinkEvidence::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    for kind in KINDS {
        let _ = LinkBody::from_bytes(kind, bytes).map(|it| same(&it.to_bytes()));
    }
}

/// One of each message, genuine.
fn corpus() -> Vec<Vec<u8>> {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let key = long_term();
    let pin = Pin {
        tenant: [1; 16],
        party: [2; 16],
        key: key.verifying_key(),
    };
    let subject = Subject {
        tenant: pin.tenant,
        party: pin.party,
        role: Role::Consumer,
        endpoint: ENDPOINT,
        signing_key: pin.key,
        kem_key: [4; 32],
        not_after: UnixTime(9),
    };
    let certifier = Certifier::certify(&pin, pin.key, UnixTime(9), &key);
    let mut out = vec![
        Certificate::certify(subject.clone(), None, &key).to_bytes(),
        Certificate::certify(subject, Some(certifier), &key).to_bytes(),
    ];
    let made = StartRecord::new(ENDPOINT).begin(key.clone(), &mut rng);
    let record = StartRecord::from_bytes(made.unwrap().bytes()).unwrap();
    let made = record.begin(key, &mut rng).unwrap();
    out.push(made.bytes().to_vec());
    let starting = made.kept();
    out.push(starting.start().to_bytes());
    let started = starting.accepted();
    let renewing = started.chain.renew(&started.incarnation, &mut rng);
    let renewing = renewing.unwrap_or_else(|_| panic!("it can be signed"));
    out.push(renewing.link().to_bytes());
    out.push(renewing.link().evidence().to_bytes());
    let mut peer = KnownPeer::new(ENDPOINT);
    let start = started.incarnation.start();
    peer.take_start(start, &pin.key).unwrap();
    peer.take_renewal(renewing.link()).unwrap();
    out.push(peer.to_bytes());
    out
}

proptest! {
    #[test]
    fn parsers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        parse_all(&bytes);
        parse_all(&[&[2][..], &bytes].concat());
    }

    #[test]
    fn changed_messages_are_refused_or_read_as_they_are(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let corpus = corpus();
        let mut bytes = corpus[which.index(corpus.len())].clone();
        parse_all(&bytes);
        parse_all(&bytes[..cut.index(bytes.len())]);
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(Certificate::from_bytes(&longer).is_err());
        prop_assert!(SignedStart::from_bytes(&longer).is_err());
        prop_assert!(StartRecord::from_bytes(&longer).is_err());
        prop_assert!(SignedLink::from_bytes(&longer).is_err());
        prop_assert!(LinkEvidence::from_bytes(&longer).is_err());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        parse_all(&bytes);
    }
}
