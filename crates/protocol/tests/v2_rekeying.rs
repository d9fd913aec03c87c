//! Version 2: streams that re-key on their way, and who is found out by it.

use armour_protocol::v2::{
    body::Direction,
    checkpoint::Mark,
    content::{DigestKind, Padding},
    enclave::{
        After, Streaming,
        consumer::{Answered, Idle, SubReceiptStanding, Waiting},
        producer::{Accepted, Answering, NotRekeyed, Ready, Rekeyed, SubStanding},
    },
    error::{ContentError, HeadError, LaneError},
    gate::{FRAME_PREFIX, frame_len},
    message::{Request, Response, Side},
    proxy::{
        Arrived, Begun, Epoch, Epochs, FirstContent, Incoming, Pending, Read, StreamReader,
        StreamWriter, Unverified,
    },
    rekey::{SignedSubReceipt, SignedSubTicket, SubFork, sub_fork},
    suite::Suite,
};
use proptest::prelude::*;

use crate::{
    recording::Recording,
    v2_common::{BUDGET, World, door_claim, door_in, door_out, proof, received, segments, whole},
};

/// One direction of a stream: its sender and its receiver.
struct Way<S> {
    writer: Option<StreamWriter<S>>,
    reader: Option<Box<StreamReader<S>>>,
    /// The receiver's last verified checkpoint.
    mark: Mark,
    last: Option<armour_protocol::v2::checkpoint::SignedCheckpoint>,
}

/// An exchange whose two directions stream.
struct Flow {
    w: World,
    ours: Streaming<Idle>,
    theirs: Streaming<Ready>,
    up: Way<Request>,
    down: Way<Response>,
}

/// A request stream under way, at both ends.
struct Upload {
    w: World,
    waiting: Waiting,
    answering: Answering,
    begun: Begun,
    up: Way<Request>,
}

impl<S: Side> Way<S> {
    /// Its receiver reads what was sent; what it gave.
    fn read(&mut self, wire: &[u8], epoch: Option<&Epoch<S>>) -> Vec<u8> {
        let mut out = Vec::new();
        for (header, sealed) in segments(wire) {
            let reader = self.reader.take().expect("the direction has not ended");
            let read = reader.read(header, sealed).map_err(|(_, error)| error);
            self.reader = match read.unwrap() {
                Read::Held(reader) => Some(reader),
                Read::Verified {
                    content,
                    checkpoint,
                    reader,
                } => {
                    out.extend_from_slice(content.content());
                    self.mark = checkpoint.unverified().mark();
                    Some(reader)
                }
                Read::Switch(switching) => {
                    let epoch = epoch.expect("it was re-keyed");
                    assert_eq!(switching.k(), epoch.k());
                    Some(switching.with(epoch).map_err(|(_, error)| error).unwrap())
                }
                Read::Final {
                    content,
                    checkpoint,
                } => {
                    out.extend_from_slice(content.content());
                    self.mark = checkpoint.unverified().mark();
                    self.last = Some(checkpoint);
                    None
                }
            };
        }
        out
    }

    /// Both switch to another epoch.
    fn switch(&mut self, epoch: &Epoch<S>, theirs: &Epoch<S>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let mut wire = Vec::new();
        writer.switch(&again(epoch), &mut wire).unwrap();
        assert!(self.read(&wire, Some(theirs)).is_empty());
    }
}

impl Upload {
    fn begin(mut w: World, idle: Idle, ready: Ready) -> Self {
        let first = FirstContent::new(b"POST /", DigestKind::Sha256, Padding::Padme).unwrap();
        let (waiting, ticket, outgoing) = idle
            .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let ticket = w.ticket(&ticket.sign(&w.consumer));
        let mut wire = Vec::new();
        let writer = first.seal(outgoing, &mut wire).unwrap();
        let Ok(Accepted::Call(answering, incoming)) = ready.accept(&ticket) else {
            panic!("it is a call");
        };
        let pending = Pending::new(w.context.clone(), door_in(incoming));
        let Ok((begun, Arrived::Stream(_, reader))) = received(pending, &wire).begin(w.clock())
        else {
            panic!("it is a stream");
        };
        Self {
            w,
            waiting,
            answering,
            begun,
            up: Way {
                writer: Some(writer),
                reader: Some(reader),
                mark: Mark::NONE,
                last: None,
            },
        }
    }

    fn send(&mut self, content: &[u8]) {
        let mut writer = self.up.writer.take().unwrap();
        let mut wire = Vec::new();
        writer.push(content, &mut wire).unwrap();
        let due = writer.checkpoint(Mark::NONE);
        let signed = self.waiting.checkpoint(door_claim(&due)).unwrap();
        let signed = signed.sign(&self.w.consumer);
        self.up.writer = due.seal(&proof(&signed), &mut wire).unwrap();
        assert_eq!(self.up.read(&wire, None), content);
    }

    /// Re-keys before the receipt.
    fn rekey(&mut self) -> Epochs {
        let ticket = self.waiting.rekey(&mut self.w.rng).unwrap();
        let again = self.waiting.rekey(&mut self.w.rng).err();
        assert_eq!(again, Some(LaneError::Rekeying));
        let ticket = sub_ticket(&self.w, &ticket.sign(&self.w.consumer));
        let rekeyed = self
            .answering
            .rekey(&ticket, self.up.mark, &mut self.w.rng)
            .unwrap();
        let receipt = sub_receipt(&self.w, &rekeyed.receipt.sign(&self.w.producer));
        let epochs = self.waiting.rekeyed(&receipt).unwrap();
        self.up.switch(&epochs.request, &rekeyed.epochs.request);
        epochs
    }

    /// The producer answers with a stream, which begins in this epoch.
    fn answer(mut self, epoch: Option<&Epoch<Response>>) -> Flow {
        let first = FirstContent::new(b"200", DigestKind::Sha256, Padding::None).unwrap();
        let concluded = self
            .w
            .conclude(self.answering, self.begun.answer(first.claim()));
        let receipt = concluded.receipt.sign(&self.w.producer);
        let mut wire = Vec::new();
        let mut outgoing = door_out(concluded.outgoing.unwrap());
        if let Some(epoch) = epoch {
            outgoing = outgoing.in_epoch(again(epoch)).unwrap();
        }
        let writer = first.seal(outgoing, &mut wire).unwrap();
        let After::Streaming(theirs) = concluded.lane else {
            panic!("both directions stream");
        };
        let received = self.w.received(self.waiting, &receipt);
        let (After::Streaming(ours), Answered::Content(incoming)) =
            (received.lane, received.answer)
        else {
            panic!("both directions stream");
        };
        let response = opened(door_in(incoming), &wire, epoch);
        let Arrived::Stream(_, reader) = response.verify(&self.w.context).unwrap() else {
            panic!("it is a stream");
        };
        let down = Way {
            writer: Some(writer),
            reader: Some(reader),
            mark: Mark::NONE,
            last: None,
        };
        Flow {
            w: self.w,
            ours,
            theirs,
            up: self.up,
            down,
        }
    }
}

impl Flow {
    fn new(suite: Suite) -> Self {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        Upload::begin(w, idle, ready).answer(None)
    }

    /// Content, with its checkpoint; what its receiver was given.
    fn up(&mut self, content: &[u8], last: bool) -> Vec<u8> {
        let mut writer = self.up.writer.take().unwrap();
        let mut wire = Vec::new();
        writer.push(content, &mut wire).unwrap();
        let due = match last {
            true => writer.finish(self.down.mark),
            false => writer.checkpoint(self.down.mark),
        };
        let signed = self.ours.checkpoint(door_claim(&due)).unwrap();
        let signed = signed.sign(&self.w.consumer);
        self.up.writer = due.seal(&proof(&signed), &mut wire).unwrap();
        self.up.read(&wire, None)
    }

    fn down(&mut self, content: &[u8], last: bool) -> Vec<u8> {
        let mut writer = self.down.writer.take().unwrap();
        let mut wire = Vec::new();
        writer.push(content, &mut wire).unwrap();
        let due = match last {
            true => writer.finish(self.up.mark),
            false => writer.checkpoint(self.up.mark),
        };
        let signed = self.theirs.checkpoint(door_claim(&due)).unwrap();
        let signed = signed.sign(&self.w.producer);
        self.down.writer = due.seal(&proof(&signed), &mut wire).unwrap();
        self.down.read(&wire, None)
    }

    fn ask(&mut self) -> SignedSubTicket {
        let ticket = self.ours.rekey(self.down.mark, &mut self.w.rng).unwrap();
        sub_ticket(&self.w, &ticket.sign(&self.w.consumer))
    }

    fn answer(&mut self, ticket: &SignedSubTicket) -> (SignedSubReceipt, Epochs) {
        let Rekeyed { receipt, epochs } = self
            .theirs
            .rekey(ticket, self.up.mark, &mut self.w.rng)
            .unwrap();
        (
            sub_receipt(&self.w, &receipt.sign(&self.w.producer)),
            epochs,
        )
    }

    /// A whole re-keying.
    fn rekey(&mut self) -> Epochs {
        let ticket = self.ask();
        let (receipt, theirs) = self.answer(&ticket);
        let ours = self.ours.rekeyed(&receipt).unwrap();
        self.down.switch(&theirs.response, &ours.response);
        self.up.switch(&ours.request, &theirs.request);
        ours
    }

    fn finish(self) -> (World, Idle, Ready) {
        let shown = |last: &armour_protocol::v2::checkpoint::SignedCheckpoint| last.to_bytes();
        let last = shown(&self.down.last.unwrap());
        let last = self.ours.read_checkpoint(&last).unwrap();
        let idle = self.ours.finish(Some(&last)).map_err(|(_, error)| error);
        let last = shown(&self.up.last.unwrap());
        let last = self.theirs.read_checkpoint(&last).unwrap();
        let ready = self.theirs.finish(Some(&last)).map_err(|(_, error)| error);
        (self.w, idle.unwrap(), ready.unwrap())
    }
}

/// The same keys once more, as they cross the enclave's door.
fn again<S: Side>(epoch: &Epoch<S>) -> Epoch<S> {
    Epoch::from_bytes(&epoch.to_bytes()).unwrap()
}

/// What a response begins with, in an epoch or not.
fn opened(
    incoming: Incoming<Response>,
    wire: &[u8],
    epoch: Option<&Epoch<Response>>,
) -> Unverified<Response> {
    let segments = segments(wire);
    let (header, sealed) = segments[0];
    let Some(epoch) = epoch else {
        return incoming.open(header, sealed).unwrap();
    };
    let switch = incoming.switch(header, sealed).unwrap();
    assert_eq!(switch.k(), epoch.k());
    let inner = incoming.after(&switch, epoch).unwrap();
    let (header, sealed) = segments[1];
    inner.open(header, sealed).unwrap()
}

/// The sub-ticket as it arrives.
fn sub_ticket(w: &World, sent: &SignedSubTicket) -> SignedSubTicket {
    let frame = w.gate.frame(Direction::Request, &sent.to_bytes());
    let (prefix, rest) = frame.split_first_chunk::<FRAME_PREFIX>().unwrap();
    assert_eq!(frame_len(*prefix), Ok(rest.len()));
    SignedSubTicket::from_bytes(w.gate.check(Direction::Request, rest).unwrap()).unwrap()
}

/// The sub-receipt as it arrives.
fn sub_receipt(w: &World, sent: &SignedSubReceipt) -> SignedSubReceipt {
    let frame = w.gate.frame(Direction::Response, &sent.to_bytes());
    let (prefix, rest) = frame.split_first_chunk::<FRAME_PREFIX>().unwrap();
    assert_eq!(frame_len(*prefix), Ok(rest.len()));
    SignedSubReceipt::from_bytes(w.gate.check(Direction::Response, rest).unwrap()).unwrap()
}

/// Flows that drew the same random bytes: one is the other's copy, taken inside a stream.
/// From then on they draw others.
fn copies(suite: Suite, rekeyings: usize) -> [Flow; 2] {
    [20, 21].map(|seed| {
        let mut flow = Flow::new(suite);
        for _ in 0..rekeyings {
            flow.rekey();
        }
        flow.w.rng = Recording::new([seed; 32]);
        flow
    })
}

#[test]
fn streams_re_key_and_the_lane_goes_on_in_every_suite() {
    for suite in Suite::ALL {
        let mut flow = Flow::new(suite);
        let mut keys = Vec::new();
        for epoch in 1..=3 {
            assert_eq!(flow.up(b"up", false), b"up");
            assert_eq!(flow.down(b"down", false), b"down");
            let epochs = flow.rekey();
            assert_eq!(epochs.request.k(), epoch);
            keys.push(epochs.request.to_bytes()[142 - 32..].to_vec());
            keys.push(epochs.response.to_bytes()[142 - 32..].to_vec());
        }
        assert_eq!(flow.up(b"the end", true), b"the end");
        // The other direction re-keys on its own.
        flow.rekey();
        assert_eq!(flow.down(b"and back", true), b"and back");
        let (mut w, idle, ready) = flow.finish();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6, "no key is used twice");
        let (idle, ready) = w.exchange(idle, ready, b"the lane", b"goes on");
        w.exchange(idle, ready, b"and", b"on");
    }
}

/// A long upload: its receipt comes at the end, and does not have to be waited for.
#[test]
fn a_request_re_keys_before_its_receipt() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let mut upload = Upload::begin(w, idle, ready);
        upload.send(b"one");
        upload.rekey();
        upload.send(b"two");
        let epochs = upload.rekey();
        // The response begins in the present epoch.
        let mut flow = upload.answer(Some(&epochs.response));
        assert_eq!(flow.down(b"early", true), b"early");
        flow.rekey();
        assert_eq!(flow.up(b"three", true), b"three");
        let (mut w, idle, ready) = flow.finish();
        w.exchange(idle, ready, b"the lane", b"goes on");
    }
}

/// The receipt overtakes the sub-receipt: the lane's roots do not depend on which is first.
#[test]
fn a_receipt_may_come_while_a_sub_ticket_waits() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let mut upload = Upload::begin(w, idle, ready);
    let ticket = upload.waiting.rekey(&mut upload.w.rng).unwrap();
    let ticket = ticket.sign(&upload.w.consumer);
    let Upload {
        mut w,
        waiting,
        answering,
        begun,
        ..
    } = upload;
    let answer = whole(b"no need for the rest");
    let abort = begun.answer(answer.claim());
    let concluded = w.conclude(answering, abort);
    let After::Streaming(mut theirs) = concluded.lane else {
        panic!("the request streams");
    };
    let rekeyed = theirs.rekey(&ticket, Mark::NONE, &mut w.rng).unwrap();
    let sub = rekeyed.receipt.sign(&w.producer);
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    let After::Streaming(mut ours) = received.lane else {
        panic!("the request streams");
    };
    assert_eq!(ours.rekeyed(&sub).unwrap().request.k(), 1);
}

/// A call that is refused while its request is re-keyed: nothing streams any more, and still
/// the lane waits for what was asked.
#[test]
fn no_ticket_follows_a_sub_ticket_without_an_answer() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let mut upload = Upload::begin(w, idle, ready);
    let ticket = upload.waiting.rekey(&mut upload.w.rng).unwrap();
    let ticket = ticket.sign(&upload.w.consumer);
    let Upload {
        mut w,
        waiting,
        answering,
        begun,
        ..
    } = upload;
    let abort = begun.abort(armour_protocol::v2::mode::Reason::API);
    let concluded = w.conclude(answering, abort);
    let After::Lane(mut ready) = concluded.lane else {
        panic!("nothing streams");
    };
    let received = w.received(waiting, &concluded.receipt.sign(&w.producer));
    let After::Streaming(ours) = received.lane else {
        panic!("a sub-ticket waits");
    };
    let (mut ours, error) = ours.finish(None).err().unwrap();
    assert_eq!(error, LaneError::Rekeying);
    // The producer answers even after both ends.
    let rekeyed = ready.rekey(&ticket, Mark::NONE, &mut w.rng).unwrap();
    ours.rekeyed(&rekeyed.receipt.sign(&w.producer)).unwrap();
    let idle = ours.finish(None).map_err(|(_, error)| error).unwrap();
    let (_, ready) = w.exchange(idle, ready, b"the lane", b"goes on");
    // Of an exchange that is over nothing is answered.
    assert_eq!(ready.judge_sub(&ticket), Err(HeadError::Unexpected));
}

#[test]
fn only_streams_re_key() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (mut waiting, sent) = w.begin(idle, b"whole");
    let refused = waiting.rekey(&mut w.rng).err();
    assert_eq!(refused, Some(LaneError::NoStream));
    let other = Flow::new(Suite::X25519ChaCha20Poly1305).ask();
    let (mut answering, _) = w.accept(ready, &sent);
    let refused = answering.rekey(&other, Mark::NONE, &mut w.rng).err();
    assert_eq!(refused, Some(LaneError::NoStream.into()));
}

/// A thief copies the consumer inside of a stream, and both go on: whoever is second is found.
#[test]
fn a_consumers_clone_inside_a_stream_is_found_by_two_sub_tickets_in_one_place() {
    for suite in Suite::ALL {
        for before in 0..2 {
            let [mut owner, mut thief] = copies(suite, before);
            let (first, second) = (thief.ask(), owner.ask());
            owner.answer(&first);
            let found = owner.theirs.lane().judge_sub(&second).unwrap();
            let SubStanding::Conflict { accepted } = found else {
                panic!("{found:?}");
            };
            assert_eq!(*accepted, first.evidence());
            let refused = owner.theirs.rekey(&second, Mark::NONE, &mut owner.w.rng);
            let Err(NotRekeyed::Stands(SubStanding::Conflict { .. })) = refused else {
                panic!("it is not answered");
            };
            let (one, other) = (first.evidence(), second.evidence());
            for evidence in [&one, &other] {
                assert_eq!(evidence.verify(&owner.w.context), Ok(()));
            }
            let fork = SubFork::Consumer {
                n: 1,
                k: before as u32 + 1,
            };
            assert_eq!(sub_fork(&one.body, &other.body), Some(fork));
        }
    }
}

/// The clone is ahead: its victim's sub-ticket is behind, and the ledger has both.
#[test]
fn a_clone_that_is_further_is_found_by_what_is_recorded() {
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    let stolen = thief.ask();
    let (receipt, _) = owner.answer(&stolen);
    thief.ours.rekeyed(&receipt).unwrap();
    owner.answer(&thief.ask());
    let late = owner.ask();
    let standing = owner.theirs.lane().judge_sub(&late);
    assert_eq!(standing, Ok(SubStanding::Elsewhere));
    let fork = sub_fork(&stolen.evidence().body, &late.evidence().body);
    assert_eq!(fork, Some(SubFork::Consumer { n: 1, k: 1 }));
}

/// A copy of the producer answers in its victim's place; the victim is reached again.
#[test]
fn a_producers_clone_inside_a_stream_is_found_by_two_sub_receipts() {
    for suite in Suite::ALL {
        let [mut owner, mut thief] = copies(suite, 1);
        let ticket = owner.ask();
        let ((theirs, _), (genuine, _)) = (thief.answer(&ticket), owner.answer(&ticket));
        owner.ours.rekeyed(&theirs).unwrap();
        let found = owner.ours.judge_sub(&genuine).unwrap();
        let SubReceiptStanding::Clone { taken, other } = found else {
            panic!("{found:?}");
        };
        let fork = SubFork::Producer { n: 1, k: 2 };
        assert_eq!(sub_fork(&taken.body, &other.body), Some(fork));
        let again = owner.ours.judge_sub(&theirs);
        assert_eq!(again, Ok(SubReceiptStanding::Repeat));
        // The next sub-ticket names a sub-receipt that is not the victim's.
        let next = owner.ask();
        let standing = owner.theirs.lane().judge_sub(&next);
        assert_eq!(standing, Ok(SubStanding::Foreign));
    }
}

/// Sub-receipts that answer different sub-tickets accuse nobody: those sub-tickets do.
#[test]
fn two_answers_to_two_sub_tickets_do_not_accuse_the_producer() {
    let [mut one, mut other] = copies(Suite::X25519ChaCha20Poly1305, 0);
    let (first, second) = (one.ask(), other.ask());
    let ((a, _), (b, _)) = (one.answer(&first), other.answer(&second));
    assert_eq!(sub_fork(&a.evidence().body, &b.evidence().body), None);
    assert_eq!(sub_fork(&a.evidence().body, &a.evidence().body), None);
    let kinds = sub_fork(&a.evidence().body, &first.evidence().body);
    assert_eq!(kinds, None);
}

/// R5 and R6, within a stream: all that both ends held is copied. After the next re-keying it
/// opens nothing, neither of the stream nor of the lane's next exchange.
#[test]
fn what_was_stolen_inside_a_stream_is_useless_after_the_next_re_keying() {
    for suite in Suite::ALL {
        let [mut owner, mut thief] = copies(suite, 1);
        let ticket = owner.ask();
        // Both copies hear all that crosses the network.
        let (receipt, theirs) = owner.answer(&ticket);
        assert_eq!(
            thief.ours.rekeyed(&receipt).err(),
            Some(HeadError::Unexpected)
        );
        let (_, guessed) = thief.answer(&ticket);
        let ours = owner.ours.rekeyed(&receipt).unwrap();
        assert!(*ours.request.to_bytes() != *guessed.request.to_bytes());
        let mut wire = Vec::new();
        let writer = owner.down.writer.as_mut().unwrap();
        writer.switch(&theirs.response, &mut wire).unwrap();
        let (header, sealed) = segments(&wire)[0];
        let reader = thief.down.reader.take().unwrap();
        let Ok(Read::Switch(switching)) = reader.read(header, sealed) else {
            panic!("what is sealed under the stolen key is read still");
        };
        let (switching, error) = switching.with(&guessed.response).err().unwrap();
        assert_eq!(error, ContentError::Switch);
        assert!(switching.with(&ours.response).is_ok());

        owner.down.read(&wire, Some(&ours.response));
        owner.up.switch(&ours.request, &theirs.request);
        owner.up(b"", true);
        owner.down(b"", true);
        let (mut w, idle, ready) = owner.finish();
        let [_, mut copy] = copies(suite, 1);
        copy.up(b"", true);
        copy.down(b"", true);
        let (_, _, stolen) = copy.finish();
        // The copy holds the private half that the next ticket answers.
        let (_, sent) = w.begin(idle, b"next");
        assert!(stolen.accept(&w.ticket(&sent.ticket)).is_err());
        w.accept(ready, &sent);
    }
}

/// With the lane's roots and the private half of the producer's last share: what a ticket's key
/// follows from, if its exchange before was not re-keyed.
#[cfg(feature = "state-export")]
#[test]
fn a_lanes_roots_are_others_after_a_re_keying() {
    let roots = |rekeyed: bool| {
        let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
        let before = flow.theirs.lane().steal()[2..66].to_vec();
        if rekeyed {
            flow.rekey();
        }
        flow.up(b"", true);
        flow.down(b"", true);
        let (_, idle, _) = flow.finish();
        (before, idle.steal()[2..66].to_vec())
    };
    let (before, after) = roots(false);
    assert_eq!(before, after);
    let (before, after) = roots(true);
    assert!(before[..32] != after[..32] && before[32..] != after[32..]);
}

/// What the peer cannot have verified somebody else signed.
#[test]
fn a_sub_receipt_that_verified_more_than_was_signed_is_not_taken() {
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    // The clone's checkpoint reaches the producer.
    thief.up(b"the thief's", false);
    owner.up.mark = thief.up.mark;
    let ticket = owner.ask();
    let (receipt, _) = owner.answer(&ticket);
    assert_eq!(
        owner.ours.rekeyed(&receipt).err(),
        Some(HeadError::Unexpected)
    );
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    thief.down(b"the thief's", false);
    owner.down.mark = thief.down.mark;
    let ticket = owner.ask();
    let refused = owner.theirs.rekey(&ticket, Mark::NONE, &mut owner.w.rng);
    assert_eq!(refused.err(), Some(HeadError::Unexpected.into()));
}

/// Whatever is altered, nothing changes: the genuine bytes are taken afterwards.
#[test]
fn an_altered_sub_ticket_or_sub_receipt_changes_nothing() {
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    let ticket = flow.ask();
    let bytes = ticket.to_bytes();
    let altered = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for at in 0..bytes.len() {
        if let Ok(other) = SignedSubTicket::from_bytes(&altered(&bytes, at)) {
            let refused = flow.theirs.rekey(&other, Mark::NONE, &mut flow.w.rng);
            assert!(
                matches!(refused.err(), Some(NotRekeyed::Invalid(_))),
                "{at}"
            );
        }
    }
    let (receipt, theirs) = flow.answer(&ticket);
    let bytes = receipt.to_bytes();
    for at in 0..bytes.len() {
        if let Ok(other) = SignedSubReceipt::from_bytes(&altered(&bytes, at)) {
            assert!(flow.ours.rekeyed(&other).is_err(), "{at}");
        }
    }
    let ours = flow.ours.rekeyed(&receipt).unwrap();
    assert_eq!(*ours.request.to_bytes(), *theirs.request.to_bytes());
    assert_eq!(*ours.response.to_bytes(), *theirs.response.to_bytes());
    assert_eq!(
        flow.ours.rekeyed(&receipt).err(),
        Some(HeadError::Unexpected)
    );
    let repeat = flow.theirs.lane().judge_sub(&ticket);
    assert_eq!(repeat, Ok(SubStanding::Repeat));
}

/// A switch stands behind a checkpoint, goes forward, and is of its own exchange.
#[test]
fn a_switch_has_its_place() {
    let mut flow = Flow::new(Suite::X25519Aes256Gcm);
    let first = flow.rekey();
    let mut writer = flow.up.writer.take().unwrap();
    let mut wire = Vec::new();
    let back = writer.switch(&first.request, &mut wire);
    assert_eq!(back, Err(ContentError::Switch));
    let other = Flow::new(Suite::X25519ChaCha20Poly1305).rekey();
    let mut elsewhere = World::new(Suite::X25519Aes256Gcm);
    let _ = elsewhere.opened();
    let (idle, ready) = elsewhere.opened();
    let mut beside = Upload::begin(elsewhere, idle, ready).answer(None);
    beside.rekey();
    let beside = beside.rekey();
    for wrong in [&other.request, &beside.request] {
        let refused = writer.switch(wrong, &mut wire);
        assert_eq!(refused, Err(ContentError::Switch));
    }
    assert!(wire.is_empty());
    let ticket = flow.ask();
    let (receipt, _) = flow.answer(&ticket);
    let second = flow.ours.rekeyed(&receipt).unwrap();
    writer.push(b"unsigned", &mut wire).unwrap();
    let early = writer.switch(&second.request, &mut wire);
    assert_eq!(early, Err(ContentError::CheckpointDue));
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Up,
    Down,
    Ask,
    Answer,
    Take,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Up),
        Just(Event::Down),
        Just(Event::Ask),
        Just(Event::Answer),
        Just(Event::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Content and the steps of re-keyings in any order: all of it arrives, and the lane goes
    /// on.
    #[test]
    fn streams_re_key_at_any_time(events in proptest::collection::vec(event(), 1..24)) {
        let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
        let (mut asked, mut answered, mut count) = (None, None, 0);
        let mut take = |flow: &mut Flow, answered: &mut Option<(SignedSubReceipt, Epochs)>| {
            if let Some((receipt, theirs)) = answered.take() {
                let ours = flow.ours.rekeyed(&receipt).unwrap();
                flow.up.switch(&ours.request, &theirs.request);
                count += 1;
                assert_eq!(ours.request.k(), count);
            }
        };
        for event in events {
            match event {
                Event::Up => assert_eq!(flow.up(b"up", false), b"up"),
                Event::Down => assert_eq!(flow.down(b"down", false), b"down"),
                Event::Ask if asked.is_none() && answered.is_none() => asked = Some(flow.ask()),
                Event::Ask => {
                    let again = flow.ours.rekey(Mark::NONE, &mut flow.w.rng).err();
                    assert_eq!(again, Some(LaneError::Rekeying));
                }
                Event::Answer => if let Some(ticket) = asked.take() {
                    let (receipt, epochs) = flow.answer(&ticket);
                    // The producer's direction switches at once.
                    flow.down.switch(&epochs.response, &epochs.response);
                    answered = Some((receipt, epochs));
                },
                Event::Take => take(&mut flow, &mut answered),
            }
        }
        if let Some(ticket) = asked.take() {
            let (receipt, epochs) = flow.answer(&ticket);
            flow.down.switch(&epochs.response, &epochs.response);
            answered = Some((receipt, epochs));
        }
        flow.down(b"", true);
        take(&mut flow, &mut answered);
        flow.up(b"", true);
        let (mut w, idle, ready) = flow.finish();
        w.exchange(idle, ready, b"the lane", b"goes on");
    }
}

/// A ticket is none of another exchange's.
#[test]
fn a_sub_ticket_is_of_its_own_exchange() {
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    let old = flow.ask();
    flow.answer(&old);
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    flow.up(b"", true);
    flow.down(b"", true);
    let (w, idle, ready) = flow.finish();
    let mut next = Upload::begin(w, idle, ready);
    let refused = next.answering.rekey(&old, Mark::NONE, &mut next.w.rng);
    let elsewhere = NotRekeyed::Stands(SubStanding::Elsewhere);
    assert_eq!(refused.err(), Some(elsewhere));
}

/// Whoever copied the consumer before the streams were re-keyed derives the receipt's key, which
/// those did not change. So nothing but a switch is sealed under it.
#[test]
fn g2_a_receipts_key_opens_nothing_of_a_response_that_was_re_keyed_before_it() {
    for suite in Suite::ALL {
        for stream in [false, true] {
            let [owner, thief] = [30, 31].map(|seed| {
                let mut w = World::new(suite);
                let (idle, ready) = w.opened();
                let mut upload = Upload::begin(w, idle, ready);
                upload.w.rng = Recording::new([seed; 32]);
                upload
            });
            let mut owner = owner;
            let epochs = owner.rekey();
            let Upload {
                mut w,
                waiting,
                answering,
                begun,
                ..
            } = owner;
            let secret = b"what nobody else may read";
            let kind = DigestKind::Sha256;
            let first = FirstContent::new(secret, kind, Padding::None).unwrap();
            let whole = whole(secret);
            let claim = match stream {
                true => first.claim(),
                false => whole.claim(),
            };
            let concluded = w.conclude(answering, begun.answer(claim));
            let receipt = concluded.receipt.sign(&w.producer);
            let outgoing = door_out(concluded.outgoing.unwrap());
            assert_eq!(outgoing.k(), 1);
            let outgoing = outgoing.in_epoch(again(&epochs.response)).unwrap();
            let mut wire = Vec::new();
            match stream {
                true => drop(first.seal(outgoing, &mut wire).unwrap()),
                false => whole.seal(outgoing, &mut wire).unwrap(),
            }
            // The copy takes the receipt, which answers the ticket that it copied.
            let Answered::Content(stolen) = w.received(thief.waiting, &receipt).answer else {
                panic!("the receipt carries content");
            };
            for (header, sealed) in segments(&wire) {
                assert!(stolen.open(header, sealed).is_err());
            }
            let Answered::Content(incoming) = w.received(waiting, &receipt).answer else {
                panic!("the receipt carries content");
            };
            let response = opened(door_in(incoming), &wire, Some(&epochs.response));
            let content = match response.verify(&w.context).unwrap() {
                Arrived::Whole(content) | Arrived::Stream(content, _) => content,
            };
            assert_eq!(content.content(), secret);
        }
    }
}

/// No proxy seals a response under a key that the re-keyings before it did not change.
#[test]
fn g2_a_response_after_a_re_keying_is_not_sealed_without_its_epoch() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let mut upload = Upload::begin(w, idle, ready);
    let first = upload.rekey();
    let second = upload.rekey();
    for epoch in [None, Some(&first.response), Some(&second.response)] {
        let mut w = World::new(Suite::X25519ChaCha20Poly1305);
        let (idle, ready) = w.opened();
        let mut upload = Upload::begin(w, idle, ready);
        upload.rekey();
        upload.rekey();
        let answer = whole(b"an answer");
        let concluded = upload
            .w
            .conclude(upload.answering, upload.begun.answer(answer.claim()));
        let outgoing = door_out(concluded.outgoing.unwrap());
        let mut wire = Vec::new();
        let sealed = match epoch {
            None => answer.seal(outgoing, &mut wire),
            Some(epoch) => outgoing
                .in_epoch(again(epoch))
                .and_then(|outgoing| answer.seal(outgoing, &mut wire)),
        };
        match epoch {
            Some(epoch) if epoch.k() == 2 => assert_eq!(sealed, Ok(())),
            _ => {
                assert_eq!(sealed, Err(ContentError::Switch));
                assert!(wire.is_empty());
            }
        }
    }
}

/// A switch at the beginning that whoever holds the receipt's key made, or that another epoch's
/// keys do not fit, costs nothing: the genuine one is taken afterwards.
#[test]
fn g7_a_forged_beginning_leads_nowhere_and_the_genuine_one_is_taken() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let mut upload = Upload::begin(w, idle, ready);
    let first = upload.rekey();
    let epochs = upload.rekey();
    let answer = whole(b"an answer");
    let concluded = upload
        .w
        .conclude(upload.answering, upload.begun.answer(answer.claim()));
    let outgoing = door_out(concluded.outgoing.unwrap());
    let outgoing = outgoing.in_epoch(again(&epochs.response)).unwrap();
    let mut wire = Vec::new();
    answer.seal(outgoing, &mut wire).unwrap();
    let receipt = concluded.receipt.sign(&upload.w.producer);
    let Answered::Content(incoming) = upload.w.received(upload.waiting, &receipt).answer else {
        panic!("the receipt carries content");
    };
    let parts = segments(&wire);
    let (header, sealed) = parts[0];
    let mut altered = sealed.to_vec();
    altered[0] ^= 1;
    let error = incoming.switch(header, &altered).err();
    assert_eq!(error, Some(ContentError::Seal));
    let (data, content) = parts[1];
    assert!(incoming.switch(data, content).is_err());
    let switch = incoming.switch(header, sealed).unwrap();
    let error = incoming.after(&switch, &first.response).err();
    assert_eq!(error, Some(ContentError::Switch));
    let inner = incoming.after(&switch, &epochs.response).unwrap();
    // No second switch, and no content under the receipt's key.
    assert!(inner.switch(header, sealed).is_err());
    assert!(incoming.open(data, content).is_err());
    assert!(inner.open(data, content).is_ok());
}
