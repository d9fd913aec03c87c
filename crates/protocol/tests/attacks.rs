//! Attacks by name on one lane, each with the attacker's knowledge and nothing more.
//! `docs/security.md` names each test; those on whole systems are in `tests/e2e`.

use std::sync::Arc;

use armour_protocol::{
    Error, Suite,
    bundle::{BundleContext, BundleSecret},
    consumer::{IdleLane, WaitingLane},
    ledger::{Verdict, judge, vouched},
    message::{RequestHead, ResponseHead, sign_payload},
    producer::{ReadyLane, Standing},
    schedule::{MessageKey, Root, Transcript},
    segment::{HEADER_LEN, Header, Sealer},
    ticket::SignedTicket,
};
use ed25519_dalek::SigningKey;

use crate::common::{World, accept, open, receive, seal};

const SUITES: [Suite; 2] = [Suite::X25519, Suite::X25519MlKem768];

/// A request sealed on a lane, as it crosses the network.
struct Sent {
    head: RequestHead,
    body: Vec<u8>,
    transcript: Transcript,
}

fn send(w: &mut World, lane: IdleLane, pieces: &[&[u8]]) -> (WaitingLane, Sent) {
    let (waiting, keyed) = w.begin(lane);
    let ad = keyed.head.associated_data();
    let body = seal(&keyed.key, &ad, &keyed.transcript, &w.consumer, pieces);
    let sent = Sent {
        head: keyed.head,
        body,
        transcript: keyed.transcript,
    };
    (waiting, sent)
}

/// An open lane after one exchange.
fn opened(w: &mut World, lane: u32) -> (IdleLane, ReadyLane) {
    let (idle, ready) = w.lane(lane);
    w.exchange(idle, ready)
}

/// The passive thief of a whole idle consumer: both roots, the transcript, the
/// producer's share, the signing key. It goes on listening to everything.
#[test]
fn stolen_state_a_passive_thief_reads_nothing_that_follows() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (mut idle, mut ready) = opened(&mut w, 0);
        let stolen = idle.steal();
        let signer = w.consumer.verifying_key();
        let mut roots = vec![stolen.consumer_root, stolen.producer_root];
        for _ in 0..3 {
            let (waiting, sent) = send(&mut w, idle, &[b"secret"]);
            let ad = sent.head.associated_data();
            // Whatever it can derive without a private ephemeral.
            let mut secrets = vec![Vec::new(), vec![0; 32], sent.head.share.clone()];
            secrets.extend(stolen.peer.clone());
            let mut derived = Vec::new();
            for root in &roots {
                for secret in &secrets {
                    let step = Root::from_bytes(*root).rekey(secret, &sent.transcript);
                    assert_ne!(step.commitment, sent.head.commitment);
                    let opened = open(&step.key, &ad, &sent.transcript, &signer, &sent.body);
                    assert_eq!(opened, Err(Error::Seal));
                    derived.push(step.root.to_bytes());
                }
                let as_key = MessageKey::from_bytes(*root);
                let opened = open(&as_key, &ad, &sent.transcript, &signer, &sent.body);
                assert_eq!(opened, Err(Error::Seal));
            }
            derived.truncate(4);
            roots.extend(derived);
            let (answering, _) = accept(ready, &sent.head).unwrap();
            let (next, response) = w.respond(answering);
            (idle, ready) = (receive(waiting, &response.head).unwrap().0, next);
        }
    }
}

/// The active thief of one sender's root alone: it has no signing key.
#[test]
fn stolen_root_of_either_sender_lets_nobody_send() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = opened(&mut w, 0);
        let stolen = idle.steal();
        // The consumer's root: a perfect request, but for the ticket's signature.
        let thief = SigningKey::from_bytes(&[66; 32]);
        let copy = IdleLane::from_stolen(w.context.clone(), &stolen).unwrap();
        let (_, forged) = copy.begin(&thief, &mut w.rng).unwrap();
        let (ready, error) = ready.accept(forged.head).err().unwrap();
        assert_eq!(error, Error::Signature);
        // The producer's root: a response in its place is taken as a head, since the
        // thief can re-key the stolen root with a share of its own; its payload is not.
        let (waiting, sent) = send(&mut w, idle, &[b"request"]);
        let (answering, _) = accept(*ready, &sent.head).unwrap();
        let (_, real) = w.respond(answering);
        if suite == Suite::X25519 {
            let ours = x25519_dalek::StaticSecret::from([9; 32]);
            let peer: [u8; 32] = sent.head.share.clone().try_into().unwrap();
            let agreed = ours.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
            let mut head = real.head.clone();
            head.share = x25519_dalek::PublicKey::from(&ours).to_bytes().to_vec();
            let bytes = head.to_bytes();
            let transcript = sent.transcript.absorb(&bytes[..bytes.len() - 32]);
            let step = Root::from_bytes(stolen.producer_root).rekey(agreed.as_bytes(), &transcript);
            head.commitment = step.commitment;
            let ad = head.associated_data();
            let body = seal(&step.key, &ad, &transcript, &thief, &[b"forged"]);
            let (_, taken) = receive(waiting, &head).unwrap();
            let opened = open(
                &taken.key,
                &ad,
                &taken.transcript,
                &w.producer.verifying_key(),
                &body,
            );
            assert_eq!(opened, Err(Error::PayloadSignature));
        }
    }
}

/// The network's attacker sends a message back to where it came from.
#[test]
fn reflection_a_message_is_of_its_direction_alone() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = opened(&mut w, 0);
        let (waiting, sent) = send(&mut w, idle, &[b"request"]);
        assert!(ResponseHead::from_bytes(&sent.head.to_bytes()).is_err());
        // Its parts in the form of a response.
        let ticket = sent.head.ticket.ticket;
        let reflected = ResponseHead {
            suite,
            bundle: ticket.bundle,
            lane: ticket.lane,
            n: ticket.n,
            answers: ticket.hash(),
            share: sent.head.share.clone(),
            commitment: sent.head.commitment,
        };
        let (waiting, error) = waiting.receive(reflected).err().unwrap();
        assert_eq!(error, Error::Commitment);
        let (answering, _) = accept(ready, &sent.head).unwrap();
        let (ready, response) = w.respond(answering);
        assert!(RequestHead::from_bytes(&response.head.to_bytes()).is_err());
        // And the response's parts under the request's ticket.
        let echo = RequestHead {
            ticket: sent.head.ticket,
            share: response.head.share.clone(),
            commitment: response.head.commitment,
        };
        assert_eq!(ready.judge(&echo.ticket), Ok(Standing::Repeat));
        assert!(receive(*waiting, &response.head).is_ok());
    }
}

/// A replay, early, late and of every message so far.
#[test]
fn replay_no_ticket_is_accepted_twice() {
    let mut w = World::new(Suite::X25519);
    let (mut idle, mut ready) = w.lane(0);
    let mut sent: Vec<RequestHead> = Vec::new();
    let mut answered: Vec<ResponseHead> = Vec::new();
    for _ in 0..6 {
        let (waiting, keyed) = w.begin(idle);
        let (answering, _) = accept(ready, &keyed.head).unwrap();
        for old in &sent {
            let standing = answering.judge(&old.ticket).unwrap();
            assert!(matches!(standing, Standing::Elsewhere { .. }));
        }
        let (next, response) = w.respond(answering);
        let mut waiting = Box::new(waiting);
        for old in &answered {
            let error;
            (waiting, error) = waiting.receive(old.clone()).err().unwrap();
            assert_eq!(error, Error::Unexpected);
        }
        sent.push(keyed.head);
        answered.push(response.head.clone());
        idle = receive(*waiting, &response.head).unwrap().0;
        ready = next;
        for (place, old) in sent.iter().enumerate() {
            let (back, error) = ready.accept(old.clone()).err().unwrap();
            assert_eq!(error, Error::Unexpected);
            ready = *back;
            let standing = ready.judge(&old.ticket).unwrap();
            assert_eq!(standing == Standing::Repeat, place + 1 == sent.len());
        }
    }
}

/// Two lanes of one bundle, and of bundles that differ in one thing each: heads and
/// bodies of one do not fit the other.
#[test]
fn splicing_across_lanes_bundles_pairs_and_tenants_is_refused() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = opened(&mut w, 0);
        let (other_idle, other_ready) = opened(&mut w, 1);
        let (_, one) = send(&mut w, idle, &[b"one"]);
        let (_, two) = send(&mut w, other_idle, &[b"two"]);
        // A whole message into the other lane.
        let (other_ready, error) = other_ready.accept(one.head.clone()).err().unwrap();
        assert_eq!(error, Error::Address);
        // The other lane's share and commitment under this lane's ticket.
        let mut mixed = one.head.clone();
        mixed.commitment = two.head.commitment;
        let (ready, error) = ready.accept(mixed).err().unwrap();
        assert_eq!(error, Error::Commitment);
        let mut mixed = one.head.clone();
        mixed.share = two.head.share.clone();
        assert_eq!(
            RequestHead::from_bytes(&mixed.to_bytes()),
            Err(Error::KeyShare)
        );
        // This lane's head with the other's body.
        let (_, accepted) = accept(*ready, &one.head).unwrap();
        let (ad, key) = (accepted.head.associated_data(), accepted.key);
        let signer = w.consumer.verifying_key();
        let opened = open(&key, &ad, &accepted.transcript, &signer, &two.body);
        assert_eq!(opened, Err(Error::Seal));
        drop(other_ready);
        // The same minted secret bound to another tenant, pair, endpoint or key.
        let same = &*w.context;
        let others = [
            BundleContext {
                tenant: [0xee; 16],
                ..same.clone()
            },
            BundleContext {
                pair: [0xee; 16],
                ..same.clone()
            },
            BundleContext {
                consumer: [0xee; 16],
                ..same.clone()
            },
            BundleContext {
                producer: [0xee; 16],
                ..same.clone()
            },
            BundleContext {
                producer_key: SigningKey::from_bytes(&[3; 32]).verifying_key(),
                ..same.clone()
            },
        ];
        for other in others {
            let secret = BundleSecret::from_bytes([7; 32]);
            let stranger = ReadyLane::new(Arc::new(other), &secret, 0);
            let fresh = IdleLane::new(w.context.clone(), &w.secret, 0);
            let (_, opening) = w.begin(fresh);
            let (_, error) = stranger.accept(opening.head).err().unwrap();
            assert_eq!(error, Error::Commitment);
        }
    }
}

/// The pair's policy names suite 2; somebody on the path wants suite 1.
#[test]
fn downgrade_a_suite_is_not_negotiated() {
    let mut strong = World::new(Suite::X25519MlKem768);
    let mut weak = World::new(Suite::X25519);
    let (idle, ready) = strong.lane(0);
    let (waiting, real) = strong.begin(idle);
    let (weak_idle, weak_ready) = weak.lane(0);
    let (_, cheap) = weak.begin(weak_idle);
    // Even the consumer's own signature does not make it a message of this bundle.
    let (ready, error) = ready.accept(cheap.head.clone()).err().unwrap();
    assert_eq!(error, Error::Suite);
    let (_, error) = weak_ready.accept(real.head.clone()).err().unwrap();
    assert_eq!(error, Error::Suite);
    // The suite's byte changed on the way.
    let mut bytes = real.head.to_bytes();
    bytes[1] = Suite::X25519 as u8;
    assert!(RequestHead::from_bytes(&bytes).is_err());
    // A hybrid share without its post-quantum half, or with an earlier one.
    let mut cut = real.head.clone();
    cut.share.truncate(32);
    assert!(RequestHead::from_bytes(&cut.to_bytes()).is_err());
    let (answering, _) = accept(*ready, &real.head).unwrap();
    let (_, response) = strong.respond(answering);
    let mut half = response.head.clone();
    let length = half.share.len();
    half.share[length - 1] ^= 1;
    let (waiting, error) = waiting.receive(half).err().unwrap();
    assert_eq!(error, Error::Commitment);
    let mut other = response.head;
    other.suite = Suite::X25519;
    assert_eq!(waiting.receive(other).err().unwrap().1, Error::Suite);
}

fn segments(body: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let header = Header::from_bytes(rest[..HEADER_LEN].try_into().unwrap()).unwrap();
        let (one, more) = rest.split_at(HEADER_LEN + header.len);
        found.push(one);
        rest = more;
    }
    found
}

/// A streamed body cut, extended, reordered, and spliced from two.
#[test]
fn truncation_and_reordering_of_streamed_bodies_show() {
    let mut w = World::new(Suite::X25519);
    let (idle, _) = opened(&mut w, 0);
    let (_, keyed) = w.begin(idle);
    let ad = keyed.head.associated_data();
    let pieces: [&[u8]; 4] = [b"first", b"second", b"third", b"last"];
    let body = seal(&keyed.key, &ad, &keyed.transcript, &w.consumer, &pieces);
    let signer = w.consumer.verifying_key();
    let read = |body: &[u8]| open(&keyed.key, &ad, &keyed.transcript, &signer, body);
    assert_eq!(read(&body).unwrap(), pieces.concat());
    for length in 0..body.len() {
        assert!(read(&body[..length]).is_err(), "cut to {length} bytes");
    }
    let parts = segments(&body);
    for leave in 0..parts.len() {
        let mut fewer = parts.clone();
        fewer.remove(leave);
        assert!(read(&fewer.concat()).is_err(), "without segment {leave}");
        let mut twice = parts.clone();
        twice.insert(leave, parts[leave]);
        assert!(read(&twice.concat()).is_err(), "segment {leave} twice");
        for other in 0..leave {
            let mut swapped = parts.clone();
            swapped.swap(leave, other);
            assert!(read(&swapped.concat()).is_err());
        }
    }
    // A middle segment that says it is the last: its nonce is another one's.
    let mut early = parts[..2].concat();
    early[parts[0].len()] |= 0x80;
    assert!(read(&early).is_err());
    // The payload's signature of another exchange's body.
    let digest = Sealer::new(&keyed.key, &[]).finish_digest(b"body");
    let signature = sign_payload(&w.consumer, &Transcript::from_bytes([1; 32]), &digest);
    let mut spliced = Vec::new();
    Sealer::new(&keyed.key, &ad)
        .finish(b"body", &signature, &mut spliced)
        .unwrap();
    assert_eq!(read(&spliced), Err(Error::PayloadSignature));
}

/// ChaCha20-Poly1305 is not key-committing: one ciphertext can open under two keys.
/// The head's commitment to the root makes a message of Armour's open under one.
#[test]
fn key_commitment_an_invisible_salamander_is_refused() {
    let mut one = World::new(Suite::X25519);
    let mut two = World::new(Suite::X25519);
    two.secret = BundleSecret::from_bytes([8; 32]);
    let (one_idle, one_ready) = one.lane(0);
    let (two_idle, two_ready) = two.lane(0);
    let (_, first) = one.begin(one_idle);
    let (_, second) = two.begin(two_idle);
    let ad = first.head.associated_data();
    // The attack works on the bare cipher.
    let keys = [*first.key.as_bytes(), *second.key.as_bytes()];
    let nonce = [0u8; 12];
    let sealed = crate::salamander::find(keys, &nonce, &ad);
    let opened = keys.map(|key| crate::salamander::open(&key, &nonce, &ad, &sealed).unwrap());
    assert_ne!(opened[0], opened[1]);
    // Two ends that hold different roots: a malicious control plane or consumer wants
    // both to take one message, and to read different things in it.
    let (_, accepted) = accept(one_ready, &first.head).unwrap();
    assert_eq!(accepted.key.as_bytes(), &keys[0]);
    let (two_ready, error) = two_ready.accept(first.head.clone()).err().unwrap();
    assert_eq!(error, Error::Commitment);
    // With the other's commitment the other end takes it, and the first does not.
    let mut head = first.head.clone();
    head.commitment = second.head.commitment;
    let (_, one_ready) = one.lane(0);
    assert!(two_ready.accept(head.clone()).is_ok());
    assert_eq!(one_ready.accept(head).err().unwrap().1, Error::Commitment);
}

/// The producer itself is the attacker: it sends other shares than it should.
#[test]
fn malicious_producer_gets_no_more_than_its_own_messages() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = opened(&mut w, 0);
        let (waiting, sent) = send(&mut w, idle, &[b"request"]);
        let (answering, _) = accept(ready, &sent.head).unwrap();
        let (_, real) = w.respond(answering);
        let mut waiting = Box::new(waiting);
        // A point of small order, so that the secret would be known to everybody.
        for low in [[0u8; 32], {
            let mut one = [0u8; 32];
            one[0] = 1;
            one
        }] {
            let mut head = real.head.clone();
            head.share[..32].copy_from_slice(&low);
            let error;
            (waiting, error) = waiting.receive(head).err().unwrap();
            assert_eq!(error, Error::KeyShare);
        }
        // Its share of before, once more; another ticket's answer; another lane's.
        let heads = [
            ResponseHead {
                share: sent.head.share.clone(),
                ..real.head.clone()
            },
            ResponseHead {
                n: real.head.n + 1,
                ..real.head.clone()
            },
            ResponseHead {
                lane: 7,
                ..real.head.clone()
            },
            ResponseHead {
                bundle: [9; 16],
                ..real.head.clone()
            },
        ];
        for head in heads {
            waiting = waiting.receive(head).err().unwrap().0;
        }
        // It signs payloads, but no tickets: it cannot make evidence against the
        // consumer, whatever it reports.
        let forged = sent.head.ticket.ticket.sign(&w.producer);
        assert_eq!(
            vouched(&[forged], &w.consumer.verifying_key()),
            Err(Error::Signature)
        );
        receive(*waiting, &real.head).unwrap();
    }
}

/// Somebody wants a pair disconnected without holding the consumer's key.
#[test]
fn forged_collision_needs_the_consumers_signature() {
    let mut w = World::new(Suite::X25519);
    let (idle, ready) = w.lane(0);
    let (waiting, keyed) = w.begin(idle);
    let (answering, _) = accept(ready, &keyed.head).unwrap();
    let (ready, response) = w.respond(answering);
    let (idle, _) = receive(waiting, &response.head).unwrap();
    let (_, next) = w.begin(idle);
    let key = w.consumer.verifying_key();
    let genuine = [keyed.head.ticket, next.head.ticket];
    // The same tickets again, in any order, with any age: they agree with the record.
    for reported in [&genuine[..1], &genuine[1..], &genuine[..]] {
        let verdict = judge(genuine.last(), &genuine, reported);
        assert_eq!(verdict, Verdict::Known);
    }
    // Any other ticket has no valid signature: not by a stranger, nor by the producer,
    // nor by moving a genuine signature to other content, nor by changing it.
    let mut other = genuine[1].ticket;
    other.share_digest = [9; 32];
    let forged = [
        other.sign(&SigningKey::from_bytes(&[66; 32])),
        other.sign(&w.producer),
        SignedTicket {
            ticket: other,
            signature: genuine[1].signature,
        },
        SignedTicket {
            ticket: other,
            signature: genuine[0].signature,
        },
        SignedTicket {
            ticket: other,
            signature: [0; 64],
        },
    ];
    for ticket in forged {
        assert_eq!(ticket.verify(&key), Err(Error::Signature));
        assert_eq!(ready.judge(&ticket), Err(Error::Signature));
    }
    // A payload's signature is none of a ticket's: their labels differ.
    let digest = [7; 32];
    let payload = sign_payload(&w.consumer, &keyed.transcript, &digest);
    let as_ticket = SignedTicket {
        ticket: other,
        signature: payload,
    };
    assert_eq!(as_ticket.verify(&key), Err(Error::Signature));
}
