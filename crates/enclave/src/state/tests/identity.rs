//! Starts, the chain of links, and the renewal of keys.

use armour_protocol::v2::identity::{
    body::{LinkBody, LinkKind},
    incarnation::Presence,
    mark::Incarnated,
    start::StartHash,
};
use ed25519_dalek::VerifyingKey;

use super::common::*;

fn beat(told: &[u8]) -> Call {
    Call::Link {
        kind: LinkKind::Heartbeat as u8,
        body: told.to_vec(),
    }
}

fn key(end: &End) -> VerifyingKey {
    VerifyingKey::from_bytes(&end.keys().0).unwrap()
}

#[test]
fn a_start_is_not_sent_before_it_is_kept() {
    let mut end = End::unstarted(0x20, Vec::new());
    let endpoint = end.endpoint();
    for early in [Call::StartKept, Call::StartAccepted] {
        assert_eq!(end.failed(early), "unexpected");
    }
    assert_eq!(end.failed(beat(b"")), "not-started");
    let begin = |record| Call::BeginStart { endpoint, record };
    let record = end.bytes(begin(None));
    assert_eq!(end.failed(Call::StartAccepted), "unexpected");
    // Asked again, it is the same start.
    assert_eq!(end.bytes(begin(None)), record);
    let start = end.bytes(Call::StartKept);
    assert_eq!(end.bytes(Call::StartKept), start);
    assert_eq!(end.failed(begin(None)), "started");
    let said = SignedStart::from_bytes(&start).unwrap();
    let long_term = long_term(0x20).verifying_key();
    assert_eq!(said.verify(&endpoint, &long_term).unwrap().counter(), 1);
    assert_ne!(end.bytes(Call::StartAccepted), record);
}

#[test]
fn starts_count_on_in_the_folders_record() {
    let end = End::new(0x20, Vec::new());
    let first = SignedStart::from_bytes(&end.start).unwrap();
    let end = end.restarted(Vec::new());
    let second = SignedStart::from_bytes(&end.start).unwrap();
    assert_eq!(second.unverified().counter(), 2);
    let named = second.unverified().ancestor(1);
    assert_eq!(named, Some(first.unverified().hash()));
    // Another endpoint's record is none of ours.
    let mut other = End::unstarted(0x40, Vec::new());
    let begin = Call::BeginStart {
        endpoint: other.endpoint(),
        record: end.record,
    };
    assert_eq!(other.failed(begin), "subject");
    other.start();
}

#[test]
fn proofs_are_by_the_long_term_key_and_then_by_the_incarnations() {
    let mut end = End::unstarted(0x20, Vec::new());
    let proof = |end: &mut End| {
        let call = Call::Proof {
            jti: [1; 16],
            htm: "POST".into(),
            htu: "https://control/v1/endpoint/token".into(),
            iat: NOW,
            ath: None,
            nonce: None,
        };
        match end.call(call) {
            Reply::Proof(proof) => proof,
            Reply::Failed(code) => code,
            _ => panic!("another reply"),
        }
    };
    let signed_by = |proof: &str, key: &VerifyingKey| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let (message, signature) = proof.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        key.verify_strict(message.as_bytes(), &signature).is_ok()
    };
    let long_term = long_term(0x20).verifying_key();
    assert!(signed_by(&proof(&mut end), &long_term));
    let endpoint = end.endpoint();
    end.bytes(Call::BeginStart {
        endpoint,
        record: None,
    });
    assert_eq!(proof(&mut end), "not-started");
    end.start = end.bytes(Call::StartKept);
    end.bytes(Call::StartAccepted);
    let first = key(&end);
    let made = proof(&mut end);
    assert!(signed_by(&made, &first) && !signed_by(&made, &long_term));
    end.renew();
    let made = proof(&mut end);
    assert!(signed_by(&made, &key(&end)) && !signed_by(&made, &first));
}

#[test]
fn one_link_is_in_flight_the_same_bytes_each_time() {
    let mut end = End::new(0x20, Vec::new());
    let link = end.bytes(beat(b"one"));
    assert_eq!(end.bytes(beat(b"one")), link);
    assert_eq!(end.failed(beat(b"two")), "link-in-flight");
    assert_eq!(end.failed(Call::Renew), "link-in-flight");
    let link = SignedLink::from_bytes(&link).unwrap();
    let mark = link.mark();
    let origin = Incarnated::by(SignedStart::from_bytes(&end.start).unwrap().unverified());
    let before = origin.origin();
    assert_eq!(end.answered(0, before.hash.0), Ok(ChainState::Waiting));
    assert_eq!(end.answered(mark.k, mark.hash.0), Ok(ChainState::Taken));
    // The same answer once more.
    assert_eq!(end.answered(mark.k, mark.hash.0), Ok(ChainState::Taken));
    let next = end.linked(beat(b"one"));
    assert_eq!((next.head().k(), next.head().previous()), (2, mark.hash));
}

#[test]
fn a_head_that_is_not_ours_is_disowned() {
    let mut end = End::new(0x20, Vec::new());
    assert_eq!(end.failed(Call::DisownHead), "unexpected");
    let own = SignedLink::from_bytes(&end.bytes(beat(b"one"))).unwrap();
    assert_eq!(end.answered(1, [9; 32]), Ok(ChainState::Foreign));
    assert_eq!(end.failed(beat(b"two")), "head-foreign");
    let link = end.bytes(Call::DisownHead);
    assert_eq!(end.bytes(Call::DisownHead), link);
    let link = SignedLink::from_bytes(&link).unwrap();
    assert_eq!(
        (link.head().k(), link.head().previous()),
        (2, own.mark().hash)
    );
    assert_eq!(link.head().kind(), LinkKind::Disown);
}

#[test]
fn a_renewal_counts_once_it_is_answered() {
    let mut end = End::new(0x20, Vec::new());
    let first = key(&end);
    let link = end.bytes(Call::Renew);
    assert_eq!(end.bytes(Call::Renew), link);
    let link = SignedLink::from_bytes(&link).unwrap();
    assert!(link.is_signed_by(&first));
    let mark = link.mark();
    end.answered(mark.k, mark.hash.0).unwrap();
    end.renewals.push(link.to_bytes());
    let second = key(&end);
    assert!(second != first);
    assert!(end.linked(beat(b"")).is_signed_by(&second));
    // Keys are renewed by their own call alone.
    let body = LinkBody::Renew(match link.body() {
        LinkBody::Renew(keys) => *keys,
        _ => panic!("that renews nothing"),
    });
    let renew = Call::Link {
        kind: LinkKind::Renew as u8,
        body: body.to_bytes(),
    };
    assert_eq!(end.failed(renew), "subject");
    let unknown = Call::Link {
        kind: 9,
        body: Vec::new(),
    };
    assert_eq!(end.failed(unknown), "malformed");
}

#[test]
fn a_start_says_that_it_lives_and_nothing_against_itself() {
    let mut end = End::new(0x20, Vec::new());
    let own = SignedStart::from_bytes(&end.start).unwrap();
    let of = Incarnated::by(own.unverified());
    let said = end.bytes(Call::Present { other: [7; 32] });
    let said = Presence::from_bytes(said.try_into().unwrap());
    assert!(said.verify(&of, &key(&end), StartHash([7; 32])));
    let itself = Call::Present { other: of.start.0 };
    assert_eq!(end.failed(itself), "subject");
}
