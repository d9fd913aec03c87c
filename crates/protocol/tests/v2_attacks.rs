//! Version 2: attacks by name on one lane, each with the attacker's knowledge and nothing
//! more.

use std::sync::Arc;

use armour_protocol::v2::{
    body::Direction,
    checkpoint::{CheckpointClaim, Mark},
    content::{DigestKind, Padding},
    context::{Binding, Context},
    enclave::{
        consumer::{self, Answered, ReceiptStanding, Waiting},
        producer::{self, Accepted, NotAccepted, OpeningError, Standing},
    },
    error::{ContentError, HeadError},
    gate::Gate,
    message::{Request, Response, SignedReceipt, SignedTicket},
    mode::{Mode, Reason},
    proof::Proof,
    proxy::{
        Arrived, DueCheckpoint, FirstContent, Incoming, Look, Outgoing, Pending, Read,
        SEGMENT_HEADER_LEN, Screen, SegmentHeader,
    },
    schedule::BundleSecret,
    suite::Suite,
    transient::{Answer, SignedTransient},
};
use ed25519_dalek::SigningKey;

#[cfg(feature = "state-export")]
use armour_protocol::v2::message::Side;

use crate::v2_common::{
    BUDGET, LOG_HEAD, MAX_LANES, MINTED, Sent, World, binding, lane, one, proof, received,
    segments, whole,
};
use crate::v2_salamander;
#[cfg(feature = "state-export")]
use crate::v2_thief;

fn attacker() -> SigningKey {
    SigningKey::from_bytes(&[66; 32])
}

/// The same head with another proof.
fn with_proof(receipt: &SignedReceipt, proof: &[u8]) -> SignedReceipt {
    let mut bytes = receipt.to_bytes();
    bytes.truncate(bytes.len() - receipt.proof().to_bytes().len());
    bytes.extend_from_slice(proof);
    SignedReceipt::from_bytes(&bytes).unwrap()
}

/// Whoever knows the minted secret and answers at the producer's address gets nothing: the
/// lane does not open, and what is not open does not seal.
#[test]
fn p0_an_impostor_with_the_minted_secret_opens_no_lane() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let mut impostor = producer::Lanes::new(
            w.context.clone(),
            BundleSecret::from_bytes(MINTED),
            MAX_LANES,
        );
        let fresh = w.consumer_lanes.fresh().unwrap();
        let (opening, ticket) = fresh.open(LOG_HEAD, None, &mut w.rng).unwrap();
        let ticket = w.ticket(&ticket.sign(&w.consumer));
        // A perfect receipt with a share of its own, through a gate that it can pass: signed
        // by a key of its own, not signed, or with a proof of the producer's for another
        // lane's receipt.
        let (opened, _) = impostor.open(&ticket).unwrap();
        let (_, forged) = opened.answer(LOG_HEAD, w.clock(), &mut w.rng).unwrap();
        let forged = forged.sign(&attacker());
        let genuine_elsewhere = {
            let fresh = w.consumer_lanes.fresh().unwrap();
            let (_, ticket) = fresh.open(LOG_HEAD, None, &mut w.rng).unwrap();
            let ticket = ticket.sign(&w.consumer);
            let (opened, _) = w.producer_lanes.open(&ticket).unwrap();
            let (_, receipt) = opened.answer(LOG_HEAD, w.clock(), &mut w.rng).unwrap();
            receipt.sign(&w.producer).proof().to_bytes()
        };
        let mut unsigned = vec![0; 65];
        unsigned[0] = 1;
        let mut opening = Box::new(opening);
        for forged in [
            forged.clone(),
            with_proof(&forged, &unsigned),
            with_proof(&forged, &genuine_elsewhere),
        ] {
            let error;
            (opening, error) = opening
                .receive(&w.receipt(&forged), w.local())
                .err()
                .unwrap();
            assert_eq!(error, HeadError::Signature);
        }
        // The lane was not disturbed.
        let (opened, _) = w.producer_lanes.open(&ticket).unwrap();
        let (ready, receipt) = opened.answer(LOG_HEAD, w.clock(), &mut w.rng).unwrap();
        let receipt = w.receipt(&receipt.sign(&w.producer));
        let idle = opening.receive(&receipt, w.local());
        let idle = idle.map_err(|(_, error)| error).unwrap();
        w.exchange(idle, ready, b"only now", b"content");
    }
}

/// The same towards the producer: neither a lane nor a number is taken up.
#[test]
fn p0_an_impostor_consumer_opens_no_lane() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let mut impostor = consumer::Lanes::new(
            w.context.clone(),
            BundleSecret::from_bytes(MINTED),
            MAX_LANES,
        );
        let fresh = impostor.fresh().unwrap();
        let (_, forged) = fresh.open(LOG_HEAD, None, &mut w.rng).unwrap();
        let forged = forged.sign(&attacker());
        let refused = w.producer_lanes.open(&w.ticket(&forged)).err();
        assert_eq!(
            refused,
            Some(OpeningError::Ticket(HeadError::Signature.into()))
        );
        let signed = w.producer_lanes.put_off(&forged, Reason::BUSY, 1).err();
        assert_eq!(
            signed,
            Some(OpeningError::Ticket(HeadError::Signature.into()))
        );
        w.opened();
    }
}

/// Who has an open lane's minted secret, and either root besides, cannot take the place of
/// its producer: the signature is verified before the share is used.
#[test]
fn p0_an_impostor_cannot_take_over_an_open_lane() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"secret");
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let content = whole(b"forged");
    let concluded = w.conclude(answering, begun.answer(content.claim()));
    // The producer's whole state, but for its incarnation key.
    let forged = concluded.receipt.sign(&attacker());
    let (_, error) = waiting
        .receive(&w.receipt(&forged), w.local())
        .err()
        .unwrap();
    assert_eq!(error, HeadError::Signature);
}

/// The passive thief of a whole idle consumer: both roots, the transcript, the producer's
/// share. It goes on listening to everything, in both directions.
#[cfg(feature = "state-export")]
#[test]
fn stolen_state_a_passive_thief_reads_nothing_that_follows() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let (mut idle, mut ready) = w.exchange(idle, ready, b"before", b"and after");
        let stolen = v2_thief::Stolen::of_consumer(&idle.steal());
        let mut thief = Listener::new(&stolen);
        for round in 0..3 {
            let drawn = w.rng.drawn.len();
            let (waiting, sent) = w.begin(idle, b"secret");
            let head = v2_thief::Head::of_ticket(&sent.ticket);
            let Ok(Accepted::Call(answering, incoming)) = ready.accept(&w.ticket(&sent.ticket))
            else {
                panic!("it is a call");
            };
            if round == 0 {
                // What the thief computes is right: with the private ephemeral, which was
                // drawn after the content's blinding, it would have the key.
                let drawn = &mut v2_thief::Replay(&w.rng.drawn[drawn + 32..]);
                let (share, agreed) = v2_thief::answer(suite, &stolen.peer, drawn);
                assert_eq!(share, head.share());
                let transcript = head.absorbed(&stolen.transcript);
                let step = v2_thief::step(&stolen.consumer_root, &agreed, &transcript);
                assert_eq!(step.commitment, head.commitment());
                assert!(opens_request(&w, &incoming, &step.key, &sent.body));
            }
            thief.hears(&head, |key| opens_request(&w, &incoming, key, &sent.body));
            let pending = Pending::new(w.context.clone(), incoming);
            let (begun, _) = w.run(pending, &sent);
            let replied;
            (ready, replied) = w.reply(answering, begun, b"and its answer");
            let received = w.received(waiting, &replied.receipt);
            let Answered::Content(incoming) = received.answer else {
                panic!("it has content");
            };
            let head = v2_thief::Head::of_receipt(&replied.receipt);
            thief.hears(&head, |key| opens_response(&incoming, key, &replied.body));
            idle = lane(received.lane);
        }
    }
}

/// A thief that follows a lane: what it can try grows with each head.
#[cfg(feature = "state-export")]
struct Listener {
    roots: Vec<[u8; 32]>,
    transcript: [u8; 32],
    /// What it may take for an agreed secret.
    secrets: Vec<Vec<u8>>,
}

#[cfg(feature = "state-export")]
impl Listener {
    fn new(stolen: &v2_thief::Stolen) -> Self {
        let peer = &stolen.peer;
        Self {
            roots: vec![stolen.consumer_root, stolen.producer_root],
            transcript: stolen.transcript,
            secrets: vec![
                Vec::new(),
                vec![0; 32],
                vec![0; 64],
                peer.clone(),
                peer[..32].to_vec(),
            ],
        }
    }

    /// Tries all that it has on one more message.
    fn hears(&mut self, head: &v2_thief::Head, opens: impl Fn(&[u8; 32]) -> bool) {
        self.transcript = head.absorbed(&self.transcript);
        self.secrets
            .extend([head.share().to_vec(), head.share()[..32].to_vec()]);
        let mut derived = Vec::new();
        for root in &self.roots {
            assert!(!opens(root));
            assert!(!opens(&v2_thief::expand(root, b"armour/2 key")));
            for secret in &self.secrets {
                let step = v2_thief::step(root, secret, &self.transcript);
                assert_ne!(step.commitment, head.commitment());
                assert!(!opens(&step.key));
                derived.push(step.root);
            }
        }
        // Of what leads on, some: all of it would grow with the power of its messages.
        derived.truncate(4);
        self.roots.extend(derived);
    }
}

/// Whether a request's first segment opens under a key.
#[cfg(feature = "state-export")]
fn opens_request(w: &World, incoming: &Incoming<Request>, key: &[u8; 32], body: &[u8]) -> bool {
    let pending = Pending::new(w.context.clone(), with_key(incoming, key));
    let (header, sealed) = one(body);
    match pending.receive(header, sealed) {
        Ok(_) => true,
        Err((_, error)) => {
            assert_eq!(error, ContentError::Seal);
            false
        }
    }
}

/// Whether a response's first segment opens under a key.
#[cfg(feature = "state-export")]
fn opens_response(incoming: &Incoming<Response>, key: &[u8; 32], body: &[u8]) -> bool {
    let (header, sealed) = one(body);
    with_key(incoming, key).open(header, sealed).is_ok()
}

/// What the enclave would hand out if a message's key were this one.
#[cfg(feature = "state-export")]
fn with_key<S: Side>(incoming: &Incoming<S>, key: &[u8; 32]) -> Incoming<S> {
    let mut bytes = incoming.to_bytes();
    let end = bytes.len() - 8;
    bytes[end - 32..end].copy_from_slice(key);
    Incoming::from_bytes(&bytes).unwrap()
}

/// The active thief of one sender's root, and of all else that an idle lane holds. What it lacks
/// is the incarnation's key, which is not in the lane.
#[cfg(feature = "state-export")]
#[test]
fn stolen_root_of_either_sender_lets_nobody_send() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let (idle, ready) = w.exchange(idle, ready, b"before", b"and after");
        let state = idle.steal();
        // The consumer's root: a perfect ticket, but for its signature.
        let forge = |w: &mut World| {
            let copy = consumer::Idle::from_stolen(w.context.clone(), &state).unwrap();
            let claim = whole(b"forged").claim();
            copy.begin(claim, w.local(), BUDGET, &mut w.rng).unwrap().1
        };
        let forged = forge(&mut w).sign(&attacker());
        let (ready, error) = ready.accept(&w.ticket(&forged)).err().unwrap();
        assert_eq!(error, NotAccepted::Invalid(HeadError::Signature));
        let perfect = forge(&mut w).sign(&w.consumer);
        assert_eq!(ready.judge(&perfect), Ok(Standing::Next));
        // The producer's root, of which the consumer's end has a copy: re-keyed with a share
        // of the thief's, it gives a receipt that is perfect but for its signature as well.
        let (waiting, sent) = w.begin(idle, b"request");
        let (answering, undecided) = w.accept(*ready, &sent);
        let (begun, _) = w.run(undecided, &sent);
        let (_, genuine) = w.reply(answering, begun, b"genuine");
        let stolen = v2_thief::Stolen::of_consumer(&state);
        let ticket = v2_thief::Head::of_ticket(&sent.ticket);
        let (share, agreed) = v2_thief::answer(suite, ticket.answerable(), &mut w.rng);
        let head = v2_thief::Head::of_receipt(&genuine.receipt).with_share(&share);
        let transcript = head.absorbed(&ticket.absorbed(&stolen.transcript));
        let step = v2_thief::step(&stolen.producer_root, &agreed, &transcript);
        let head = head.with_commitment(&step.commitment);
        let signed = |key: &SigningKey| {
            let bytes = head.sign(w.context.hash(), b"armour/2 receipt", key);
            SignedReceipt::from_bytes(&bytes).unwrap()
        };
        let mut waiting = Box::new(waiting);
        let forged = signed(&attacker());
        for forged in [
            forged.clone(),
            with_proof(&forged, &genuine.receipt.proof().to_bytes()),
        ] {
            let error;
            (waiting, error) = waiting
                .receive(&w.receipt(&forged), w.local())
                .err()
                .unwrap();
            assert_eq!(error, HeadError::Signature);
        }
        let Answered::Content(incoming) = w.received(*waiting, &signed(&w.producer)).answer else {
            panic!("it has content");
        };
        let bytes = incoming.to_bytes();
        assert_eq!(bytes[bytes.len() - 40..bytes.len() - 8], step.key);
    }
}

/// ChaCha20-Poly1305 is not key-committing: one ciphertext can open under two keys. A head
/// commits to its key, so that a message of Armour's opens under one; and to its content.
#[test]
fn key_commitment_an_invisible_salamander_is_refused() {
    for suite in Suite::ALL {
        // One bundle, whose ends were given two secrets: a malicious control plane wants both
        // producers to take one message, and to read different things in it.
        let (mut one_end, mut two) = (World::new(suite), World::new(suite));
        let other = || BundleSecret::from_bytes([8; 32]);
        two.consumer_lanes = consumer::Lanes::new(two.context.clone(), other(), MAX_LANES);
        two.producer_lanes = producer::Lanes::new(two.context.clone(), other(), MAX_LANES);
        two.gate = two.consumer_lanes.gate();
        let [first, second] = [&mut one_end, &mut two].map(|w| {
            let fresh = w.consumer_lanes.fresh().unwrap();
            let (_, ticket) = fresh.open(LOG_HEAD, None, &mut w.rng).unwrap();
            ticket.sign(&w.consumer)
        });
        // Nothing but the commitment tells the two heads apart, and that is enough.
        let end = first.to_bytes().len() - first.proof().to_bytes().len();
        let [ours, theirs] = [&first, &second].map(|ticket| ticket.to_bytes()[..end].to_vec());
        assert_eq!(ours[..end - 32], theirs[..end - 32]);
        assert_ne!(ours[end - 32..], theirs[end - 32..]);
        let refused = Some(OpeningError::Ticket(HeadError::KeyCommitment.into()));
        assert_eq!(two.producer_lanes.open(&first).err(), refused);
        assert_eq!(one_end.producer_lanes.open(&second).err(), refused);
        assert!(one_end.producer_lanes.open(&first).is_ok());
        assert!(two.producer_lanes.open(&second).is_ok());
    }
    for suite in [
        Suite::X25519ChaCha20Poly1305,
        Suite::X25519MlKem768ChaCha20Poly1305,
    ] {
        // A malicious consumer: under a head that it signed itself it sends what also opens
        // under another key.
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let content = whole(b"what was committed to");
        let (_, ticket, outgoing) = idle
            .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let key: [u8; 32] = {
            let bytes = outgoing.to_bytes();
            bytes[bytes.len() - 64..bytes.len() - 32]
                .try_into()
                .unwrap()
        };
        let ticket = ticket.sign(&w.consumer);
        let length = [1, 0, 0, v2_salamander::LEN as u8];
        let ad = [&ticket.unverified().body().hash().0[..], &length].concat();
        // The attack works on the bare cipher.
        let (keys, nonce) = ([key, [8; 32]], [0; 12]);
        let sealed = v2_salamander::find(keys, &nonce, &ad);
        let opened = keys.map(|key| v2_salamander::open(&key, &nonce, &ad, &sealed).unwrap());
        assert_ne!(opened[0], opened[1]);
        // Here it opens, and is nothing that the head has committed to.
        let mut body = Vec::new();
        content.seal(outgoing, &mut body).unwrap();
        let sent = Sent { ticket, body };
        let (_, pending) = w.accept(ready, &sent);
        let header = SegmentHeader::from_bytes(length).unwrap();
        let (pending, error) = pending.receive(header, &sealed).err().unwrap();
        assert!(matches!(
            error,
            ContentError::Commitment | ContentError::Malformed
        ));
        assert_eq!(w.run(*pending, &sent).1, b"what was committed to");
    }
}

/// What the AEAD key's holder can make: any content, sealed under the genuine head.
fn forge(outgoing: &Outgoing<Request>, content: &[u8]) -> Vec<u8> {
    let content = whole(content);
    let bytes = outgoing.to_bytes();
    let blinding = bytes[bytes.len() - 32..].try_into().unwrap();
    let commitment = commitment_of(content.claim().to_bytes(), &blinding);
    let mut forged = bytes.to_vec();
    forged[111..143].copy_from_slice(&commitment);
    let mut out = Vec::new();
    let forged = Outgoing::<Request>::from_bytes(&forged).unwrap();
    content.seal(forged, &mut out).unwrap();
    out
}

/// The commitment as the specification has it, made anew.
fn commitment_of(claim: [u8; 43], blinding: &[u8; 32]) -> [u8; 32] {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(blinding).unwrap();
    let label = b"armour/2 content request";
    let (mode, rest) = claim.split_at(1);
    let (kind, rest) = rest.split_at(1);
    let (padding, rest) = rest.split_at(1);
    let (length, digest) = rest.split_at(8);
    for field in [&label[..], mode, kind, padding, length, digest] {
        mac.update(&(field.len() as u32).to_be_bytes());
        mac.update(field);
    }
    mac.finalize().into_bytes().into()
}

/// The holder of the request's AEAD key, on the path: no byte of what it sends reaches the
/// API, and the genuine request still does.
#[test]
fn p1_a_request_forged_with_its_key_is_never_begun() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let content = whole(b"GET /harmless");
        let (_, ticket, outgoing) = idle
            .begin(content.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let forged = forge(&outgoing, b"DELETE /everything");
        let mut body = Vec::new();
        content.seal(outgoing, &mut body).unwrap();
        let ticket = ticket.sign(&w.consumer);
        let sent = Sent { ticket, body };
        let (_, undecided) = w.accept(ready, &sent);
        let (header, sealed) = one(&forged);
        // It opens, and is not what was committed to.
        let (undecided, error) = undecided.receive(header, sealed).err().unwrap();
        assert_eq!(error, ContentError::Commitment);
        assert_eq!(w.run(*undecided, &sent).1, b"GET /harmless");
    }
}

/// The same with the response's key, towards the caller.
#[test]
fn p1_a_forged_response_is_not_handed_on() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"request");
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let (genuine, other) = (whole(b"balance: 12"), whole(b"balance: 99"));
    let concluded = w.conclude(answering, begun.answer(genuine.claim()));
    let outgoing = concluded.outgoing.unwrap();
    // Its own claim under this head: the sealing itself refuses.
    let copy = Outgoing::<Response>::from_bytes(&outgoing.to_bytes()).unwrap();
    let refused = other.seal(copy, &mut Vec::new());
    assert_eq!(refused, Err(ContentError::Commitment));
    // And with the check left out. Response labels differ, so any commitment will do.
    let mut bytes = outgoing.to_bytes().to_vec();
    let other = whole(b"balance: 99");
    bytes[0] = 0;
    let blinding: [u8; 32] = bytes[bytes.len() - 32..].try_into().unwrap();
    bytes[111..143].copy_from_slice(&commitment_of(other.claim().to_bytes(), &blinding));
    let mut forged = Vec::new();
    let copy = Outgoing::<Request>::from_bytes(&bytes).unwrap();
    other.seal(copy, &mut forged).unwrap();
    let receipt = concluded.receipt.sign(&w.producer);
    let received = w.received(waiting, &receipt);
    let Answered::Content(incoming) = received.answer else {
        panic!("it has content");
    };
    let (header, sealed) = one(&forged);
    let response = incoming.open(header, sealed).unwrap();
    assert_eq!(
        response.verify(&w.context).err(),
        Some(ContentError::Commitment)
    );
    // The genuine one can still be had.
    let mut body = Vec::new();
    genuine.seal(outgoing, &mut body).unwrap();
    let (header, sealed) = one(&body);
    let response = incoming.open(header, sealed).unwrap();
    assert!(matches!(
        response.verify(&w.context),
        Ok(Arrived::Whole(content)) if content.content() == b"balance: 12"
    ));
}

/// A genuine head, then content under the stream's key from somebody else: with a signature
/// of its own, with an old one, and with none.
#[test]
fn p1_unsigned_stream_content_is_not_handed_on() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let first = FirstContent::new(b"POST /", DigestKind::Sha256, Padding::None).unwrap();
        let (mut waiting, ticket, outgoing) = idle
            .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
            .unwrap();
        let ticket = w.ticket(&ticket.sign(&w.consumer));
        let Ok(Accepted::Call(_, incoming)) = ready.accept(&ticket) else {
            panic!("it is a call");
        };
        let (genuine, claim) = stream(&outgoing, b"{\"amount\": 1}");
        let signed = waiting.checkpoint(claim).unwrap().sign(&w.consumer);
        let wire = genuine.seal(&proof(&signed));
        assert_eq!(
            read(&w, &incoming, &wire),
            (b"{\"amount\": 1}".to_vec(), None)
        );
        // The same lane of another world signs with the attacker's key.
        let own = {
            let mut twin = World::new(suite);
            let (idle, _) = twin.opened();
            let first = FirstContent::new(b"POST /", DigestKind::Sha256, Padding::None).unwrap();
            let (mut lane, _, _) = idle
                .begin(first.claim(), twin.local(), BUDGET, &mut twin.rng)
                .unwrap();
            let (_, claim) = stream(&outgoing, b"{\"amount\": 1000000}");
            lane.checkpoint(claim).unwrap().sign(&attacker())
        };
        for forged in [&own, &signed] {
            let (content, _) = stream(&outgoing, b"{\"amount\": 1000000}");
            let wire = content.seal(&proof(forged));
            let refused = (Vec::new(), Some(ContentError::Signature));
            assert_eq!(read(&w, &incoming, &wire), refused);
            // Without any checkpoint nothing comes out either.
            let last = segments(&wire).pop().unwrap().0.len + SEGMENT_HEADER_LEN;
            let cut = &wire[..wire.len() - last];
            assert_eq!(read(&w, &incoming, cut), (Vec::new(), None));
        }
    }
}

/// A stream that lacks its last checkpoint's proof.
struct Unproven {
    wire: Vec<u8>,
    due: DueCheckpoint<Request>,
}

impl Unproven {
    fn seal(self, proof: &Proof) -> Vec<u8> {
        let mut wire = self.wire;
        self.due.seal(proof, &mut wire).unwrap();
        wire
    }
}

/// What the AEAD key's holder can make of a stream.
fn stream(outgoing: &Outgoing<Request>, content: &[u8]) -> (Unproven, CheckpointClaim) {
    let first = FirstContent::new(b"POST /", DigestKind::Sha256, Padding::None).unwrap();
    let copy = Outgoing::from_bytes(&outgoing.to_bytes()).unwrap();
    let mut wire = Vec::new();
    let mut writer = first.seal(copy, &mut wire).unwrap();
    writer.push(content, &mut wire).unwrap();
    let due = writer.finish(Mark::NONE);
    let claim = due.claim();
    (Unproven { wire, due }, claim)
}

/// What of a stream, after its first segment, reaches the API.
fn read(w: &World, incoming: &Incoming<Request>, wire: &[u8]) -> (Vec<u8>, Option<ContentError>) {
    let incoming = Incoming::from_bytes(&incoming.to_bytes()).unwrap();
    let pending = Pending::new(w.context.clone(), incoming);
    let parts = segments(wire);
    let Ok((_, Arrived::Stream(_, mut reader))) = received(pending, wire).begin(w.clock()) else {
        panic!("it is a stream");
    };
    let mut out = Vec::new();
    for (header, sealed) in &parts[1..] {
        reader = match reader.read(*header, sealed) {
            Ok(Read::Switch(_)) => panic!("nothing was re-keyed"),
            Ok(Read::Held(reader)) => reader,
            Ok(Read::Verified {
                content, reader, ..
            }) => {
                out.extend_from_slice(content.content());
                reader
            }
            Ok(Read::Final { content, .. }) => {
                out.extend_from_slice(content.content());
                return (out, None);
            }
            Err((_, error)) => return (out, Some(error)),
        };
    }
    (out, None)
}

/// A refusal that the producer did not sign is a transport error: nothing ends by it.
#[test]
fn p3_an_unsigned_refusal_is_no_word_of_the_producers() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"request");
    // A plain 410, and anything else that is not a head.
    assert_eq!(
        Answer::from_bytes(b"{\"type\":\"bundle-unknown\"}").err(),
        Some(HeadError::Version)
    );
    // A transient refusal and a final one by somebody else.
    let ticket = w.ticket(&sent.ticket);
    let transient = ready.put_off(&ticket, Reason::STOPPING, 50).unwrap();
    let forged = transient.sign(&attacker());
    assert_eq!(waiting.put_off(&forged).err(), Some(HeadError::Signature));
    let genuine = ready.put_off(&ticket, Reason::STOPPING, 50).unwrap();
    let genuine = SignedTransient::from_bytes(&genuine.sign(&w.producer).to_bytes()).unwrap();
    let said = waiting.put_off(&genuine).unwrap();
    assert_eq!((said.reason(), said.after()), (Reason::STOPPING, 50));
    let (answering, undecided) = w.accept(ready, &sent);
    let refused = undecided.refuse(Reason::POLICY);
    let concluded = w.conclude(answering, refused.conclude());
    let mut stranger = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = stranger.opened();
    let (_, other) = stranger.begin(idle, b"request");
    let (answering, undecided) = stranger.accept(ready, &other);
    let forged = stranger.conclude(answering, undecided.refuse(Reason::POLICY).conclude());
    let forged = forged.receipt.sign(&attacker());
    let (waiting, error) = waiting.receive(&forged, w.local()).err().unwrap();
    assert_eq!(error, HeadError::Signature);
    let received = w.received(*waiting, &concluded.receipt.sign(&w.producer));
    assert!(matches!(received.answer, Answered::Refused(Reason::POLICY)));
}

/// A transient refusal is of one ticket: kept, it stops no other.
#[test]
fn p3_a_transient_refusal_is_of_its_own_ticket() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"one");
    let old = ready
        .put_off(&w.ticket(&sent.ticket), Reason::BUSY, 1)
        .unwrap()
        .sign(&w.producer);
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let (ready, replied) = w.reply(answering, begun, b"done");
    let (idle, _) = w.take(waiting, &replied);
    let (waiting, next) = w.begin(idle, b"two");
    assert_eq!(waiting.put_off(&old).err(), Some(HeadError::Unexpected));
    // Nor does the producer sign one for a ticket that it has answered.
    let asked = ready
        .put_off(&w.ticket(&sent.ticket), Reason::BUSY, 1)
        .err();
    assert_eq!(asked, Some(NotAccepted::Stands(Standing::Repeat)));
    assert!(
        ready
            .put_off(&w.ticket(&next.ticket), Reason::BUSY, 1)
            .is_ok()
    );
}

/// Strangers are stopped before the enclave hears of them, and so is what was seen.
#[test]
fn p4_garbage_and_old_tickets_do_not_reach_the_enclave() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, old) = w.begin(idle, b"one");
    let head = old.ticket.to_bytes();
    let frame = Gate::from_bytes([9; 32]).frame(Direction::Request, &head);
    let refused = w.gate.check(Direction::Request, &frame[2..]);
    assert_eq!(refused.err(), Some(HeadError::Gate));
    let mut screen = Screen::default();
    let body = old.ticket.unverified().body();
    assert_eq!(screen.look(&body), Look::Ask);
    let (answering, undecided) = w.accept(ready, &old);
    screen.accepted(&body);
    assert_eq!(screen.look(&body), Look::Repeat);
    let (begun, _) = w.run(undecided, &old);
    let (_, replied) = w.reply(answering, begun, b"done");
    let (idle, _) = w.take(waiting, &replied);
    let (_, next) = w.begin(idle, b"two");
    screen.accepted(&next.ticket.unverified().body());
    assert_eq!(screen.look(&body), Look::Older);
}

/// A ticket that arrives after its time is concluded, and never begun: neither then nor by
/// its replays, nor by the delayed ticket that follows.
#[test]
fn p5_a_late_ticket_is_refused_and_never_begun() {
    for suite in Suite::ALL {
        let mut w = World::new(suite);
        let (idle, ready) = w.opened();
        let (waiting, sent) = w.begin(idle, b"POST /once");
        w.now += u64::from(BUDGET) + 1;
        let (answering, undecided) = w.accept(ready, &sent);
        assert!(undecided.is_late(w.clock()));
        let Err(refused) = received(undecided, &sent.body).begin(w.clock()) else {
            panic!("a late call has begun");
        };
        let concluded = w.conclude(answering, refused.conclude());
        let (ready, receipt) = (lane(concluded.lane), concluded.receipt.sign(&w.producer));
        // Replayed and delayed copies: the same answer, from the cache.
        for _ in 0..3 {
            let ticket = w.ticket(&sent.ticket);
            assert_eq!(ready.judge(&ticket), Ok(Standing::Repeat));
        }
        let (ready, error) = ready.accept(&w.ticket(&sent.ticket)).err().unwrap();
        assert_eq!(error, NotAccepted::Stands(Standing::Repeat));
        let received = w.received(waiting, &receipt);
        assert!(matches!(received.answer, Answered::Refused(Reason::LATE)));
        // The caller may try again, on the same lane.
        let (_, again) = w.begin(lane(received.lane), b"POST /once");
        let (_, undecided) = w.accept(*ready, &again);
        w.run(undecided, &again);
    }
}

/// A network that holds everything back cannot make a call begin late, however often it
/// held back what told the consumer the time.
#[test]
fn p5_delays_only_make_deadlines_earlier() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"one");
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let (ready, replied) = w.reply(answering, begun, b"done");
    // The receipt is held for a minute; its clock is a minute old when it arrives.
    w.now += 60_000;
    let (idle, _) = w.take(waiting, &replied);
    let (waiting, sent) = w.begin(idle, b"two");
    assert!(!waiting.is_past(w.local()));
    let (_, undecided) = w.accept(ready, &sent);
    assert!(undecided.is_late(w.clock()));
    w.now += u64::from(BUDGET) + 3;
    assert!(waiting.is_past(w.local()));
}

/// A replayed or reflected message is none of the lane's.
#[test]
fn replay_and_reflection_change_nothing() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (mut idle, mut ready) = w.opened();
    let (mut tickets, mut receipts): (Vec<SignedTicket>, Vec<SignedReceipt>) = Default::default();
    for _ in 0..4 {
        let (waiting, sent) = w.begin(idle, b"request");
        assert!(SignedReceipt::from_bytes(&sent.ticket.to_bytes()).is_err());
        for old in &tickets {
            let standing = ready.judge(old).unwrap();
            assert!(matches!(
                standing,
                Standing::Repeat | Standing::Elsewhere { .. }
            ));
        }
        let mut waiting = Box::new(waiting);
        for old in &receipts {
            let error;
            (waiting, error) = waiting.receive(old, w.local()).err().unwrap();
            assert_eq!(error, HeadError::Unexpected);
        }
        let (answering, undecided) = w.accept(ready, &sent);
        assert_eq!(answering.judge(&sent.ticket), Ok(Standing::Repeat));
        let (begun, _) = w.run(undecided, &sent);
        let replied;
        (ready, replied) = w.reply(answering, begun, b"response");
        assert!(SignedTicket::from_bytes(&replied.receipt.to_bytes()).is_err());
        (idle, _) = w.take(*waiting, &replied);
        for old in &receipts {
            assert_eq!(idle.judge(old), Ok(ReceiptStanding::Elsewhere));
        }
        assert_eq!(idle.judge(&replied.receipt), Ok(ReceiptStanding::Repeat));
        tickets.push(sent.ticket);
        receipts.push(replied.receipt);
    }
}

/// Messages of another bundle, lane, pair or suite, with the same keys and secret.
#[test]
fn splicing_and_downgrade_are_refused() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (_, sent) = w.begin(idle, b"request");
    let changes: [fn(&mut Binding); 5] = [
        |b| b.pair[0] ^= 1,
        |b| b.draw += 1,
        |b| b.policy[0] ^= 1,
        |b| b.suite = Suite::X25519Aes256Gcm,
        |b| b.producer.party[0] ^= 1,
    ];
    for change in changes {
        let mut other = binding(Suite::X25519ChaCha20Poly1305);
        change(&mut other);
        let context = Arc::new(Context::new(other));
        let secret = BundleSecret::from_bytes(MINTED);
        let mut lanes = producer::Lanes::new(context, secret, MAX_LANES);
        assert_ne!(lanes.gate().as_bytes(), w.gate.as_bytes());
        let mut sender = World::new(Suite::X25519ChaCha20Poly1305);
        let fresh = sender.consumer_lanes.fresh().unwrap();
        let (_, ticket) = fresh.open(LOG_HEAD, None, &mut w.rng).unwrap();
        let OpeningError::Ticket(NotAccepted::Invalid(refused)) =
            lanes.open(&ticket.sign(&w.consumer)).err().unwrap()
        else {
            panic!("its number is free");
        };
        assert!(matches!(refused, HeadError::Signature | HeadError::Suite));
    }
    // Another lane's ticket.
    let mut other = World::new(Suite::X25519ChaCha20Poly1305);
    let _ = other.opened();
    let (elsewhere, _) = other.opened();
    let (_, foreign) = other.begin(elsewhere, b"request");
    assert_eq!(ready.judge(&foreign.ticket), Err(HeadError::Address));
    assert_eq!(ready.judge(&sent.ticket), Ok(Standing::Next));
}

/// A consumer that stole nothing but wants its call run under another mode, or a producer
/// that answers a call as if it had carried nothing.
#[test]
fn a_receipt_must_fit_its_ticket() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (waiting, sent) = w.begin(idle, b"request");
    // The same lane at the producer, told of a ticket without content in its place.
    let mut twin = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, other) = twin.opened();
    let (_, ticket) = idle.refresh(twin.local(), &mut twin.rng).unwrap();
    let ticket = ticket.sign(&twin.consumer);
    let Ok(Accepted::Bare(bare)) = other.accept(&ticket) else {
        panic!("it carries no content");
    };
    let (_, receipt) = bare.answer(w.clock(), &mut twin.rng).unwrap();
    let receipt = receipt.sign(&w.producer);
    let (waiting, error) = waiting.receive(&receipt, w.local()).err().unwrap();
    assert_eq!(error, HeadError::Unexpected, "it names another ticket");
    let (answering, undecided) = w.accept(ready, &sent);
    let (begun, _) = w.run(undecided, &sent);
    let (_, replied) = w.reply(answering, begun, b"done");
    assert_eq!(replied.receipt.unverified().mode(), Mode::Whole);
    w.take(*waiting, &replied);
}

/// Content, its random bytes and the signed head convince a third party, and no other
/// content does.
#[test]
fn a_disclosed_message_is_evidence() {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let (_, sent): (Waiting, Sent) = w.begin(idle, b"I owe you 5");
    let (_, undecided) = w.accept(ready, &sent);
    let Ok((_, Arrived::Whole(content))) = received(undecided, &sent.body).begin(w.clock()) else {
        panic!("it is whole");
    };
    let disclosed = content.disclosure().unwrap();
    let head = sent.ticket.unverified();
    assert_eq!(sent.ticket.evidence().verify(&w.context), Ok(()));
    assert!(head.commits_to(content.content(), disclosed));
    assert!(!head.commits_to(b"I owe you 6", disclosed));
}
