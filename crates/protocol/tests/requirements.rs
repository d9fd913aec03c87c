//! The security model's requirements R1-R5 and R8, each as a test that takes
//! the thief's view and tries.

use armour_protocol::{
    Error, Suite,
    consumer::IdleLane,
    message::RequestHead,
    producer::Standing,
    schedule::{MessageKey, Root, Transcript},
};
use ed25519_dalek::SigningKey;

use crate::common::{World, accept, open, receive, seal};

const SUITES: [Suite; 2] = [Suite::X25519, Suite::X25519MlKem768];

#[test]
fn r1_a_message_key_opens_its_own_payload_only_and_sends_nothing() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (idle, ready) = w.exchange(idle, ready);
        let (waiting, first) = w.begin(idle);
        let sealed = seal(
            &first.key,
            &first.head.associated_data(),
            &first.transcript,
            &w.consumer,
            &[b"one"],
        );
        let signer = w.consumer.verifying_key();
        assert_eq!(
            open(
                &first.key,
                &first.head.associated_data(),
                &first.transcript,
                &signer,
                &sealed
            )
            .unwrap(),
            b"one"
        );
        let (answering, _) = accept(ready, &first.head).unwrap();
        let (ready, response) = w.respond(answering);
        let (idle, _) = receive(waiting, &response.head).unwrap();
        let (_, second) = w.begin(idle);
        let sealed = seal(
            &second.key,
            &second.head.associated_data(),
            &second.transcript,
            &w.consumer,
            &[b"two"],
        );
        // The stolen key opens neither the response nor the next request.
        let ad = second.head.associated_data();
        assert_eq!(
            open(&first.key, &ad, &second.transcript, &signer, &sealed),
            Err(Error::Seal)
        );
        assert_ne!(first.key.as_bytes(), response.key.as_bytes());
        // Sending under the stolen key needs a ticket; one signed by another
        // key is refused, whatever commitment it carries.
        let thief = SigningKey::from_bytes(&[66; 32]);
        let mut forged = second.head.clone();
        forged.ticket = forged.ticket.ticket.sign(&thief);
        assert_eq!(ready.judge(&forged.ticket), Err(Error::Signature));
    }
}

#[test]
fn r2_neither_a_key_nor_a_later_root_leads_back() {
    // The key, the commitment and the kept root are siblings: none is another, none
    // leads to another's, and re-keying forward never yields an earlier root.
    let first = Root::from_bytes([5; 32]);
    let transcript = Transcript::from_bytes([6; 32]);
    let step = first.rekey(b"secret", &transcript);
    let parts = [
        *step.key.as_bytes(),
        step.commitment,
        step.root.to_bytes(),
        first.to_bytes(),
    ];
    for (place, part) in parts.iter().enumerate() {
        assert!(!parts[..place].contains(part));
        let onwards = Root::from_bytes(*part).rekey(b"secret", &transcript);
        for other in [
            *onwards.key.as_bytes(),
            onwards.commitment,
            onwards.root.to_bytes(),
        ] {
            // From the first root it is the step itself, from no other part.
            assert_eq!(parts.contains(&other), place == 3);
        }
    }
    let mut walk = step.root;
    for _ in 0..1000 {
        assert!(!parts[..2].contains(&walk.to_bytes()));
        walk = walk.rekey(b"secret", &transcript).root;
        assert!(!parts.contains(&walk.to_bytes()));
    }
}

#[test]
fn r3_a_stolen_root_reads_nothing_after_the_next_exchange() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (idle, ready) = w.exchange(idle, ready);
        let stolen = idle.steal();
        let (waiting, request) = w.begin(idle);
        // The thief has the root and sees the head, but no private ephemeral:
        // with every secret it can compute, the commitment does not match.
        let transcript = request.transcript;
        let root = Root::from_bytes(stolen.consumer_root);
        for guess in [
            &[][..],
            &[0; 32],
            &[0; 64],
            &request.head.share,
            stolen.peer.as_ref().unwrap(),
        ] {
            let guessed = root.rekey(guess, &transcript);
            assert_ne!(guessed.commitment, request.head.commitment);
            assert_ne!(guessed.key.as_bytes(), request.key.as_bytes());
        }
        let (answering, _) = accept(ready, &request.head).unwrap();
        let (_, response) = w.respond(answering);
        let stolen_root = Root::from_bytes(stolen.producer_root);
        assert_ne!(
            stolen_root.rekey(&[], &response.transcript).commitment,
            response.head.commitment
        );
        receive(waiting, &response.head).unwrap();
    }
}

#[test]
fn r4_the_payload_signature_is_sealed() {
    let mut w = World::new(Suite::X25519);
    let (idle, ready) = w.lane(0);
    let (idle, _) = w.exchange(idle, ready);
    let (_, request) = w.begin(idle);
    let digest = {
        use armour_protocol::segment::Sealer;
        Sealer::new(&request.key, &[]).finish_digest(b"body")
    };
    let signature =
        armour_protocol::message::sign_payload(&w.consumer, &request.transcript, &digest);
    let sealed = seal(
        &request.key,
        &request.head.associated_data(),
        &request.transcript,
        &w.consumer,
        &[b"body"],
    );
    let wire = [request.head.to_bytes(), sealed].concat();
    assert!(!wire.windows(64).any(|window| window == signature));
    assert!(!wire.windows(4).any(|window| window == b"body"));
}

#[test]
fn r5_a_stolen_consumer_state_opens_no_earlier_payload() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (idle, ready) = w.exchange(idle, ready);
        let (waiting, request) = w.begin(idle);
        let sealed = seal(
            &request.key,
            &request.head.associated_data(),
            &request.transcript,
            &w.consumer,
            &[b"old"],
        );
        let (answering, _) = accept(ready, &request.head).unwrap();
        let (_, response) = w.respond(answering);
        let (idle, _) = receive(waiting, &response.head).unwrap();
        let stolen = idle.steal();
        let signer = w.consumer.verifying_key();
        let ad = request.head.associated_data();
        for bytes in [
            stolen.consumer_root,
            stolen.producer_root,
            stolen.transcript,
        ] {
            // What a root gave the last message's key by in an earlier version of the
            // protocol, too: the root was then the key's parent.
            for key in [
                MessageKey::from_bytes(bytes),
                MessageKey::from_bytes(expanded(&bytes, b"armour/1 key")),
                Root::from_bytes(bytes).rekey(&[], &request.transcript).key,
            ] {
                assert_eq!(
                    open(&key, &ad, &request.transcript, &signer, &sealed),
                    Err(Error::Seal)
                );
            }
        }
        // Nor does the state seal anything under the earlier key.
        let next = IdleLane::from_stolen(w.context.clone(), &stolen).unwrap();
        let (_, following) = w.begin(next);
        assert_ne!(following.key.as_bytes(), request.key.as_bytes());
    }
}

fn expanded(root: &[u8; 32], label: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::from_prk(root)
        .unwrap()
        .expand(label, &mut out)
        .unwrap();
    out
}

#[test]
fn r6_a_clone_and_its_victim_make_a_signed_contradiction() {
    for clone_first in [true, false] {
        let mut w = World::new(Suite::X25519);
        let (idle, ready) = w.lane(3);
        let (idle, ready) = w.exchange(idle, ready);
        let clone = IdleLane::from_stolen(w.context.clone(), &idle.steal()).unwrap();
        let (first, second) = if clone_first {
            (clone, idle)
        } else {
            (idle, clone)
        };
        let (_, accepted) = w.begin(first);
        let (_, refused) = w.begin(second);
        let (answering, _) = accept(ready, &accepted.head).unwrap();
        assert_eq!(answering.judge(&accepted.head.ticket), Ok(Standing::Repeat));
        assert!(matches!(
            answering.judge(&refused.head.ticket),
            Ok(Standing::Conflict { .. })
        ));
        let (ready, _) = w.respond(answering);
        assert!(matches!(
            ready.judge(&refused.head.ticket),
            Ok(Standing::Conflict { .. })
        ));
    }
}

#[test]
fn r8_the_root_depends_on_fresh_material_of_both_ends() {
    for suite in SUITES {
        let mut w = World::new(suite);
        let (idle, ready) = w.lane(0);
        let (idle, ready) = w.exchange(idle, ready);
        let stolen = idle.steal();
        // The same state with other randomness of the consumer: another root.
        let again = IdleLane::from_stolen(w.context.clone(), &stolen).unwrap();
        let (waiting, one) = w.begin(idle);
        let (_, other) = w.begin(again);
        assert_ne!(one.head.commitment, other.head.commitment);
        // Fresh material of the producer, too: a consumer that answers another
        // share of the producer's is not understood.
        let mut wrong = stolen.clone();
        let (elsewhere, there) = w.lane(1);
        let (elsewhere, _) = w.exchange(elsewhere, there);
        wrong.peer = elsewhere.steal().peer.clone();
        let (_, mixed) = w.begin(IdleLane::from_stolen(w.context.clone(), &wrong).unwrap());
        let head = RequestHead::from_bytes(&mixed.head.to_bytes()).unwrap();
        let (ready, error) = ready.accept(head).err().unwrap();
        assert_eq!(error, Error::Commitment);
        // And the refusal did not disturb the lane.
        let (answering, _) = accept(*ready, &one.head).unwrap();
        let (_, response) = w.respond(answering);
        receive(waiting, &response.head).unwrap();
    }
}
