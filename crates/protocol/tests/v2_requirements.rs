//! Version 2: the security model's requirements on one lane, each as a test that takes the
//! thief's view.

use armour_protocol::v2::{
    enclave::{
        consumer::Idle,
        producer::{Accepted, Standing},
    },
    proxy::{Incoming, Outgoing, Pending},
    suite::Suite,
};

use crate::{
    v2_common::{BUDGET, Sent, World, lane, one, whole},
    v2_thief,
};

/// The 32 bytes of a message's key, as the enclave hands them out.
fn key<S: armour_protocol::v2::message::Side>(outgoing: &Outgoing<S>) -> Vec<u8> {
    let bytes = outgoing.to_bytes();
    bytes[bytes.len() - 64..bytes.len() - 32].to_vec()
}

#[test]
fn r1_a_message_key_opens_its_own_payload_only() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let content = whole(b"one");
        let (waiting, ticket, outgoing) = idle
            .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let stolen = key(&outgoing);
        let mut body = Vec::new();
        content.seal(outgoing, &mut body).unwrap();
        let sent = Sent {
            ticket: ticket.sign(&w.consumer),
            body,
        };
        let (answering, undecided) = w.accept(ready, &sent);
        let (begun, _) = w.run(undecided, &sent);
        let content = whole(b"response");
        let concluded = w.conclude(answering, begun.answer(content.claim()));
        let outgoing = concluded.outgoing.unwrap();
        // Neither the response's key nor the next request's.
        assert_ne!(key(&outgoing), stolen);
        let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
        let idle = lane(received.lane);
        let content = whole(b"two");
        let (_, ticket, outgoing) = idle
            .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        assert_ne!(key(&outgoing), stolen);
        let mut body = Vec::new();
        content.seal(outgoing, &mut body).unwrap();
        // And the next request does not open under the stolen key.
        let ready = lane(concluded.lane);
        let ticket = ticket.sign(&w.consumer);
        let Ok(Accepted::Call(_, incoming)) = ready.accept(&ticket) else {
            panic!("it is a call");
        };
        let mut bytes = incoming.to_bytes();
        let length = bytes.len();
        bytes[length - 40..length - 8].copy_from_slice(&stolen);
        let wrong = Incoming::from_bytes(&bytes).unwrap();
        let wrong = Pending::new(w.context.clone(), wrong);
        let (header, sealed) = one(&body);
        assert!(wrong.receive(header, sealed).is_err());
    }
}

#[test]
fn r4_nothing_of_the_content_shows_without_the_key() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let (waiting, first) = w.begin(idle, b"the same content");
        let (answering, undecided) = w.accept(ready, &first);
        let (begun, _) = w.run(undecided, &first);
        let (_, replied) = w.reply(answering, begun, b"and its answer");
        let (idle, _) = w.take(waiting, &replied);
        let (_, second) = w.begin(idle, b"the same content");
        // Neither content nor its digest is on the wire, and two commitments to the same
        // content have nothing in common.
        let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"the same content").into();
        for sent in [&first, &second] {
            let wire = [sent.ticket.to_bytes(), sent.body.clone()].concat();
            assert!(!wire.windows(16).any(|window| window == b"the same content"));
            assert!(!wire.windows(32).any(|window| window == digest));
        }
        // Header, previous, deadline, mode, reason: then the commitment.
        let commitment = |ticket: &armour_protocol::v2::message::SignedTicket| {
            ticket.to_bytes()[33 + 32 + 8 + 2..][..32].to_vec()
        };
        assert_ne!(commitment(&first.ticket), commitment(&second.ticket));
        assert_ne!(first.body, second.body);
    }
}

#[test]
fn r5_and_r6_a_stolen_consumer_reads_nothing_of_before_and_betrays_itself() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let earlier = v2_thief::Stolen::of_consumer(&idle.steal());
        // One exchange, with the keys of both its messages.
        let content = whole(b"before");
        let drawn = w.rng.drawn.len();
        let (waiting, ticket, outgoing) = idle
            .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let drawn = w.rng.drawn[drawn + 32..].to_vec();
        let request = key(&outgoing);
        let mut body = Vec::new();
        content.seal(outgoing, &mut body).unwrap();
        let ticket = ticket.sign(&w.consumer);
        let sent = Sent { ticket, body };
        let (answering, undecided) = w.accept(ready, &sent);
        let (begun, _) = w.run(undecided, &sent);
        let concluded = w.conclude(answering, begun.answer(whole(b"and after").claim()));
        let response = key(&concluded.outgoing.unwrap());
        let receipt = concluded.receipt.sign(&w.producer);
        let idle = lane(w.received(waiting, &receipt).lane);
        let ready = lane(concluded.lane);
        let stolen = idle.steal();
        // The state of before leads to the request's key, with what was agreed on.
        let head = v2_thief::Head::of_ticket(&sent.ticket);
        let transcript = head.absorbed(&earlier.transcript);
        let (_, agreed) = v2_thief::answer(suite, &earlier.peer, &mut v2_thief::Replay(&drawn));
        let step = v2_thief::step(&earlier.consumer_root, &agreed, &transcript);
        assert_eq!(step.key, *request);
        // The state of after does not: nothing in it is a key of before, or leads to one, not
        // even with that same secret.
        for window in stolen.windows(32) {
            let window: [u8; 32] = window.try_into().unwrap();
            let led_to = [
                window,
                v2_thief::expand_plain(&window, b"key"),
                v2_thief::expand(&window, b"armour/2 key"),
                v2_thief::step(&window, &agreed, &transcript).key,
                v2_thief::step(&window, &[], &transcript).key,
            ];
            for found in led_to {
                assert!(found != *request && found != *response);
            }
        }
        let thief = Idle::from_stolen(w.context.clone(), &stolen).unwrap();
        assert!(Idle::from_stolen(w.context.clone(), &stolen[1..]).is_err());
        // The thief acts first: it is served, and the owner's next ticket tells.
        let (_, theirs) = w.begin(thief, b"the thief's");
        let (_, ours) = w.begin(idle, b"the owner's");
        let (answering, undecided) = w.accept(ready, &theirs);
        let (begun, _) = w.run(undecided, &theirs);
        let (ready, _) = w.reply(answering, begun, b"served");
        assert!(matches!(
            ready.judge(&ours.ticket),
            Ok(Standing::Conflict { .. })
        ));
        // Owner and thief drew fresh shares: neither knows the other's keys.
        assert_ne!(ours.ticket.to_bytes(), theirs.ticket.to_bytes());
    }
}
