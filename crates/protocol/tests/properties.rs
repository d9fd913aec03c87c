//! Properties: whatever the network does to messages, a lane is disturbed by
//! nothing but its own next message, and a body opens whole or not at all.

use std::sync::Arc;

use armour_protocol::{
    Error, Suite,
    bundle::BundleContext,
    consumer::IdleLane,
    ledger::{Chain, Verdict, judge},
    message::{RequestHead, ResponseHead},
    producer::{ReadyLane, Standing},
    ticket::SignedTicket,
};
use proptest::prelude::*;

use crate::common::{World, accept, open, receive, seal};

fn suites() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::X25519), Just(Suite::X25519MlKem768)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn loss_duplication_and_reordering_leave_the_lane_serial(
        suite in suites(),
        faults in proptest::collection::vec(0u8..4, 1..12),
    ) {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (mut idle, mut ready) = w.exchange(idle, ready);
        let mut old: Vec<RequestHead> = Vec::new();
        for fault in faults {
            let (waiting, request) = w.begin(idle);
            if fault == 0 {
                // Old requests arrive late: none is the next one.
                for head in &old {
                    prop_assert!(ready.judge(&head.ticket).unwrap() != Standing::Next);
                }
            }
            let (answering, _) = accept(ready, &request.head).unwrap();
            // Lost response, resent request: the same bytes are a repeat.
            prop_assert_eq!(answering.judge(&request.head.ticket), Ok(Standing::Repeat));
            let (now_ready, response) = w.respond(answering);
            prop_assert_eq!(now_ready.judge(&request.head.ticket), Ok(Standing::Repeat));
            let (now_idle, _) = receive(waiting, &response.head).unwrap();
            old.push(request.head);
            idle = now_idle;
            ready = now_ready;
        }
        prop_assert_eq!(idle.next(), ready.next());
    }

    #[test]
    fn a_flipped_bit_in_a_head_is_refused_and_disturbs_nothing(suite in suites(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (idle, ready) = w.exchange(idle, ready);
        let (waiting, request) = w.begin(idle);
        let mut bytes = request.head.to_bytes();
        let position = at.index(bytes.len());
        bytes[position] ^= 1 << bit;
        let ready = match RequestHead::from_bytes(&bytes) {
            Err(_) => ready,
            Ok(head) => match ready.accept(head) {
                Ok(_) => return Err(TestCaseError::fail("a damaged head was accepted")),
                Err((ready, _)) => *ready,
            },
        };
        let (answering, _) = accept(ready, &request.head).unwrap();
        let (_, response) = w.respond(answering);
        let mut bytes = response.head.to_bytes();
        let position = at.index(bytes.len());
        bytes[position] ^= 1 << bit;
        let waiting = match ResponseHead::from_bytes(&bytes) {
            Err(_) => waiting,
            Ok(head) => match waiting.receive(head) {
                Ok(_) => return Err(TestCaseError::fail("a damaged head was accepted")),
                Err((waiting, _)) => *waiting,
            },
        };
        prop_assert!(receive(waiting, &response.head).is_ok());
    }

    #[test]
    fn a_body_opens_whole_or_not_at_all(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut w = World::new(Suite::X25519);
        let (idle, ready) = w.lane(0);
        let (idle, _) = w.exchange(idle, ready);
        let (_, request) = w.begin(idle);
        let mut marks: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        marks.extend([0, body.len()]);
        marks.sort_unstable();
        let pieces: Vec<&[u8]> = marks.windows(2).map(|m| &body[m[0]..m[1]]).collect();
        let ad = request.head.associated_data();
        let sealed = seal(&request.key, &ad, &request.transcript, &w.consumer, &pieces);
        let signer = w.consumer.verifying_key();
        let opened = open(&request.key, &ad, &request.transcript, &signer, &sealed).unwrap();
        prop_assert_eq!(&opened, &body);
        let truncated = &sealed[..at.index(sealed.len())];
        prop_assert!(open(&request.key, &ad, &request.transcript, &signer, truncated).is_err());
        let mut flipped = sealed.clone();
        flipped[at.index(sealed.len())] ^= 1 << bit;
        prop_assert!(open(&request.key, &ad, &request.transcript, &signer, &flipped).is_err());
        let other = w.producer.verifying_key();
        prop_assert_eq!(open(&request.key, &ad, &request.transcript, &other, &sealed), Err(Error::PayloadSignature));
    }

    #[test]
    fn parsers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = RequestHead::from_bytes(&bytes);
        let _ = ResponseHead::from_bytes(&bytes);
        let _ = SignedTicket::from_bytes(&bytes);
        let _ = RequestHead::len_of(&bytes);
    }

    #[test]
    fn the_ledger_accepts_any_cut_of_one_history_and_no_fork(
        len in 1usize..20, head in 0usize..20, from in 0usize..20, to in 0usize..20, fork in any::<bool>(),
    ) {
        let history = history(len, 0);
        let head = head.min(len);
        let (from, to) = (from.min(len - 1), to.min(len).max(from.min(len - 1) + 1));
        let recorded = &history[..head];
        let other = history_from(&history[..from], len, 1);
        let reported = if fork { &other[from..to] } else { &history[from..to] };
        let verdict = judge(recorded.last(), recorded, reported);
        let expected = if fork && from < head {
            let collision = matches!(verdict, Verdict::Collision { .. });
            prop_assert!(collision);
            return Ok(());
        } else if to <= head {
            Verdict::Known
        } else if from > head {
            Verdict::Gap { expected: head as u64 }
        } else {
            Verdict::Extends { from: head - from }
        };
        prop_assert_eq!(verdict, expected);
        let mut chain = Chain::of(&reported[0]);
        for pair in reported.windows(2) {
            prop_assert!(chain.push(&pair[0].ticket, &pair[1]));
        }
        prop_assert_eq!(&chain.tickets().unwrap()[..], reported);
    }
}

#[test]
fn a_message_of_another_tenant_pair_lane_or_suite_is_refused() {
    let w = World::new(Suite::X25519);
    let change: [fn(&mut BundleContext); 5] = [
        |c| c.tenant[0] ^= 1,
        |c| c.pair[0] ^= 1,
        |c| c.consumer[0] ^= 1,
        |c| c.producer[0] ^= 1,
        |c| c.bundle[0] ^= 1,
    ];
    for change in change {
        let mut w = World::new(Suite::X25519);
        let mut context = (*w.context).clone();
        change(&mut context);
        let lane = IdleLane::new(Arc::new(context), &w.secret, 0);
        let (_, ready) = w.lane(0);
        let (_, request) = w.begin(lane);
        let error = ready.accept(request.head).err().map(|(_, error)| error);
        assert!(
            matches!(error, Some(Error::Commitment | Error::Address)),
            "{error:?}"
        );
    }
    let mut w2 = World::new(Suite::X25519MlKem768);
    let (idle, _) = w2.lane(0);
    let (_, hybrid) = w2.begin(idle);
    let (_, ready) = w.lane(0);
    assert_eq!(
        ready.accept(hybrid.head).err().map(|(_, e)| e),
        Some(Error::Suite)
    );
    let (idle, _) = w2.lane(1);
    let (_, lane_one) = w2.begin(idle);
    let ready = ReadyLane::new(w2.context.clone(), &w2.secret, 0);
    assert_eq!(
        ready.accept(lane_one.head).err().map(|(_, e)| e),
        Some(Error::Address)
    );
}

#[test]
fn a_response_to_another_ticket_is_refused() {
    let mut w = World::new(Suite::X25519);
    let (idle, ready) = w.lane(0);
    let (waiting, request) = w.begin(idle);
    let (answering, _) = accept(ready, &request.head).unwrap();
    let (ready, first) = w.respond(answering);
    let (idle, _) = receive(waiting, &first.head).unwrap();
    let (waiting, request) = w.begin(idle);
    let (waiting, error) = waiting.receive(first.head).err().unwrap();
    assert_eq!(error, Error::Unexpected);
    let (answering, _) = accept(ready, &request.head).unwrap();
    let (_, second) = w.respond(answering);
    assert!(receive(*waiting, &second.head).is_ok());
}

fn history(len: usize, seed: u8) -> Vec<SignedTicket> {
    history_from(&[], len, seed)
}

fn history_from(prefix: &[SignedTicket], len: usize, seed: u8) -> Vec<SignedTicket> {
    use armour_protocol::ticket::{NO_PREVIOUS, Ticket};
    let w = World::new(Suite::X25519);
    let mut all = prefix.to_vec();
    while all.len() < len {
        let n = all.len() as u64;
        let ticket = Ticket {
            suite: Suite::X25519,
            bundle: w.context.bundle,
            lane: 0,
            n,
            previous: all.last().map_or(NO_PREVIOUS, |t| t.ticket.hash()),
            share_digest: [seed.wrapping_mul(100).wrapping_add(n as u8); 32],
        };
        all.push(ticket.sign(&w.consumer));
    }
    all
}
