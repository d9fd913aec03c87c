//! Version 2: whole exchanges in every suite, and what they take on the wire.

use armour_protocol::v2::{
    checkpoint::Mark,
    content::{DigestKind, Padding},
    enclave::{
        After, LaneMark,
        consumer::Answered,
        producer::{Accepted, BareAfter, Standing},
    },
    error::{ContentError, LaneError, LanesError},
    message::{Side, SignedReceipt},
    mode::Reason,
    proof::Unsigned,
    proxy::{
        Arrived, FirstContent, MAX_UNVERIFIED, MAX_WHOLE, Pending, Read, SegmentHeader,
        StreamReader, WholeContent,
    },
    suite::Suite,
};

use crate::v2_common::{
    BUDGET, MAX_LANES, Sent, World, door_claim, door_in, lane, proof, received, segments, whole,
};

/// The next segment, which is genuine.
fn read<S: Side>(reader: Box<StreamReader<S>>, header: SegmentHeader, sealed: &[u8]) -> Read<S> {
    let read = reader.read(header, sealed);
    read.map_err(|(_, error)| error).unwrap()
}

#[test]
fn exchanges_in_every_suite() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (mut idle, mut ready) = w.opened();
        for content in [&b""[..], b"a request", &[5; 70_000], &vec![6; MAX_WHOLE]] {
            (idle, ready) = w.exchange(idle, ready, content, content);
        }
        assert_eq!((idle.next(), ready.next()), (5, 5));
        assert_eq!(idle.mark().n, 4);
    }
}

#[test]
fn an_exchange_without_content_rekeys_and_the_last_one_ends() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let (refreshing, ticket) = idle.refresh(w.local(), &mut w.rng).unwrap();
        let ticket = w.ticket(&ticket.sign(&w.consumer));
        let Ok(Accepted::Bare(bare)) = ready.accept(&ticket) else {
            panic!("it carries no content");
        };
        let (BareAfter::Ready(ready), receipt) = bare.answer(w.clock(), &mut w.rng).unwrap() else {
            panic!("it is not the last");
        };
        let receipt = w.receipt(&receipt.sign(&w.producer));
        let idle = refreshing.receive(&receipt, w.local());
        let idle = idle.map_err(|(_, error)| error).unwrap();
        let (idle, ready) = w.exchange(idle, *ready, b"between", b"and back");
        let (closing, ticket) = idle.close(w.local(), &mut w.rng).unwrap();
        let ticket = w.ticket(&ticket.sign(&w.consumer));
        let Ok(Accepted::Bare(bare)) = ready.accept(&ticket) else {
            panic!("it carries no content");
        };
        assert_eq!(bare.judge(&ticket), Ok(Standing::Repeat));
        let (BareAfter::Ended(theirs), receipt) = bare.answer(w.clock(), &mut w.rng).unwrap()
        else {
            panic!("it is the last");
        };
        let receipt = w.receipt(&receipt.sign(&w.producer));
        let ours = closing.receive(&receipt, w.local());
        let ours = ours.map_err(|(_, error)| error).unwrap();
        assert_eq!((ours.n, theirs.n), (3, 3));
        w.consumer_lanes.ended(ours);
        w.producer_lanes.ended(theirs);
        assert_eq!(w.consumer_lanes.mark(0), Some(&ours.into()));
        assert_eq!(w.producer_lanes.mark(0), Some(&theirs.into()));
    }
}

/// A request and a response of several checkpoints, both ways at once.
#[test]
fn streams_in_every_suite() {
    for suite in Suite::ALL {
        for kind in [DigestKind::Sha256, DigestKind::Blake3] {
            stream(suite, kind);
        }
    }
}

fn stream(suite: Suite, kind: DigestKind) {
    let mut w = World::new(suite);
    let (idle, ready) = w.opened();
    let first = FirstContent::new(b"POST /", kind, Padding::Padme).unwrap();
    let (mut waiting, ticket, outgoing) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let ticket = w.ticket(&ticket.sign(&w.consumer));
    let mut wire = Vec::new();
    let mut writer = first.seal(outgoing, &mut wire).unwrap();
    let chunk = vec![3; MAX_UNVERIFIED];
    writer.push(&chunk, &mut wire).unwrap();
    assert_eq!(
        writer.push(b"x", &mut wire),
        Err(ContentError::CheckpointDue)
    );
    let due = writer.checkpoint(Mark::NONE);
    let signed = waiting
        .checkpoint(door_claim(&due))
        .unwrap()
        .sign(&w.consumer);
    let mut writer = due.seal(&proof(&signed), &mut wire).unwrap().unwrap();
    writer.push(b"and the end", &mut wire).unwrap();

    // The producer begins while the request still comes, and answers early.
    let Ok(Accepted::Call(answering, incoming)) = ready.accept(&ticket) else {
        panic!("it is a call");
    };
    let pending = Pending::new(w.context.clone(), door_in(incoming));
    let parts = segments(&wire);
    let Ok((begun, Arrived::Stream(head, mut reader))) = received(pending, &wire).begin(w.clock())
    else {
        panic!("it is a stream");
    };
    assert_eq!(head.content(), b"POST /");
    let (mut got, mut mark) = (Vec::new(), Mark::NONE);
    for (header, sealed) in &parts[1..] {
        reader = match read(reader, *header, sealed) {
            Read::Held(reader) => reader,
            Read::Verified {
                content,
                checkpoint,
                reader,
            } => {
                got.extend_from_slice(content.content());
                mark = checkpoint.unverified().mark();
                reader
            }
            Read::Final { .. } | Read::Switch(_) => panic!("it goes on"),
        };
    }
    // What came after the checkpoint is held back.
    assert_eq!(got, chunk);
    let answer = FirstContent::new(b"200", kind, Padding::None).unwrap();
    let concluded = w.conclude(answering, begun.answer(answer.claim()));
    let receipt = concluded.receipt.sign(&w.producer);
    let After::Streaming(mut theirs) = concluded.lane else {
        panic!("both directions stream");
    };
    let mut back = Vec::new();
    let mut answer = answer.seal(concluded.outgoing.unwrap(), &mut back).unwrap();
    answer.push(b"early", &mut back).unwrap();
    let due = answer.finish(mark);
    let claim = door_claim(&due);
    let signed = theirs.checkpoint(claim).unwrap().sign(&w.producer);
    assert!(due.seal(&proof(&signed), &mut back).unwrap().is_none());
    assert_eq!(theirs.checkpoint(claim).err(), Some(LaneError::Checkpoint));

    // The consumer takes the answer, and ends its own direction.
    let received = w.received(waiting, &receipt);
    let After::Streaming(mut ours) = received.lane else {
        panic!("both directions stream");
    };
    let Answered::Content(incoming) = received.answer else {
        panic!("it has content");
    };
    let parts = segments(&back);
    let response = door_in(incoming).open(parts[0].0, parts[0].1).unwrap();
    let Arrived::Stream(head, mut reader) = response.verify(&w.context).unwrap() else {
        panic!("it is a stream");
    };
    assert_eq!(head.content(), b"200");
    let mut last = None;
    for (header, sealed) in &parts[1..] {
        reader = match read(reader, *header, sealed) {
            Read::Held(reader) => reader,
            Read::Final {
                content,
                checkpoint,
            } => {
                assert_eq!(content.content(), b"early");
                assert_eq!(checkpoint.unverified().peer(), mark);
                last = Some(checkpoint);
                break;
            }
            Read::Verified { .. } | Read::Switch(_) => panic!("it is the end"),
        };
    }
    let last = last.unwrap();
    let (back, error) = ours.finish(Some(&last)).err().unwrap();
    assert_eq!(error, LaneError::NotFinal, "our own direction is open");
    ours = *back;
    let due = writer.finish(last.unverified().mark());
    let signed = ours.checkpoint(door_claim(&due)).unwrap().sign(&w.consumer);
    let mut wire = Vec::new();
    assert!(due.seal(&proof(&signed), &mut wire).unwrap().is_none());
    let (ours, _) = ours.finish(None).err().unwrap();
    let shown = ours.read_checkpoint(&last.to_bytes()).unwrap();
    // A final checkpoint that somebody else signed ends nothing.
    let mut forged = last.to_bytes();
    let length = forged.len();
    forged[length - 1] ^= 1;
    let forged = ours.read_checkpoint(&forged).unwrap();
    let (ours, error) = ours.finish(Some(&forged)).err().unwrap();
    assert_eq!(error, LaneError::NotFinal);
    let idle = ours
        .finish(Some(&shown))
        .map_err(|(_, error)| error)
        .unwrap();
    let ready = theirs
        .finish(Some(&signed))
        .map_err(|(_, error)| error)
        .unwrap();
    w.exchange(idle, ready, b"the lane", b"goes on");
}

/// One direction streams and the other is whole: the next exchange waits for the stream.
#[test]
fn a_stream_one_way_and_whole_content_the_other() {
    let mut w = World::new(Suite::X25519Aes256Gcm);
    let (idle, ready) = w.opened();
    // The request streams, and is answered before its end.
    let first = FirstContent::new(b"PUT /", DigestKind::Sha256, Padding::None).unwrap();
    let (waiting, ticket, outgoing) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let ticket = ticket.sign(&w.consumer);
    let mut body = Vec::new();
    let writer = first.seal(outgoing, &mut body).unwrap();
    let sent = Sent { ticket, body };
    let (answering, undecided) = w.accept(ready, &sent);
    let Ok((begun, Arrived::Stream(..))) = received(undecided, &sent.body).begin(w.clock()) else {
        panic!("it is a stream");
    };
    let answer = whole(b"no need for the rest");
    let concluded = w.conclude(answering, begun.answer(answer.claim()));
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    let (After::Streaming(mut ours), After::Streaming(theirs)) = (received.lane, concluded.lane)
    else {
        panic!("the request streams on");
    };
    let due = writer.finish(Mark::NONE);
    let signed = ours.checkpoint(door_claim(&due)).unwrap().sign(&w.consumer);
    let idle = ours.finish(None).map_err(|(_, error)| error).unwrap();
    // A ticket that overtakes the last checkpoint can be put off.
    let (waiting, next) = w.begin(idle, b"GET /events");
    let ticket = w.ticket(&next.ticket);
    assert_eq!(theirs.lane().judge(&ticket), Ok(Standing::Next));
    assert!(theirs.lane().put_off(&ticket, Reason::BUSY, 5).is_ok());
    let (theirs, error) = theirs.finish(None).err().unwrap();
    assert_eq!(error, LaneError::NotFinal);
    let ready = theirs.finish(Some(&signed)).map_err(|(_, error)| error);
    let earlier = signed;

    // The response streams.
    let (answering, undecided) = w.accept(ready.unwrap(), &next);
    let (begun, _) = w.run(undecided, &next);
    let first = FirstContent::new(b"200", DigestKind::Sha256, Padding::None).unwrap();
    let concluded = w.conclude(answering, begun.answer(first.claim()));
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    let (After::Streaming(ours), After::Streaming(mut theirs)) = (received.lane, concluded.lane)
    else {
        panic!("the response streams");
    };
    let writer = first
        .seal(concluded.outgoing.unwrap(), &mut Vec::new())
        .unwrap();
    // What is not the end of this stream does not end it: a checkpoint in its middle, and
    // the end of the stream before.
    let due = writer.checkpoint(Mark::NONE);
    let middle = theirs
        .checkpoint(door_claim(&due))
        .unwrap()
        .sign(&w.producer);
    let writer = due.seal(&proof(&middle), &mut Vec::new()).unwrap().unwrap();
    let (ours, error) = ours.finish(Some(&middle)).err().unwrap();
    assert_eq!(error, LaneError::NotFinal);
    let (ours, error) = ours.finish(Some(&earlier)).err().unwrap();
    assert_eq!(error, LaneError::NotFinal);
    let due = writer.finish(Mark::NONE);
    let signed = theirs
        .checkpoint(door_claim(&due))
        .unwrap()
        .sign(&w.producer);
    let ready = theirs.finish(None).map_err(|(_, error)| error).unwrap();
    let idle = ours.finish(Some(&signed)).map_err(|(_, error)| error);
    w.exchange(idle.unwrap(), ready, b"and", b"on");
}

#[test]
fn several_tickets_to_one_peer_share_a_signature() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let mut lanes = Vec::new();
    for _ in 0..MAX_LANES {
        lanes.push(w.opened());
    }
    assert_eq!(w.consumer_lanes.fresh().err(), Some(LanesError::Busy));
    let (mut waiting, mut tickets, mut readies) = (Vec::new(), Vec::new(), Vec::new());
    for (idle, ready) in lanes {
        let (lane, ticket) = idle.refresh(w.local(), &mut w.rng).unwrap();
        waiting.push(lane);
        tickets.push(ticket);
        readies.push(ready);
    }
    let tickets = Unsigned::sign_all(tickets, &w.consumer, &mut w.rng).unwrap();
    let mut receipts = Vec::new();
    for (ready, ticket) in readies.into_iter().zip(&tickets) {
        let Ok(Accepted::Bare(bare)) = ready.accept(&w.ticket(ticket)) else {
            panic!("it carries no content");
        };
        receipts.push(bare.answer(w.clock(), &mut w.rng).unwrap().1);
    }
    let receipts = Unsigned::sign_all(receipts, &w.producer, &mut w.rng).unwrap();
    // One proof is none for another lane's message.
    let mut swapped = receipts[0].to_bytes();
    let length = swapped.len() - receipts[0].proof().to_bytes().len();
    swapped.truncate(length);
    swapped.extend_from_slice(&receipts[1].proof().to_bytes());
    let swapped = SignedReceipt::from_bytes(&swapped).unwrap();
    for (number, (lane, receipt)) in waiting.into_iter().zip(&receipts).enumerate() {
        let lane = match number {
            0 => *lane.receive(&swapped, w.local()).err().unwrap().0,
            _ => lane,
        };
        let idle = lane.receive(&w.receipt(receipt), w.local());
        assert_eq!(idle.map_err(|(_, error)| error).unwrap().next(), 2);
        // Each proof stands alone.
        assert_eq!(receipt.evidence().verify(&w.context), Ok(()));
    }
}

#[test]
fn an_aborted_call_and_a_refused_stream_leave_the_lane_usable() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"request");
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let concluded = w.conclude(answering, begun.abort(Reason::API));
    assert!(concluded.outgoing.is_none());
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    assert!(matches!(received.answer, Answered::Aborted(Reason::API)));
    let (idle, ready) = (lane(received.lane), lane(concluded.lane));
    // A stream that is refused ends with its receipt.
    let first = FirstContent::new(b"head", DigestKind::Sha256, Padding::None).unwrap();
    let (waiting, ticket, _) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let ticket = w.ticket(&ticket.sign(&w.consumer));
    let Ok(Accepted::Call(answering, incoming)) = ready.accept(&ticket) else {
        panic!("it is a call");
    };
    let refused = Pending::new(w.context.clone(), incoming).refuse(Reason::BUSY);
    let concluded = w.conclude(answering, refused.conclude());
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    assert!(matches!(received.answer, Answered::Refused(Reason::BUSY)));
    w.exchange(lane(received.lane), lane(concluded.lane), b"again", b"yes");
}

#[test]
fn a_conclusion_is_of_its_own_ticket() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let ((idle, ready), (other, beside)) = (w.opened(), w.opened());
    let ((_, one), (_, two)) = (w.begin(idle, b"one"), w.begin(other, b"two"));
    let (answering, first) = w.accept(ready, &one);
    let (_, second) = w.accept(beside, &two);
    let conclusion = second.refuse(Reason::BUSY).conclude();
    let refused = answering.conclude(conclusion, w.clock(), &mut w.rng);
    let (Some(answering), LaneError::Conclusion) = refused.err().unwrap() else {
        panic!("the lane is handed back");
    };
    w.conclude(*answering, first.refuse(Reason::BUSY).conclude());
}

#[test]
fn lane_numbers_are_used_once_and_in_order() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let mut tickets = Vec::new();
    for _ in 0..MAX_LANES {
        let fresh = w.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(&[], None, &mut w.rng).unwrap();
        tickets.push((opening, ticket.sign(&w.consumer)));
    }
    // The network turns their order round.
    tickets.reverse();
    for (_, ticket) in &tickets {
        w.producer_lanes.open(ticket).unwrap();
        let again = w.producer_lanes.open(ticket).err();
        assert_eq!(again, Some(LanesError::Used.into()));
    }
    // One was given up; the next takes its place, and only by saying so.
    let mark = tickets.pop().unwrap().0.mark();
    assert_eq!(mark.lane, 0);
    w.consumer_lanes.ended(mark);
    let fresh = w.consumer_lanes.fresh().unwrap();
    let (_, ticket) = fresh.open(&[], None, &mut w.rng).unwrap();
    let ticket = ticket.sign(&w.consumer);
    assert_eq!(
        w.producer_lanes.open(&ticket).err(),
        Some(LanesError::Busy.into())
    );
    let put_off = w.producer_lanes.put_off(&ticket, Reason::BUSY, 100);
    assert!(put_off.is_ok());
    w.consumer_lanes.ended(tickets.pop().unwrap().0.mark());
    let fresh = w.consumer_lanes.fresh().unwrap();
    let (_, ticket) = fresh.open(&[], Some(mark.lane), &mut w.rng).unwrap();
    let ticket = ticket.sign(&w.consumer);
    let (_, replaced) = w.producer_lanes.open(&w.ticket(&ticket)).unwrap();
    assert_eq!(replaced, Some(0));
    // The one that was replaced counts no more, and only once.
    for (replaces, expected) in [(0, Err(LanesError::Busy.into())), (1, Ok(Some(1)))] {
        w.consumer_lanes.ended(LaneMark {
            lane: 2 + replaces,
            ..mark
        });
        let fresh = w.consumer_lanes.fresh().unwrap();
        let (_, ticket) = fresh.open(&[], Some(replaces), &mut w.rng).unwrap();
        let opened = w.producer_lanes.open(&ticket.sign(&w.consumer));
        assert_eq!(opened.map(|(_, replaced)| replaced), expected);
    }
    // Further ahead than what may be on its way.
    let mut far = World::new(Suite::X25519ChaCha20Poly1305);
    for number in 0..=MAX_LANES {
        let fresh = far.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(&[], None, &mut far.rng).unwrap();
        far.consumer_lanes.ended(opening.mark());
        if number == MAX_LANES {
            let ticket = ticket.sign(&far.consumer);
            let refused = far.producer_lanes.open(&ticket).err();
            assert_eq!(refused, Some(LanesError::Ahead.into()));
        }
    }
}

#[test]
fn content_has_limits() {
    let large = vec![0; MAX_WHOLE + 1];
    let made = WholeContent::new(&large, DigestKind::Sha256, Padding::None);
    assert_eq!(made.err(), Some(ContentError::TooLarge));
    let made = FirstContent::new(&large[..65_537], DigestKind::Sha256, Padding::None);
    assert_eq!(made.err(), Some(ContentError::TooLarge));
}
