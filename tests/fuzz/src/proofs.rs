//! Proofs: one form each, and a changed one, or another's, proves nothing.

use armour_protocol::v2::{
    message::{Evidence, Ticket},
    proof::{Proof, Unsigned},
    suite::Suite,
};

use crate::{changes, stage::Stage};

struct Genuine {
    stage: Stage,
    /// One that was signed alone, and of batches of several sizes the last.
    evidence: Vec<Evidence>,
    bytes: Vec<Vec<u8>>,
}

thread_local! {
    static GENUINE: Genuine = genuine();
}

fn genuine() -> Genuine {
    let mut stage = Stage::new(Suite::X25519ChaCha20Poly1305);
    let mut evidence = Vec::new();
    for count in [1, 2, 3] {
        // As many tickets of lanes that open at once.
        let mut other = Stage::new(Suite::X25519ChaCha20Poly1305);
        let batch: Vec<Unsigned<Ticket>> = (0..count)
            .map(|_| {
                let fresh = other.consumer_lanes.fresh().unwrap();
                fresh.open(&[], None, &mut other.rng).unwrap().1
            })
            .collect();
        let signed = Unsigned::sign_all(batch, &stage.consumer, &mut stage.rng).unwrap();
        evidence.extend(signed.last().map(|last| last.evidence()));
    }
    Genuine {
        bytes: evidence.iter().map(|one| one.proof.to_bytes()).collect(),
        evidence,
        stage,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    GENUINE.with(|genuine| changes::seeds(&genuine.bytes))
}

pub fn run(data: &[u8]) {
    GENUINE.with(|genuine| {
        let Some(bytes) = changes::message(data, &genuine.bytes) else {
            return;
        };
        let Ok(proof) = Proof::from_bytes(&bytes) else {
            assert!(
                !genuine.bytes.contains(&bytes),
                "a genuine proof was refused"
            );
            return;
        };
        assert_eq!(proof.to_bytes(), bytes);
        assert!((Proof::MIN_LEN..=Proof::MAX_LEN).contains(&bytes.len()));
        for (own, evidence) in genuine.bytes.iter().zip(&genuine.evidence) {
            let said = Evidence {
                body: evidence.body,
                proof: proof.clone(),
            };
            let proves = said.verify(&genuine.stage.context).is_ok();
            assert_eq!(proves, *own == bytes, "a changed proof, or none of its own");
        }
    });
}
