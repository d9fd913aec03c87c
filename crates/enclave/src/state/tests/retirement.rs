//! A bundle that is retired: nothing of it is signed after the list of its lanes, for the
//! ledger takes what comes beyond for a thief's.

use armour_protocol::v2::{mode::Reason, proxy::Conclusion};

use super::common::*;

fn begin(lane: u16) -> Call {
    Call::Begin {
        lane: id(lane),
        claim: whole(b"more").claim().to_bytes().to_vec(),
        by_ms: u64::MAX,
    }
}

#[test]
fn a_consumer_signs_no_ticket_after_the_list_of_its_lanes() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (idle, busy) = (w.opened(None), w.opened(None));
    w.exchange(idle);
    let (head, body) = w.call(busy, b"ask");
    let (begun, _) = w.run(busy, &head, &body);
    let listed = w.consumer.retire();
    let places: Vec<_> = listed.iter().map(|(lane, n, _)| (*lane, *n)).collect();
    assert_eq!(places, [(idle, 1), (busy, 1)]);
    assert_eq!(w.open(None).err().unwrap(), "retired");
    for signs in [
        begin(idle),
        Call::Refresh { lane: id(idle) },
        Call::Close { lane: id(idle) },
    ] {
        assert_eq!(w.consumer.failed(signs), "retired");
    }
    // What was asked before may be answered still, and be reported.
    let (receipt, body) = w.reply(busy, begun, b"answer");
    assert_eq!(w.take(busy, &receipt, &body), b"answer");
    assert_eq!(w.consumer.failed(begin(busy)), "retired");
    w.consumer.done(Call::GiveUp { lane: id(busy) });
    assert_eq!(w.open(Some(busy)).err().unwrap(), "retired");
    assert_eq!(w.consumer.retire(), listed, "the list is final");
}

#[test]
fn a_producer_signs_no_receipt_after_the_list_of_its_lanes() {
    let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
    let (idle, busy) = (w.opened(None), w.opened(None));
    w.exchange(idle);
    let (head, body) = w.call(busy, b"ask");
    let (begun, _) = w.run(busy, &head, &body);
    let listed = w.producer.retire();
    let places: Vec<_> = listed.iter().map(|(lane, n, _)| (*lane, *n)).collect();
    assert_eq!(places, [(idle, 1), (busy, 0)]);
    let conclusion: Conclusion = begun.abort(Reason::API);
    let conclude = Call::Conclude {
        lane: id(busy),
        conclusion: conclusion.to_bytes(),
    };
    assert_eq!(w.producer.failed(conclude), "retired");
    let (next, _) = w.call(idle, b"ask");
    let (_, opening) = w.open(None).unwrap();
    let lane = MAX_LANES - 1;
    for (lane, head) in [(idle, next), (lane, opening)] {
        assert_eq!(w.accept(lane, &head).err().unwrap(), "retired");
        let put_off = Call::PutOff {
            lane: id(lane),
            head,
            reason: Reason::BUSY.as_u8(),
            after_ms: 250,
        };
        assert_eq!(w.producer.failed(put_off), "retired");
    }
    assert_eq!(w.producer.retire(), listed, "the list is final");
}
