//! Version 2: parsers take whatever comes, and one form of each message only.

use armour_protocol::v2::{
    body::Body,
    checkpoint::CheckpointClaim,
    content::ContentClaim,
    error::HeadError,
    gate::frame_len,
    message::{Evidence, Request, Response, SignedReceipt, SignedTicket},
    mode::Reason,
    proof::{Proof, Unsigned},
    proxy::{Conclusion, Epoch, Incoming, Outgoing, SegmentHeader},
    rekey::{SignedSubReceipt, SignedSubTicket, SubBody, SubEvidence},
    suite::Suite,
    transient::{Answer, SignedTransient},
};
use proptest::prelude::*;

use crate::v2_common::{LOG_HEAD, World, one};

/// Whatever is read is written the same.
fn parse_all(bytes: &[u8]) {
    let same = |written: &[u8]| assert_eq!(written, bytes);
    let _ = SignedTicket::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedReceipt::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedTransient::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Answer::from_bytes(bytes);
    let _ = Body::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Evidence::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedSubTicket::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SignedSubReceipt::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SubBody::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = SubEvidence::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Epoch::<Request>::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Proof::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = ContentClaim::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = CheckpointClaim::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Conclusion::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Outgoing::<Request>::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Outgoing::<Response>::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Incoming::<Request>::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    let _ = Incoming::<Response>::from_bytes(bytes).map(|it| same(&it.to_bytes()));
    if let Some((prefix, _)) = bytes.split_first_chunk() {
        let _ = frame_len(*prefix);
    }
    if let Some((header, _)) = bytes.split_first_chunk() {
        let _ = SegmentHeader::from_bytes(*header);
    }
}

/// One of each message, genuine.
fn corpus(suite: Suite) -> Vec<Vec<u8>> {
    let mut w = World::new(suite);
    let mut out = Vec::new();
    let (mut tickets, mut lanes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let fresh = w.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(LOG_HEAD, Some(1), &mut w.rng).unwrap();
        lanes.push(opening);
        tickets.push(ticket);
    }
    let tickets = Unsigned::sign_all(tickets, &w.consumer, &mut w.rng).unwrap();
    for (opening, ticket) in lanes.into_iter().zip(tickets) {
        out.push(ticket.to_bytes());
        let put_off = w.producer_lanes.put_off(&ticket, Reason::BUSY, 9).unwrap();
        out.push(put_off.sign(&w.producer).to_bytes());
        let (opened, _) = w.producer_lanes.open(&ticket).unwrap();
        let (ready, receipt) = opened.answer(LOG_HEAD, w.clock(), &mut w.rng).unwrap();
        let receipt = receipt.sign(&w.producer);
        out.extend([receipt.to_bytes(), receipt.evidence().to_bytes()]);
        let idle = opening.receive(&receipt, w.local());
        let idle = idle.map_err(|(_, error)| error).unwrap();
        let (waiting, sent) = w.begin(idle, b"request");
        out.push(sent.ticket.to_bytes());
        let (answering, undecided) = w.accept(ready, &sent);
        let (begun, _) = w.run(undecided, &sent);
        let (_, replied) = w.reply(answering, begun, b"response");
        out.push(replied.receipt.to_bytes());
        w.take(waiting, &replied);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parsers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4500)) {
        parse_all(&bytes);
    }

    #[test]
    fn changed_messages_are_refused_or_read_as_they_are(
        number in 1u8..=3,
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let corpus = corpus(Suite::from_u8(number).unwrap());
        let mut bytes = corpus[which.index(corpus.len())].clone();
        parse_all(&bytes);
        parse_all(&bytes[..cut.index(bytes.len())]);
        // Nothing may follow.
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(SignedTicket::from_bytes(&longer).is_err());
        prop_assert!(Answer::from_bytes(&longer).is_err());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        parse_all(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_refused_and_disturbs_nothing(
        number in 1u8..=3,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut w = World::new(Suite::from_u8(number).unwrap());
        let (idle, ready) = w.opened();
        let (waiting, sent) = w.begin(idle, b"request");
        let mut bytes = sent.ticket.to_bytes();
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let ready = match SignedTicket::from_bytes(&bytes) {
            Err(_) => ready,
            Ok(changed) => *ready.accept(&changed).err().unwrap().0,
        };
        let (answering, undecided) = w.accept(ready, &sent);
        let mut body = sent.body.clone();
        let place = at.index(body.len());
        body[place] ^= 1 << bit;
        let (header, sealed) = body.split_first_chunk().unwrap();
        let undecided = match SegmentHeader::from_bytes(*header) {
            Err(_) => undecided,
            Ok(header) => *undecided.receive(header, sealed).err().unwrap().0,
        };
        let (begun, _) = w.run(undecided, &sent);
        let (ready, replied) = w.reply(answering, begun, b"response");
        let mut bytes = replied.receipt.to_bytes();
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let waiting = match SignedReceipt::from_bytes(&bytes) {
            Err(_) => waiting,
            Ok(changed) => *waiting.receive(&changed, w.local()).err().unwrap().0,
        };
        let (idle, _) = w.take(waiting, &replied);
        w.exchange(idle, ready, b"goes", b"on");
    }
}

#[test]
fn one_tickets_content_is_not_anothers() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let ((idle, ready), (other, beside)) = (w.opened(), w.opened());
    let ((_, one_sent), (_, two_sent)) = (w.begin(idle, b"one"), w.begin(other, b"two"));
    let ((_, first), (_, second)) = (w.accept(ready, &one_sent), w.accept(beside, &two_sent));
    let (header, sealed) = one(&two_sent.body);
    let (first, _) = first.receive(header, sealed).err().unwrap();
    assert!(second.receive(header, sealed).is_ok());
    w.run(*first, &one_sent);
}

#[test]
fn versions_and_kinds_are_told_apart() {
    let corpus = corpus(Suite::X25519ChaCha20Poly1305);
    let mut ticket = corpus[0].clone();
    assert!(SignedReceipt::from_bytes(&ticket).is_err());
    assert!(Answer::from_bytes(&ticket).is_err());
    ticket[0] = 1;
    assert_eq!(SignedTicket::from_bytes(&ticket), Err(HeadError::Version));
    ticket[0] = 2;
    ticket[1] = 4;
    assert_eq!(SignedTicket::from_bytes(&ticket), Err(HeadError::Suite));
}

/// A lane opens without content, whatever an end would like.
#[test]
fn an_opening_carries_no_content() {
    let mut ticket = corpus(Suite::X25519ChaCha20Poly1305)[0].clone();
    let (mode, commitment) = (33 + 32 + 8, 33 + 32 + 8 + 2);
    assert_eq!(ticket[mode], 1);
    for wrong in [2, 3, 6] {
        ticket[mode] = wrong;
        ticket[commitment] = u8::from(wrong != 6);
        assert_eq!(SignedTicket::from_bytes(&ticket), Err(HeadError::Malformed));
    }
}

/// Each field has one form in each mode.
#[test]
fn heads_that_contradict_themselves_are_malformed() {
    let corpus = corpus(Suite::X25519ChaCha20Poly1305);
    let (opening, ticket, receipt) = (&corpus[0], &corpus[4], &corpus[5]);
    let (moment, mode, reason, commitment) = (33 + 32, 33 + 40, 33 + 41, 33 + 42);
    let changed = |head: &[u8], places: &[usize], values: &[u8]| {
        let mut head = head.to_vec();
        for (place, value) in places.iter().zip(values) {
            head[*place] = *value;
        }
        head
    };
    for head in [
        changed(opening, &[moment], &[1]),
        changed(opening, &[commitment], &[1]),
        changed(ticket, &[reason], &[1]),
        // Modes of the other direction.
        changed(ticket, &[mode, reason], &[4, 1]),
        changed(ticket, &[mode], &[0]),
        changed(ticket, &[mode], &[7]),
    ] {
        assert_eq!(SignedTicket::from_bytes(&head), Err(HeadError::Malformed));
    }
    let without = |head: &mut [u8]| head[33 + 42..33 + 74].fill(0);
    let mut refused = changed(receipt, &[mode, reason], &[4, 1]);
    assert_eq!(
        SignedReceipt::from_bytes(&refused),
        Err(HeadError::Malformed)
    );
    without(&mut refused);
    assert!(SignedReceipt::from_bytes(&refused).is_ok());
    refused[reason] = 0;
    assert_eq!(
        SignedReceipt::from_bytes(&refused),
        Err(HeadError::Malformed)
    );
    let mut nothing = receipt.clone();
    without(&mut nothing);
    assert_eq!(
        SignedReceipt::from_bytes(&nothing),
        Err(HeadError::Malformed)
    );
    // A log head that is too long, and no allocation for it.
    let at = commitment + 32 + 32 + 4;
    let mut long = opening[..at].to_vec();
    long.extend_from_slice(&1025u16.to_be_bytes());
    long.resize(long.len() + 1025, 7);
    long.extend_from_slice(&opening[at + 2 + LOG_HEAD.len()..]);
    assert_eq!(SignedTicket::from_bytes(&long), Err(HeadError::Malformed));
}

#[test]
fn one_directions_keys_are_not_the_others() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, _) = w.opened();
    let content = crate::v2_common::whole(b"request");
    let (_, _, outgoing) = idle
        .begin(content.claim(), w.local(), 1, &mut w.rng)
        .unwrap();
    let bytes = outgoing.to_bytes();
    assert!(Outgoing::<Request>::from_bytes(&bytes).is_ok());
    assert_eq!(
        Outgoing::<Response>::from_bytes(&bytes).err(),
        Some(HeadError::Malformed)
    );
}
