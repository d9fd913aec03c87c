//! Version 2: streams that re-key on their way, and who is found out by it.

use armour_protocol::v2::{
    body::Direction,
    checkpoint::{CheckpointClaim, Mark, SignedCheckpoint},
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
        Arrived, Begun, Epoch, Epochs, FirstContent, Incoming, Keyring, Pending, Read,
        StreamReader, StreamWriter, Unverified,
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
    /// What its receiver knows of the epochs that it goes on in.
    epochs: Keyring<S>,
    /// The receiver's last verified checkpoint.
    mark: Mark,
    last: Option<SignedCheckpoint>,
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
    fn read(&mut self, wire: &[u8]) -> Vec<u8> {
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
                Read::Switch(_) => panic!("its keys are there"),
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

    /// Both switch to another epoch; the checkpoint behind the switch is signed by this.
    fn switch(
        &mut self,
        (epoch, theirs): (&Epoch<S>, &Epoch<S>),
        peer: Mark,
        sign: impl FnOnce(CheckpointClaim) -> SignedCheckpoint,
    ) {
        self.epochs.add(again(theirs)).unwrap();
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let mut wire = Vec::new();
        writer.switch(&again(epoch), &mut wire).unwrap();
        assert_eq!(writer.room(), 0);
        let early = writer.push(b"before its checkpoint", &mut wire);
        assert_eq!(early, Err(ContentError::CheckpointDue));
        let due = writer.checkpoint(peer);
        let signed = sign(door_claim(&due));
        self.writer = due.seal(&proof(&signed), &mut wire).unwrap();
        assert!(self.read(&wire).is_empty());
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
        let epochs = Keyring::default();
        Self {
            w,
            waiting,
            answering,
            begun,
            up: Way {
                writer: Some(writer),
                reader: Some(reader.follow(epochs.clone())),
                epochs,
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
        assert_eq!(self.up.read(&wire), content);
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
        let (waiting, key) = (&mut self.waiting, &self.w.consumer);
        let both = (&epochs.request, &rekeyed.epochs.request);
        self.up.switch(both, Mark::NONE, |claim| {
            waiting.checkpoint(claim).unwrap().sign(key)
        });
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
        let epochs = Keyring::default();
        let down = Way {
            writer: Some(writer),
            reader: Some(reader.follow(epochs.clone())),
            epochs,
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
        self.up.read(&wire)
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
        self.down.read(&wire)
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
        self.switch_down(&theirs.response, &ours.response);
        self.switch_up(&ours.request, &theirs.request);
        ours
    }

    fn switch_up(&mut self, ours: &Epoch<Request>, theirs: &Epoch<Request>) {
        let (end, key) = (&mut self.ours, &self.w.consumer);
        self.up.switch((ours, theirs), self.down.mark, |claim| {
            end.checkpoint(claim).unwrap().sign(key)
        });
    }

    fn switch_down(&mut self, theirs: &Epoch<Response>, ours: &Epoch<Response>) {
        let (end, key) = (&mut self.theirs, &self.w.producer);
        self.down.switch((theirs, ours), self.up.mark, |claim| {
            end.checkpoint(claim).unwrap().sign(key)
        });
    }

    fn finish(self) -> (World, Idle, Ready) {
        let shown = |last: &SignedCheckpoint| last.to_bytes();
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
            keys.push(epochs.request.to_bytes()[182 - 32..].to_vec());
            keys.push(epochs.response.to_bytes()[182 - 32..].to_vec());
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
    assert_eq!(ready.judge_sub(&ticket), Ok(SubStanding::Elsewhere));
}

#[test]
fn only_streams_re_key() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (mut waiting, sent) = w.begin(idle, b"whole");
    let refused = waiting.rekey(&mut w.rng).err();
    assert_eq!(refused, Some(LaneError::NoStream));
    // Whoever signed it, it is no consumer that is alone: the ledger compares it.
    let other = Flow::new(Suite::X25519ChaCha20Poly1305).ask();
    let (mut answering, _) = w.accept(ready, &sent);
    let refused = answering.rekey(&other, Mark::NONE, &mut w.rng).err();
    let elsewhere = NotRekeyed::Stands(SubStanding::Elsewhere);
    assert_eq!(refused, Some(elsewhere));
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
    let (receipt, theirs) = owner.answer(&stolen);
    let ours = thief.ours.rekeyed(&receipt).unwrap();
    thief.switch_up(&ours.request, &theirs.request);
    owner.switch_down(&theirs.response, &ours.response);
    let next = thief.ask();
    let verified = thief.up.mark;
    let answered = owner.theirs.rekey(&next, verified, &mut owner.w.rng);
    assert!(answered.is_ok());
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
        let epochs = owner.ours.rekeyed(&theirs).unwrap();
        owner.switch_up(&epochs.request, &epochs.request);
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
        thief.down.epochs.add(guessed.response).unwrap();
        let (_, error) = switching.go_on().err().unwrap();
        assert_eq!(error, ContentError::Switch);

        owner.down.epochs.add(again(&ours.response)).unwrap();
        owner.down.read(&wire);
        owner.switch_up(&ours.request, &theirs.request);
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
    let ticket = owner.ask();
    let refused = owner.theirs.rekey(&ticket, thief.up.mark, &mut owner.w.rng);
    let foreign = NotRekeyed::Stands(SubStanding::ForeignCheckpoint);
    assert_eq!(refused.err(), Some(foreign.clone()));
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    thief.down(b"the thief's", false);
    owner.down.mark = thief.down.mark;
    let ticket = owner.ask();
    let refused = owner.theirs.rekey(&ticket, Mark::NONE, &mut owner.w.rng);
    assert_eq!(refused.err(), Some(foreign));
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
                flow.switch_up(&ours.request, &theirs.request);
                count += 1;
                assert_eq!(ours.request.k(), count);
            }
        };
        for event in events {
            match event {
                // It has said where its direction goes on in the next epoch.
                Event::Up if asked.is_some() || answered.is_some() => {
                    let none = CheckpointClaim::from_bytes(&[0; CheckpointClaim::LEN]).unwrap();
                    let held = flow.ours.checkpoint(none).err();
                    assert_eq!(held, Some(LaneError::Rekeying));
                }
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
                    flow.switch_down(&epochs.response, &epochs.response);
                    answered = Some((receipt, epochs));
                },
                Event::Take => take(&mut flow, &mut answered),
            }
        }
        if let Some(ticket) = asked.take() {
            let (receipt, epochs) = flow.answer(&ticket);
            flow.switch_down(&epochs.response, &epochs.response);
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

/// A thief of the consumer's whole state sits in the request's connection and goes on under the
/// key before: the producer has the consumer's word for where that epoch ended.
#[test]
fn g1_a_forger_does_not_go_on_in_an_epoch_that_is_over() {
    // The keys come before what he sends, or after it.
    for late in [false, true] {
        let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
        for flow in [&mut owner, &mut thief] {
            flow.up(b"the same", false);
        }
        let mut forged = Vec::new();
        let mut writer = thief.up.writer.take().unwrap();
        for _ in 0..2 {
            writer.push(b"forged", &mut forged).unwrap();
            let due = writer.checkpoint(Mark::NONE);
            let signed = thief.ours.checkpoint(due.claim()).unwrap();
            let signed = signed.sign(&thief.w.consumer);
            writer = due.seal(&proof(&signed), &mut forged).unwrap().unwrap();
        }
        let ticket = owner.ask();
        let (_, theirs) = owner.answer(&ticket);
        if !late {
            owner.up.epochs.add(again(&theirs.request)).unwrap();
        }
        let mut reader = owner.up.reader.take().unwrap();
        let mut outcome = None;
        for (at, (header, sealed)) in segments(&forged).into_iter().enumerate() {
            if at == 2 && late {
                owner.up.epochs.add(again(&theirs.request)).unwrap();
            }
            reader = match reader.read(header, sealed) {
                Ok(Read::Held(reader) | Read::Verified { reader, .. }) => reader,
                Err((reader, error)) => {
                    outcome = Some((at, error));
                    assert_eq!(error, ContentError::ForeignCheckpoint);
                    let evidence = reader.evidence().unwrap();
                    assert_eq!(evidence.unverified().mark().number(), 2);
                    break;
                }
                Ok(_) => panic!("nothing switches or ends"),
            };
        }
        let at = if late { 2 } else { 1 };
        assert_eq!(outcome, Some((at, ContentError::ForeignCheckpoint)));
    }
}

/// He ends the direction, with less than the consumer sent or with as much: neither ends the
/// exchange.
#[test]
fn g1_a_final_checkpoint_of_an_epoch_that_is_over_ends_nothing() {
    for content in [&b"forged"[..], b"the same"] {
        let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
        owner.up(b"the same", false);
        thief.up(content, true);
        owner.rekey();
        owner.down(b"", true);
        let last = thief.up.last.unwrap().to_bytes();
        let last = owner.theirs.read_checkpoint(&last).unwrap();
        let (theirs, error) = owner.theirs.finish(Some(&last)).err().unwrap();
        assert_eq!(error, LaneError::ForeignCheckpoint);
        owner.theirs = *theirs;
        owner.up(b"and the rest", true);
        owner.finish();
    }
    // One that came before the re-keying does.
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    flow.up(b"all of it", true);
    flow.rekey();
    flow.down(b"", true);
    flow.rekey();
    flow.finish();
}

/// Each direction shows itself in an epoch before the next one is agreed on.
#[test]
fn g1_no_re_keying_follows_before_the_checkpoint_behind_the_last_switch() {
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    let ticket = flow.ask();
    let (receipt, theirs) = flow.answer(&ticket);
    let ours = flow.ours.rekeyed(&receipt).unwrap();
    let early = flow.ours.rekey(flow.down.mark, &mut flow.w.rng).err();
    assert_eq!(early, Some(LaneError::Checkpoint));
    flow.switch_up(&ours.request, &theirs.request);
    let ticket = flow.ask();
    let early = flow.theirs.rekey(&ticket, flow.up.mark, &mut flow.w.rng);
    assert_eq!(early.err(), Some(LaneError::Checkpoint.into()));
    flow.switch_down(&theirs.response, &ours.response);
    flow.answer(&ticket);
}

/// A forger who lags behind his victim is found by the digest of what he signed.
#[test]
fn g3_a_mark_is_compared_with_the_checkpoint_of_its_number() {
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    thief.up(b"forged", false);
    thief.down(b"forged", false);
    for _ in 0..3 {
        owner.up(b"genuine", false);
        owner.down(b"genuine", false);
    }
    owner.up.mark = thief.up.mark;
    let ticket = owner.ask();
    let (receipt, _) = owner.answer(&ticket);
    let refused = owner.ours.rekeyed(&receipt).err();
    assert_eq!(refused, Some(HeadError::ForeignCheckpoint));

    let [mut owner, _] = copies(Suite::X25519ChaCha20Poly1305, 0);
    for _ in 0..3 {
        owner.down(b"genuine", false);
    }
    owner.down.mark = thief.down.mark;
    let ticket = owner.ask();
    let refused = owner.theirs.rekey(&ticket, owner.up.mark, &mut owner.w.rng);
    let foreign = NotRekeyed::Stands(SubStanding::ForeignCheckpoint);
    assert_eq!(refused.err(), Some(foreign));
}

/// The last checkpoint of a direction names what its sender verified of the other.
#[test]
fn g3_a_final_checkpoint_that_names_a_forged_one_is_an_alarm() {
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    thief.up(b"forged", false);
    for _ in 0..2 {
        owner.up(b"genuine", false);
    }
    owner.up.mark = thief.up.mark;
    owner.down(b"", true);
    owner.up(b"", true);
    let last = owner.down.last.unwrap().to_bytes();
    let last = owner.ours.read_checkpoint(&last).unwrap();
    let (_, error) = owner.ours.finish(Some(&last)).err().unwrap();
    assert_eq!(error, LaneError::ForeignCheckpoint);
}

/// Whoever holds a direction's key alone forges a switch: the reader goes back to before it.
#[test]
fn g7_a_forged_switch_is_gone_back_from() {
    let [mut owner, mut thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    let epochs = thief.rekey();
    let [_, thief] = copies(Suite::X25519ChaCha20Poly1305, 0);
    let mut writer = thief.down.writer.unwrap();
    let mut forged = Vec::new();
    writer.switch(&epochs.response, &mut forged).unwrap();
    let (header, sealed) = segments(&forged)[0];
    // Its keys are not there, or others, or it is too early.
    let reader = owner.down.reader.take().unwrap();
    let Ok(Read::Switch(switching)) = reader.read(header, sealed) else {
        panic!("its keys are not there");
    };
    owner.down.reader = Some(switching.back());
    assert_eq!(owner.down(b"genuine", false), b"genuine");
    let [mut owner, _] = copies(Suite::X25519ChaCha20Poly1305, 0);
    owner.down(b"genuine", false);
    let ticket = owner.ask();
    let (receipt, theirs) = owner.answer(&ticket);
    let ours = owner.ours.rekeyed(&receipt).unwrap();
    owner.down.epochs.add(again(&ours.response)).unwrap();
    let [early, _] = copies(Suite::X25519ChaCha20Poly1305, 0);
    let reader = early.down.reader.unwrap().follow(owner.down.epochs.clone());
    let Err((_, error)) = reader.read(header, sealed) else {
        panic!("it does not stand where the producer says");
    };
    assert_eq!(error, ContentError::Switch);
    owner.switch_down(&theirs.response, &ours.response);
    assert_eq!(owner.down(b"on", false), b"on");
}

/// The next ticket names receipt and sub-receipt: both can be shown until it is answered.
#[test]
fn g6_the_last_sub_receipt_can_be_shown_until_the_next_receipt() {
    let mut flow = Flow::new(Suite::X25519ChaCha20Poly1305);
    assert_eq!(flow.ours.taken(), None);
    flow.rekey();
    let ticket = flow.ask();
    let (receipt, theirs) = flow.answer(&ticket);
    let ours = flow.ours.rekeyed(&receipt).unwrap();
    assert_eq!(flow.ours.taken(), Some(&receipt.evidence()));
    flow.switch_down(&theirs.response, &ours.response);
    flow.switch_up(&ours.request, &theirs.request);
    flow.up(b"", true);
    flow.down(b"", true);
    let (mut w, idle, ready) = flow.finish();
    assert_eq!(idle.sub_receipt(), Some(&receipt.evidence()));
    assert_eq!(idle.judge_sub(&receipt), Ok(SubReceiptStanding::Repeat));
    let (waiting, sent) = w.begin(idle, b"next");
    assert_eq!(waiting.sub_receipt(), Some(&receipt.evidence()));
    let (answering, pending) = w.accept(ready, &sent);
    let (begun, _) = w.run(pending, &sent);
    let (_, replied) = w.reply(answering, begun, b"answer");
    let (idle, _) = w.take(waiting, &replied);
    assert_eq!(idle.sub_receipt(), None);
}

/// A sub-ticket beside the next exchange shows a copy: its signature is verified first.
#[test]
fn g5_a_sub_ticket_that_does_not_fit_is_verified_and_then_elsewhere() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (_, ready) = w.opened();
    let mut ready = ready;
    let ticket = Flow::new(Suite::X25519ChaCha20Poly1305).ask();
    assert_eq!(ready.judge_sub(&ticket), Ok(SubStanding::Elsewhere));
    let ended = w.producer_lanes.judge_sub(&ticket);
    assert_eq!(ended, Ok(SubStanding::Elsewhere));
    let mut bytes = ticket.to_bytes();
    let last = bytes.len() - 1;
    bytes[last - 20] ^= 1;
    let forged = SignedSubTicket::from_bytes(&bytes).unwrap();
    assert_eq!(ready.judge_sub(&forged), Err(HeadError::Signature));
    let ended = w.producer_lanes.judge_sub(&forged);
    assert_eq!(ended, Err(HeadError::Signature));
    let refused = ready.rekey(&forged, Mark::NONE, &mut w.rng).err();
    assert_eq!(refused, Some(HeadError::Signature.into()));
}
