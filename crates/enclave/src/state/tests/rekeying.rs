//! Streams that re-key, through the enclaves' doors.

use armour_protocol::v2::{
    checkpoint::Mark,
    message::Side,
    proxy::{Epoch, Read, StreamReader, StreamWriter},
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
    reader: &mut Option<Box<StreamReader<S>>>,
    (ours, theirs): (&[u8], &[u8]),
) {
    let mut wire = Vec::new();
    let mut sender = writer.take().unwrap();
    let epoch = Epoch::from_bytes(ours).unwrap();
    sender.switch(&epoch, &mut wire).unwrap();
    sender.push(b"more", &mut wire).unwrap();
    let (sender, checkpoint) = sealed(end, lane, sender.checkpoint(Mark::NONE));
    wire.extend(checkpoint);
    *writer = sender;
    let mut content = Vec::new();
    for (header, segment) in segments(&wire) {
        let read = reader.take().unwrap().read(header, segment);
        *reader = match read.map_err(|(_, error)| error).unwrap() {
            Read::Switch(switching) => {
                let epoch = Epoch::from_bytes(theirs).unwrap();
                Some(switching.with(&epoch).map_err(|(_, error)| error).unwrap())
            }
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
    let (mut request, mut asked) = (Some(request), Some(asked));
    let (mut response, mut answering) = (Some(response), Some(answering));
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
        let keys = (&ours.request[..], &theirs.request[..]);
        switched(&mut w.consumer, lane, &mut request, &mut asked, keys);
        let keys = (&theirs.response[..], &ours.response[..]);
        switched(&mut w.producer, lane, &mut response, &mut answering, keys);
    }
    let ticket = ask(&mut w.consumer, lane, Mark::NONE);
    let due = request.unwrap().finish(Mark::NONE);
    let (_, wire) = sealed(&mut w.consumer, lane, due);
    let asked = last(asked.unwrap(), &wire);
    let due = response.unwrap().finish(Mark::NONE);
    let (_, wire) = sealed(&mut w.producer, lane, due);
    let answering = last(answering.unwrap(), &wire);
    w.producer.done(finish(lane, Some(asked)));
    let end = || finish(lane, Some(answering.clone()));
    assert_eq!(w.consumer.failed(end()), "rekeying");
    // It is answered after both ends.
    let (receipt, _) = answered(&mut w.producer, lane, &ticket);
    assert!(take(&mut w.consumer, lane, &receipt).is_ok());
    w.consumer.done(end());
    w.exchange(lane);
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
}
