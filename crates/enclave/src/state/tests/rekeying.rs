//! Streams that re-key, through the enclaves' doors.

use armour_protocol::v2::{
    checkpoint::Mark,
    message::Side,
    proof::Proof,
    proxy::{Epoch, Keyring, Read, StreamReader, StreamWriter},
    rekey::{SignedSubReceipt, SubEvidence},
};

use super::{
    common::*,
    streams::{Streams, finish, last, sealed},
};
use crate::ipc::{SubAccepted, SubReceived};

fn ask(consumer: &mut End, lane: u16, peer: Mark) -> Vec<u8> {
    consumer.bytes(Call::SubTicket {
        lane: id(lane),
        peer: peer.to_bytes().to_vec(),
    })
}

fn answer(producer: &mut End, lane: u16, head: &[u8], peer: Mark) -> Result<SubAccepted, String> {
    match producer.call(Call::AnswerSub {
        lane: id(lane),
        head: head.to_vec(),
        peer: peer.to_bytes().to_vec(),
    }) {
        Reply::SubAccepted(accepted) => Ok(accepted),
        Reply::Failed(code) => Err(code),
        _ => panic!("another reply"),
    }
}

fn answered(producer: &mut End, lane: u16, head: &[u8]) -> (Vec<u8>, crate::ipc::Epochs) {
    match answer(producer, lane, head, Mark::NONE) {
        Ok(SubAccepted::Answered { receipt, epochs }) => (receipt, epochs),
        Ok(_) => panic!("it is not answered"),
        Err(code) => panic!("{code}"),
    }
}

fn take(consumer: &mut End, lane: u16, head: &[u8]) -> Result<SubReceived, String> {
    match consumer.call(Call::SubReceipt {
        lane: id(lane),
        head: head.to_vec(),
    }) {
        Reply::SubReceived(received) => Ok(received),
        Reply::Failed(code) => Err(code),
        _ => panic!("another reply"),
    }
}

/// Both ends of a direction go on under another key; what was sealed under it.
fn switched<S: Side>(
    end: &mut End,
    lane: u16,
    writer: &mut Option<StreamWriter<S>>,
    (reader, keyring): (&mut Option<Box<StreamReader<S>>>, &Keyring<S>),
    (ours, theirs): (&[u8], &[u8]),
) {
    keyring.add(Epoch::from_bytes(theirs).unwrap()).unwrap();
    let mut wire = Vec::new();
    let mut sender = writer.take().unwrap();
    let epoch = Epoch::from_bytes(ours).unwrap();
    sender.switch(&epoch, &mut wire).unwrap();
    let (sender, checkpoint) = sealed(end, lane, sender.checkpoint(Mark::NONE));
    wire.extend(checkpoint);
    let mut sender = sender.unwrap();
    sender.push(b"more", &mut wire).unwrap();
    let (sender, checkpoint) = sealed(end, lane, sender.checkpoint(Mark::NONE));
    wire.extend(checkpoint);
    *writer = sender;
    let mut content = Vec::new();
    for (header, segment) in segments(&wire) {
        let read = reader.take().unwrap().read(header, segment);
        *reader = match read.map_err(|(_, error)| error).unwrap() {
            Read::Switch(_) => panic!("its keys are there"),
            Read::Verified {
                content: verified,
                reader,
                ..
            } => {
                content.extend_from_slice(verified.content());
                Some(reader)
            }
            Read::Held(reader) => Some(reader),
            Read::Final { .. } => panic!("it goes on"),
        };
    }
    assert_eq!(content, b"more");
}

#[test]
fn streams_re_key_both_ways_and_the_next_exchange_waits_for_the_answer() {
    let Streams {
        mut w,
        lane,
        request,
        response,
        asked,
        answer: answering,
    } = Streams::begun();
    let (up, down) = (Keyring::default(), Keyring::default());
    let (mut request, mut asked) = (Some(request), Some(asked.follow(up.clone())));
    let (mut response, mut answering) = (Some(response), Some(answering.follow(down.clone())));
    for _ in 0..2 {
        let ticket = ask(&mut w.consumer, lane, Mark::NONE);
        let another = Call::SubTicket {
            lane: id(lane),
            peer: Mark::NONE.to_bytes().to_vec(),
        };
        assert_eq!(w.consumer.failed(another), "rekeying");
        let (receipt, theirs) = answered(&mut w.producer, lane, &ticket);
        let Ok(SubReceived::Rekeyed(ours)) = take(&mut w.consumer, lane, &receipt) else {
            panic!("it is not taken");
        };
        let again = take(&mut w.consumer, lane, &receipt);
        assert!(matches!(again, Ok(SubReceived::Repeat)));
        let early = Call::SubTicket {
            lane: id(lane),
            peer: Mark::NONE.to_bytes().to_vec(),
        };
        assert_eq!(w.consumer.failed(early), "checkpoint");
        let keys = (&ours.request[..], &theirs.request[..]);
        switched(&mut w.consumer, lane, &mut request, (&mut asked, &up), keys);
        let keys = (&theirs.response[..], &ours.response[..]);
        let reader = (&mut answering, &down);
        switched(&mut w.producer, lane, &mut response, reader, keys);
    }
    let due = request.unwrap().finish(Mark::NONE);
    let (_, wire) = sealed(&mut w.consumer, lane, due);
    let asked = last(asked.unwrap(), &wire);
    let ticket = ask(&mut w.consumer, lane, Mark::NONE);
    let due = response.unwrap().finish(Mark::NONE);
    let (_, wire) = sealed(&mut w.producer, lane, due);
    let answering = last(answering.unwrap(), &wire);
    w.producer.done(finish(lane, Some(asked)));
    let end = || finish(lane, Some(answering.clone()));
    assert_eq!(w.consumer.failed(end()), "rekeying");
    // It is answered after both ends.
    let (receipt, _) = answered(&mut w.producer, lane, &ticket);
    assert!(take(&mut w.consumer, lane, &receipt).is_ok());
    let shown = |n, k| Call::LastSubReceipt {
        lane: id(lane),
        n,
        k,
    };
    w.consumer.done(end());
    // It is kept until the next receipt, whose ticket names it.
    let kept = SubEvidence::from_bytes(&w.consumer.bytes(shown(1, 3))).unwrap();
    let receipt = SignedSubReceipt::from_bytes(&receipt).unwrap();
    assert!(kept == receipt.evidence());
    assert_eq!(w.consumer.failed(shown(1, 2)), "no-receipt");
    w.exchange(lane);
    assert_eq!(w.consumer.failed(shown(1, 3)), "no-receipt");
}

#[test]
fn no_checkpoint_is_signed_while_a_sub_ticket_waits() {
    let Streams {
        mut w,
        lane,
        request,
        ..
    } = Streams::begun();
    ask(&mut w.consumer, lane, Mark::NONE);
    let due = request.checkpoint(Mark::NONE);
    let checkpoint = Call::Checkpoint {
        lane: id(lane),
        claim: due.claim().to_bytes().to_vec(),
    };
    assert_eq!(w.consumer.failed(checkpoint), "rekeying");
}

#[test]
fn a_sub_ticket_of_a_lane_that_has_ended_is_verified_before_that_is_said() {
    let Streams { mut w, lane, .. } = Streams::begun();
    let ticket = ask(&mut w.consumer, lane, Mark::NONE);
    w.producer.done(Call::GiveUp { lane: id(lane) });
    let judged = answer(&mut w.producer, lane, &ticket, Mark::NONE);
    assert!(matches!(judged, Ok(SubAccepted::Elsewhere)));
    let mut forged = ticket;
    *forged.last_mut().unwrap() ^= 1;
    let refused = answer(&mut w.producer, lane, &forged, Mark::NONE);
    assert_eq!(refused.err().as_deref(), Some("signature"));
}

#[test]
fn a_sub_ticket_that_was_not_signed_moves_no_key() {
    let Streams { mut w, lane, .. } = Streams::begun();
    let ticket = ask(&mut w.consumer, lane, Mark::NONE);
    for at in [3, 40, ticket.len() - 1] {
        let mut forged = ticket.clone();
        forged[at] ^= 1;
        let refused = answer(&mut w.producer, lane, &forged, Mark::NONE);
        assert!(refused.is_err(), "{at}");
    }
    let (receipt, _) = answered(&mut w.producer, lane, &ticket);
    for at in [3, 40, receipt.len() - 1] {
        let mut forged = receipt.clone();
        forged[at] ^= 1;
        assert!(take(&mut w.consumer, lane, &forged).is_err(), "{at}");
    }
    let again = answer(&mut w.producer, lane, &ticket, Mark::NONE);
    assert!(matches!(again, Ok(SubAccepted::Repeat)));
    assert!(take(&mut w.consumer, lane, &receipt).is_ok());
}

#[cfg(feature = "state-export")]
mod stolen {
    use super::*;

    /// The end once more, as a thief has it who copied all that it held.
    fn copied(end: &mut End) -> End {
        let Reply::Stolen(stolen) = end.call(Call::Export { bundle: BUNDLE }) else {
            panic!("no state");
        };
        let mut thief = End::unstarted(end.party, Vec::<Pin>::new());
        thief.done(Call::Import { stolen });
        thief
    }

    #[test]
    fn a_copy_of_the_consumer_that_was_taken_inside_a_stream_is_found_by_its_sub_ticket() {
        let Streams { mut w, lane, .. } = Streams::begun();
        let mut thief = copied(&mut w.consumer);
        let stolen = ask(&mut thief, lane, Mark::NONE);
        answered(&mut w.producer, lane, &stolen);
        let own = ask(&mut w.consumer, lane, Mark::NONE);
        let conflict = answer(&mut w.producer, lane, &own, Mark::NONE);
        assert!(matches!(conflict, Ok(SubAccepted::Conflict)));
    }

    #[test]
    fn a_copy_of_the_producer_that_was_taken_inside_a_stream_is_found_by_its_sub_receipt() {
        let Streams { mut w, lane, .. } = Streams::begun();
        let mut thief = copied(&mut w.producer);
        let ticket = ask(&mut w.consumer, lane, Mark::NONE);
        let (stolen, _) = answered(&mut thief, lane, &ticket);
        assert!(take(&mut w.consumer, lane, &stolen).is_ok());
        let (own, _) = answered(&mut w.producer, lane, &ticket);
        let other = take(&mut w.consumer, lane, &own);
        assert!(matches!(other, Ok(SubReceived::Clone { .. })));
    }

    /// Whoever sits in the connection of a stream, and has copied its sender, goes on in the epoch
    /// that is over.
    #[test]
    fn a_last_checkpoint_of_an_epoch_that_is_over_ends_nothing() {
        let Streams {
            mut w,
            lane,
            request,
            response,
            answer: answering,
            ..
        } = Streams::begun();
        let (_, wire) = sealed(&mut w.consumer, lane, request.finish(Mark::NONE));
        drop(wire);
        let due = response.finish(Mark::NONE);
        // As its thief's would, the producer signs it for the old epoch, and the new one does not
        // know of it.
        let claim = due.claim().to_bytes().to_vec();
        let ticket = ask(&mut w.consumer, lane, Mark::NONE);
        let mut thief = copied(&mut w.producer);
        let proof = thief.bytes(Call::Checkpoint {
            lane: id(lane),
            claim,
        });
        let (receipt, _) = answered(&mut w.producer, lane, &ticket);
        assert!(take(&mut w.consumer, lane, &receipt).is_ok());
        let mut wire = Vec::new();
        let proof = Proof::from_bytes(&proof).unwrap();
        due.seal(&proof, &mut wire).unwrap();
        let forged = last(answering, &wire);
        let failed = w.consumer.failed(finish(lane, Some(forged)));
        assert_eq!(failed, "foreign-checkpoint");
    }
}
