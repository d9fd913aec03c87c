//! Starts, what a folder keeps of them, and what a peer does: one form each, and a changed
//! start is nobody's.

use std::sync::LazyLock;

use armour_protocol::v2::identity::{
    body::LinkBody, link::SignedLink, peer::KnownPeer, start::SignedStart, starting::StartRecord,
};

use crate::{
    changes,
    identities::{ENDPOINT, Endpoint, long_term},
};

struct Genuine {
    /// Start, record, what a peer keeps before and after a renewal, and the renewal.
    bytes: Vec<Vec<u8>>,
    start: SignedStart,
    renewal: SignedLink,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut endpoint = Endpoint::new();
    let started = endpoint.started;
    let renewing = started.chain.renew(&started.incarnation, &mut endpoint.rng);
    let renewing = renewing.map_err(|(_, error)| error).unwrap();
    let mut peer = KnownPeer::new(ENDPOINT);
    let unknown = peer.to_bytes();
    let key = long_term().verifying_key();
    peer.take_start(&endpoint.start, &key).unwrap();
    let known = peer.to_bytes();
    peer.take_renewal(renewing.link()).unwrap();
    Genuine {
        bytes: vec![
            endpoint.start.to_bytes(),
            endpoint.record,
            unknown,
            known,
            peer.to_bytes(),
            renewing.link().to_bytes(),
        ],
        start: endpoint.start,
        renewal: renewing.link().clone(),
    }
});

pub fn seeds() -> Vec<Vec<u8>> {
    changes::seeds(&GENUINE.bytes)
}

pub fn run(data: &[u8]) {
    let Some(bytes) = changes::message(data, &GENUINE.bytes) else {
        return;
    };
    let key = long_term().verifying_key();
    if let Ok(start) = SignedStart::from_bytes(&bytes) {
        assert_eq!(start.to_bytes(), bytes);
        let said = start.unverified();
        assert!(said.counter() > 0);
        assert_eq!(said.ancestor(said.counter()), None);
        let genuine = start == GENUINE.start;
        assert_eq!(start.verify(&ENDPOINT, &key).is_ok(), genuine);
        // Neither a peer that knows nothing takes a changed one, nor one that knows more.
        for known in &GENUINE.bytes[2..5] {
            let mut peer = KnownPeer::from_bytes(known).unwrap();
            assert_eq!(peer.take_start(&start, &key).is_ok(), genuine);
            assert!(genuine || peer.to_bytes() == *known);
        }
    }
    if let Ok(record) = StartRecord::from_bytes(&bytes) {
        assert_eq!(record.to_bytes(), bytes);
    }
    if let Ok(mut peer) = KnownPeer::from_bytes(&bytes) {
        assert_eq!(peer.to_bytes(), bytes);
        assert_eq!(peer.highest() == 0, peer.keys().is_none());
        let highest = peer.highest();
        let _ = peer.take_start(&GENUINE.start, &key);
        let _ = peer.take_renewal(&GENUINE.renewal);
        assert!(peer.highest() >= highest, "an earlier start was taken");
    }
    if let Ok(link) = SignedLink::from_bytes(&bytes) {
        let mut peer = KnownPeer::from_bytes(&GENUINE.bytes[3]).unwrap();
        let taken = peer.take_renewal(&link).is_ok();
        assert_eq!(taken, link == GENUINE.renewal);
        assert!(!taken || matches!(link.body(), LinkBody::Renew(_)));
    }
}
