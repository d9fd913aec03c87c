//! Streams: their checkpoints, and the next exchange after both ends' last ones.

use armour_protocol::v2::{
    checkpoint::{CheckpointClaim, Mark},
    message::{Request, Response, Side},
    proof::Proof,
    proxy::{DueCheckpoint, Read, StreamReader, StreamWriter},
};

use super::common::*;

/// Has a checkpoint signed, and seals it.
pub(super) fn sealed<S: Side>(
    end: &mut End,
    lane: u16,
    due: DueCheckpoint<S>,
) -> (Option<StreamWriter<S>>, Vec<u8>) {
    let claim = CheckpointClaim::from_bytes(&due.claim().to_bytes()).unwrap();
    let proof = end.bytes(Call::Checkpoint {
        lane: id(lane),
        claim: claim.to_bytes().to_vec(),
    });
    let mut wire = Vec::new();
    let proof = Proof::from_bytes(&proof).unwrap();
    (due.seal(&proof, &mut wire).unwrap(), wire)
}

/// Reads the stream to its end: the last checkpoint, for the enclave.
pub(super) fn last<S: Side>(mut reader: Box<StreamReader<S>>, wire: &[u8]) -> Vec<u8> {
    for (header, sealed) in segments(wire) {
        reader = match reader.read(header, sealed) {
            Ok(Read::Held(reader)) => reader,
            Ok(Read::Verified { reader, .. }) => reader,
            Ok(Read::Final { checkpoint, .. }) => return checkpoint.to_bytes(),
            Ok(Read::Switch(_)) => panic!("nothing was re-keyed"),
            Err((_, error)) => panic!("{error}"),
        };
    }
    panic!("it does not end");
}

pub(super) fn finish(lane: u16, last: Option<Vec<u8>>) -> Call {
    Call::Finish {
        lane: id(lane),
        last,
    }
}

/// Both directions stream: writers, readers and what is on the wire after the first
/// segments.
pub(super) struct Streams {
    pub(super) w: World,
    pub(super) lane: u16,
    pub(super) request: StreamWriter<Request>,
    pub(super) response: StreamWriter<Response>,
    pub(super) asked: Box<StreamReader<Request>>,
    pub(super) answer: Box<StreamReader<Response>>,
}

impl Streams {
    pub(super) fn begun() -> Self {
        let mut w = World::installed(Suite::X25519ChaCha20Poly1305);
        let lane = w.opened(None);
        let content = first(b"ask");
        let begun = w.begin(lane, &content.claim().to_bytes());
        let mut wire = Vec::new();
        let outgoing = Outgoing::from_bytes(&begun.outgoing).unwrap();
        let request = content.seal(outgoing, &mut wire).unwrap();
        let (call, arrived) = w.arrived(lane, &begun.head, &wire);
        let Arrived::Stream(_, asked) = arrived else {
            panic!("it is a stream");
        };
        let content = first(b"answer");
        let concluded = w.conclude(lane, call.answer(content.claim()).to_bytes());
        let mut wire = Vec::new();
        let outgoing = Outgoing::from_bytes(&concluded.outgoing.unwrap()).unwrap();
        let response = content.seal(outgoing, &mut wire).unwrap();
        let Ok(Received::Content(incoming)) = w.receive(lane, &concluded.head) else {
            panic!("it has content");
        };
        let (header, sealed) = segments(&wire)[0];
        let opened = Incoming::from_bytes(&incoming).unwrap();
        let opened = opened.open(header, sealed).unwrap();
        let Ok(Arrived::Stream(_, answer)) = opened.verify(&w.context()) else {
            panic!("it is a stream");
        };
        Self {
            w,
            lane,
            request,
            response,
            asked,
            answer,
        }
    }
}

#[test]
fn the_next_exchange_waits_for_both_directions_ends() {
    let Streams {
        mut w,
        lane,
        mut request,
        response,
        asked,
        answer,
    } = Streams::begun();
    let mut wire = Vec::new();
    request.push(b"more", &mut wire).unwrap();
    let (request, checkpoint) = sealed(&mut w.consumer, lane, request.checkpoint(Mark::NONE));
    wire.extend(checkpoint);
    let due = request.unwrap().finish(Mark::NONE);
    let (_, checkpoint) = sealed(&mut w.consumer, lane, due);
    wire.extend(checkpoint);
    let asked = last(asked, &wire);
    // One direction has ended, the other has not.
    assert_eq!(w.consumer.failed(finish(lane, None)), "not-final");
    let refresh = Call::Refresh { lane: id(lane) };
    assert_eq!(w.consumer.failed(refresh), "lane-busy");
    let shown = finish(lane, Some(asked.clone()));
    assert_eq!(w.producer.failed(shown), "not-final");
    let (_, wire) = sealed(&mut w.producer, lane, response.finish(Mark::NONE));
    let answer = last(answer, &wire);
    w.consumer.done(finish(lane, Some(answer)));
    // The producer's proxy has not finished yet, when the next ticket comes.
    let (head, body) = w.call(lane, b"ask");
    assert_eq!(w.accept(lane, &head).err().unwrap(), "streaming");
    w.producer.done(finish(lane, Some(asked)));
    let (begun, _) = w.run(lane, &head, &body);
    let (head, body) = w.reply(lane, begun, b"answer");
    assert_eq!(w.take(lane, &head, &body), b"answer");
}

#[test]
fn no_checkpoint_is_signed_that_does_not_follow() {
    let Streams {
        mut w,
        lane,
        mut request,
        ..
    } = Streams::begun();
    let mut wire = Vec::new();
    request.push(b"more", &mut wire).unwrap();
    let (request, _) = sealed(&mut w.consumer, lane, request.checkpoint(Mark::NONE));
    let due = request.unwrap().finish(Mark::NONE);
    let claim = due.claim().to_bytes();
    let checkpoint = |claim: &[u8]| Call::Checkpoint {
        lane: id(lane),
        claim: claim.to_vec(),
    };
    let mut less = claim;
    less[..8].fill(0);
    assert_eq!(w.consumer.failed(checkpoint(&less)), "checkpoint");
    sealed(&mut w.consumer, lane, due);
    assert_eq!(w.consumer.failed(checkpoint(&claim)), "checkpoint");
    assert_eq!(w.consumer.failed(checkpoint(&claim[1..])), "malformed");
}

#[test]
fn the_others_last_checkpoint_is_verified() {
    let Streams {
        mut w,
        lane,
        request,
        response,
        answer,
        ..
    } = Streams::begun();
    sealed(&mut w.consumer, lane, request.finish(Mark::NONE));
    let (_, wire) = sealed(&mut w.producer, lane, response.finish(Mark::NONE));
    let genuine = last(answer, &wire);
    let mut forged = genuine.clone();
    forged[9] ^= 1;
    assert_eq!(w.consumer.failed(finish(lane, Some(forged))), "not-final");
    let cut = finish(lane, Some(genuine[1..].to_vec()));
    assert_eq!(w.consumer.failed(cut), "malformed");
    w.consumer.done(finish(lane, Some(genuine)));
    // Saying it twice changes nothing.
    w.consumer.done(finish(lane, None));
}

#[test]
fn a_broken_stream_ends_its_lane() {
    let Streams { mut w, lane, .. } = Streams::begun();
    w.consumer.done(Call::GiveUp { lane: id(lane) });
    let fresh = w.opened(Some(lane));
    w.exchange(fresh);
    assert_eq!(w.consumer.marks(), [(lane, 1), (fresh, 1)]);
    // The producer had answered.
    assert_eq!(w.producer.marks(), [(lane, 1), (fresh, 1)]);
}
