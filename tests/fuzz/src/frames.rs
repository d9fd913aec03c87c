//! Frames at a bundle's gate: what passes is what a holder of the bundle framed.

use std::sync::LazyLock;

use armour_protocol::v2::{
    body::Direction,
    gate::{FRAME_PREFIX, Gate, frame_len},
    suite::Suite,
};

use crate::{changes, stage::Stage};

const KEY: [u8; 32] = [5; 32];
static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (_, _, ticket, receipt) = Stage::new(Suite::X25519ChaCha20Poly1305).opened();
    let gate = Gate::from_bytes(KEY);
    vec![
        gate.frame(Direction::Request, &ticket.to_bytes()),
        gate.frame(Direction::Response, &receipt.to_bytes()),
    ]
});

pub fn seeds() -> Vec<Vec<u8>> {
    changes::seeds(&GENUINE)
}

pub fn run(data: &[u8]) {
    let Some(bytes) = changes::message(data, &GENUINE) else {
        return;
    };
    let Some((prefix, rest)) = bytes.split_first_chunk::<FRAME_PREFIX>() else {
        return;
    };
    let Ok(length) = frame_len(*prefix) else {
        assert!(!GENUINE.contains(&bytes), "a genuine frame was refused");
        return;
    };
    let Some(frame) = rest.get(..length) else {
        return;
    };
    let gate = Gate::from_bytes(KEY);
    for (direction, genuine) in [Direction::Request, Direction::Response]
        .into_iter()
        .zip(GENUINE.iter())
    {
        let whole = &bytes[..FRAME_PREFIX + length];
        let passed = gate.check(direction, frame);
        assert_eq!(passed.is_ok(), whole == genuine);
        if let Ok(head) = passed {
            assert_eq!(gate.frame(direction, head), whole);
        }
        // Any head has one frame, which passes in its own direction only.
        let framed = gate.frame(direction, frame);
        let (_, framed) = framed.split_first_chunk::<FRAME_PREFIX>().unwrap();
        let other = match direction {
            Direction::Request => Direction::Response,
            Direction::Response => Direction::Request,
        };
        if let Ok(head) = gate.check(direction, framed) {
            assert_eq!(head, frame);
        }
        assert!(gate.check(other, framed).is_err());
    }
}
