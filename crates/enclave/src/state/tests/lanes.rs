//! Lanes of a bundle: opened, used, refreshed, closed, given up, and what comes twice.

use armour_protocol::v2::{message::MAX_LOG_HEAD, mode::Reason};

use super::common::*;

#[test]
fn whole_exchanges_in_every_suite() {
    for suite in Suite::ALL {
        let mut w = World::installed(suite);
        let lane = w.opened(None);
        let (head, body) = w.call(lane, b"ask");
        let again = Call::Begin {
            lane: id(lane),
            claim: whole(b"more").claim().to_bytes().to_vec(),
            by_ms: w.consumer.by(),
        };
        assert_eq!(w.consumer.failed(again), "lane-busy");
        let (begun, asked) = w.run(lane, &head, &body);
        assert_eq!(asked, b"ask");
        assert!(matches!(w.accept(lane, &head), Ok(Accepted::Repeat)));
        let (head, body) = w.reply(lane, begun, b"answer");
        assert_eq!(w.take(lane, &head, &body), b"answer");
    }
}

/// Its caller waits meanwhile, and is told when its time is over.
#[test]
fn a_call_that_waits_for_the_enclave_begins_no_later_for_it() {
    let begin_by = |waits: u64| {
        let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
        let lane = w.opened(None);
        let by_ms = w.consumer.by();
        w.consumer.clock.advance(waits);
        let call = Call::Begin {
            lane: id(lane),
            claim: whole(b"ask").claim().to_bytes().to_vec(),
            by_ms,
        };
        let Reply::Begun(begun) = w.consumer.call(call) else {
            panic!("it does not begin");
        };
        let Ok(Accepted::Call(incoming)) = w.accept(lane, &begun.head) else {
            panic!("it is a call");
        };
        let incoming = Incoming::from_bytes(&incoming).unwrap();
        Pending::new(w.context(), incoming).begin_by()
    };
    let at_once = begin_by(0);
    for waits in [500, 10 * u64::from(BUDGET)] {
        assert_eq!(begin_by(waits), at_once);
    }
}

#[test]
fn exchanges_follow_each_other_on_one_lane() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    for _ in 0..3 {
        w.exchange(lane);
    }
    assert_eq!(w.consumer.marks(), [(lane, 3)]);
    assert_eq!(w.producer.marks(), [(lane, 3)]);
}

#[test]
fn a_damaged_receipt_leaves_the_lane_waiting() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    let (head, body) = w.call(lane, b"ask");
    let (begun, _) = w.run(lane, &head, &body);
    let (receipt, body) = w.reply(lane, begun, b"answer");
    let mut damaged = receipt.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(w.receive(lane, &damaged).err().unwrap(), "signature");
    assert_eq!(w.receive(lane, b"").err().unwrap(), "malformed");
    assert_eq!(w.take(lane, &receipt, &body), b"answer");
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Repeat)));
    // Also while the next one is under way.
    w.call(lane, b"next");
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Repeat)));
}

/// Its number would be used up, and the lane that it replaces gone.
#[test]
fn an_opening_that_cannot_be_answered_changes_nothing() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let first = w.opened(None);
    w.consumer.done(Call::GiveUp { lane: id(first) });
    let (lane, head) = w.open(Some(first)).unwrap();
    let before = w.producer.marks();
    let (now, too_long) = (w.producer_time(), [0; MAX_LOG_HEAD + 1]);
    let producer = w.producer.state.bundles.producer(&BUNDLE).unwrap();
    let failed = producer.accept(lane, &head, &too_long, now);
    assert_eq!(failed.err().unwrap().0, "log-head");
    assert_eq!(w.producer.marks(), before);
    let (receipt, ended) = answered(w.accept(lane, &head));
    assert_eq!(ended, Some(first));
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Ready)));
}

#[test]
fn a_lane_is_refreshed_and_reads_the_clock_anew() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    // The two clocks ran for an hour: a thousandth of it is not certain.
    w.consumer.clock.advance(3_600_000);
    w.producer.clock.advance(3_600_000);
    let (head, _) = w.call(lane, b"ask");
    let Ok(Accepted::Call(incoming)) = w.accept(lane, &head) else {
        panic!("it is a call");
    };
    let pending = Pending::new(w.context(), Incoming::from_bytes(&incoming).unwrap());
    assert!(pending.is_late(w.producer_time()));
    let refused = pending.refuse(Reason::LATE).conclude().to_bytes();
    let concluded = w.conclude(lane, refused);
    assert!(concluded.outgoing.is_none());
    let received = w.receive(lane, &concluded.head);
    let late = Reason::LATE.as_u8();
    assert!(matches!(received, Ok(Received::Refused { reason }) if reason == late));
    let ticket = w.consumer.bytes(Call::Refresh { lane: id(lane) });
    let (receipt, ended) = answered(w.accept(lane, &ticket));
    assert_eq!(ended, None);
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Ready)));
    w.exchange(lane);
}

#[test]
fn a_call_that_waited_too_long_is_surely_past() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    let past = |w: &mut World| match w.consumer.call(Call::IsPast { lane: id(lane) }) {
        Reply::Is(past) => past,
        _ => panic!("no call is under way"),
    };
    w.call(lane, b"ask");
    assert!(!past(&mut w));
    w.consumer.clock.advance(u64::from(BUDGET));
    assert!(!past(&mut w));
    w.consumer.clock.advance(5);
    assert!(past(&mut w));
}

#[test]
fn an_aborted_call_leaves_the_lane_usable() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    let (head, body) = w.call(lane, b"ask");
    let (begun, _) = w.run(lane, &head, &body);
    let concluded = w.conclude(lane, begun.abort(Reason::TIMEOUT).to_bytes());
    let received = w.receive(lane, &concluded.head);
    let timeout = Reason::TIMEOUT.as_u8();
    assert!(matches!(received, Ok(Received::Aborted { reason }) if reason == timeout));
    w.exchange(lane);
}

#[test]
fn another_tickets_conclusion_concludes_nothing() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (one, other) = (w.opened(None), w.opened(None));
    let (head, body) = w.call(one, b"ask");
    let (begun, _) = w.run(one, &head, &body);
    let (head, body) = w.call(other, b"ask");
    let (second, _) = w.run(other, &head, &body);
    let conclusion = second.abort(Reason::API).to_bytes();
    let wrong = Call::Conclude {
        lane: id(one),
        conclusion,
    };
    assert_eq!(w.producer.failed(wrong), "conclusion");
    let (receipt, body) = w.reply(one, begun, b"answer");
    assert_eq!(w.take(one, &receipt, &body), b"answer");
}

#[test]
fn a_ticket_that_is_put_off_may_come_again() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (lane, opening) = w.open(None).unwrap();
    let put_off = |head: &[u8]| Call::PutOff {
        lane: id(lane),
        head: head.to_vec(),
        reason: Reason::BUSY.as_u8(),
        after_ms: 250,
    };
    let busy = Reason::BUSY.as_u8();
    let said = w.producer.bytes(put_off(&opening));
    let received = w.receive(lane, &said);
    assert!(matches!(received, Ok(Received::PutOff { reason, after_ms: 250 }) if reason == busy));
    let (receipt, _) = answered(w.accept(lane, &opening));
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Ready)));
    let (head, body) = w.call(lane, b"ask");
    let said = w.producer.bytes(put_off(&head));
    assert!(matches!(
        w.receive(lane, &said),
        Ok(Received::PutOff { .. })
    ));
    // Nothing is signed for a ticket that would not be next.
    assert_eq!(w.producer.failed(put_off(&opening)), "not-next");
    let (begun, _) = w.run(lane, &head, &body);
    assert_eq!(w.producer.failed(put_off(&head)), "not-next");
    let (receipt, body) = w.reply(lane, begun, b"answer");
    assert_eq!(w.take(lane, &receipt, &body), b"answer");
    // It was of another ticket.
    assert_eq!(w.receive(lane, &said).err().unwrap(), "unexpected");
}

#[test]
fn a_closed_lane_has_ended_at_both_ends() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (kept, lane) = (w.opened(None), w.opened(None));
    w.exchange(lane);
    let ticket = w.consumer.bytes(Call::Close { lane: id(lane) });
    let (receipt, ended) = answered(w.accept(lane, &ticket));
    assert_eq!(ended, Some(lane));
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Closed)));
    assert_eq!(
        w.consumer.failed(Call::Refresh { lane: id(lane) }),
        "lane-unknown"
    );
    assert!(matches!(w.accept(lane, &ticket), Ok(Accepted::Elsewhere)));
    // What they came to is kept.
    let marks = [(kept, 0), (lane, 2)];
    assert_eq!(w.consumer.marks(), marks);
    assert_eq!(w.producer.marks(), marks);
    assert_eq!(w.opened(None), lane + 1);
}

#[test]
fn a_lane_that_was_given_up_is_replaced() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lanes: Vec<u16> = (0..MAX_LANES).map(|_| w.opened(None)).collect();
    assert_eq!(w.open(None).err().unwrap(), "busy");
    let (head, body) = w.call(lanes[1], b"ask");
    let (begun, _) = w.run(lanes[1], &head, &body);
    assert_eq!(w.open(Some(lanes[1])).err().unwrap(), "not-given-up");
    w.consumer.done(Call::GiveUp { lane: id(lanes[1]) });
    let fresh = w.opened(Some(lanes[1]));
    assert_eq!(fresh, MAX_LANES);
    // Its call has no lane to be concluded on.
    let conclude = Call::Conclude {
        lane: id(lanes[1]),
        conclusion: begun.abort(Reason::API).to_bytes(),
    };
    assert_eq!(w.producer.failed(conclude), "lane-unknown");
    w.exchange(fresh);
    // The consumer issued ticket 1, the producer answered ticket 0.
    assert_eq!(w.consumer.marks(), [(0, 0), (1, 1), (2, 0), (3, 1)]);
    assert_eq!(w.producer.marks(), [(0, 0), (1, 0), (2, 0), (3, 1)]);
}

#[test]
fn a_producer_keeps_at_most_so_many_lanes_open() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    for _ in 0..MAX_LANES {
        w.opened(None);
    }
    // The consumer gave one up, and the producer has not heard of it.
    w.consumer.done(Call::GiveUp { lane: id(0) });
    let (lane, head) = w.open(None).unwrap();
    assert_eq!(w.accept(lane, &head).err().unwrap(), "busy");
    w.producer.done(Call::GiveUp { lane: id(0) });
    let (receipt, ended) = answered(w.accept(lane, &head));
    assert_eq!(ended, None);
    assert!(matches!(w.receive(lane, &receipt), Ok(Received::Ready)));
}

#[test]
fn numbers_are_used_once_and_in_their_order() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (lane, head) = w.open(None).unwrap();
    // The network brings it again and again, and for another lane.
    answered(w.accept(lane, &head));
    assert!(matches!(w.accept(lane, &head), Ok(Accepted::Repeat)));
    assert_eq!(w.accept(lane + 1, &head).err().unwrap(), "address");
    w.producer.done(Call::GiveUp { lane: id(lane) });
    assert!(matches!(w.accept(lane, &head), Ok(Accepted::Elsewhere)));
    w.consumer.done(Call::GiveUp { lane: id(lane) });
    let mut last = (lane, head);
    for _ in 0..=MAX_LANES {
        last = w.open(None).unwrap();
        w.consumer.done(Call::GiveUp { lane: id(last.0) });
    }
    assert_eq!(w.accept(last.0, &last.1).err().unwrap(), "ahead");
}

#[test]
fn the_ledgers_head_is_our_own_work_or_it_is_not() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    w.exchange(lane);
    for end in [&mut w.consumer, &mut w.producer] {
        let mark = end.state.bundles.marks(&BUNDLE).unwrap()[0];
        let mut owns = |lane, n, hash| match end.call(Call::Owns {
            lane,
            n,
            k: 0,
            hash,
        }) {
            Reply::Is(owns) => owns,
            _ => panic!("another reply"),
        };
        assert!(owns(id(lane), mark.n, mark.hash));
        assert!(owns(id(lane), mark.n - 1, [9; 32]));
        assert!(!owns(id(lane), mark.n, [9; 32]));
        assert!(!owns(id(lane), mark.n + 1, mark.hash));
        assert!(!owns(id(lane + 1), 0, mark.hash));
        end.done(Call::GiveUp { lane: id(lane) });
        let mut owns = |lane, n, hash| match end.call(Call::Owns {
            lane,
            n,
            k: 0,
            hash,
        }) {
            Reply::Is(owns) => owns,
            _ => panic!("another reply"),
        };
        assert!(owns(id(lane), mark.n, mark.hash) && !owns(id(lane), mark.n + 1, mark.hash));
        end.done(Call::Erase { bundle: BUNDLE });
        // What is not known any more is not said to be another's.
        let gone = Call::Owns {
            lane: id(lane),
            n: mark.n,
            k: 0,
            hash: mark.hash,
        };
        assert_eq!(end.failed(gone), "bundle-unknown");
    }
}

#[test]
fn a_bundle_that_has_ended_answers_nothing_and_still_knows_how_far_it_came() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (lane, other) = (w.opened(None), w.opened(None));
    w.exchange(lane);
    let (head, body) = w.call(lane, b"under way");
    let (begun, _) = w.run(lane, &head, &body);
    w.consumer.done(Call::GiveUp { lane: id(other) });
    let (_, opening) = w.open(Some(other)).unwrap();
    let before = [w.consumer.marks(), w.producer.marks()];
    let listed = w.producer.state.bundles.marks(&BUNDLE).unwrap();
    let listed: Vec<_> = listed.iter().map(|m| (m.lane, m.n, m.hash)).collect();
    for end in [&mut w.consumer, &mut w.producer] {
        end.done(Call::End { bundle: BUNDLE });
        end.done(Call::End { bundle: BUNDLE });
    }
    assert_eq!([w.consumer.marks(), w.producer.marks()], before);
    assert_eq!(w.producer.retire(), listed);
    let conclusion = begun.answer(whole(b"late").claim()).to_bytes();
    let lane = id(lane);
    for refused in [
        Call::Conclude { lane, conclusion },
        Call::Accept { lane, head },
        Call::Accept {
            lane: id(2),
            head: opening,
        },
        Call::GiveUp { lane },
    ] {
        assert_eq!(w.producer.failed(refused), "bundle-ended");
    }
    for refused in [
        Call::Open {
            bundle: BUNDLE,
            replaces: None,
        },
        Call::Refresh { lane },
        Call::LastReceipt { lane },
    ] {
        assert_eq!(w.consumer.failed(refused), "bundle-ended");
    }
    for end in [&mut w.consumer, &mut w.producer] {
        end.done(Call::Erase { bundle: BUNDLE });
        assert_eq!(end.failed(Call::End { bundle: BUNDLE }), "bundle-unknown");
    }
}

#[test]
fn the_last_receipt_can_be_shown() {
    use armour_protocol::v2::message::Evidence;
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (lane, head) = w.open(None).unwrap();
    let shown = Call::LastReceipt { lane: id(lane) };
    assert_eq!(w.consumer.failed(shown), "no-receipt");
    let (receipt, _) = answered(w.accept(lane, &head));
    w.receive(lane, &receipt).unwrap();
    w.call(lane, b"ask");
    let shown = w.consumer.bytes(Call::LastReceipt { lane: id(lane) });
    let evidence = Evidence::from_bytes(&shown).unwrap();
    assert_eq!(evidence.verify(&w.context()), Ok(()));
    assert_eq!(evidence.body.header.n, 0);
}

#[test]
fn each_role_has_its_own_calls() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let lane = w.opened(None);
    let (head, _) = w.call(lane, b"ask");
    let accept = Call::Accept {
        lane: id(lane),
        head,
    };
    assert_eq!(w.consumer.failed(accept), "not-ours");
    let open = Call::Open {
        bundle: BUNDLE,
        replaces: None,
    };
    assert_eq!(w.producer.failed(open), "not-ours");
    let refresh = |bundle| Call::Refresh {
        lane: LaneId { bundle, lane },
    };
    assert_eq!(w.producer.failed(refresh(BUNDLE)), "not-ours");
    assert_eq!(w.consumer.failed(refresh([9; 16])), "bundle-unknown");
}
