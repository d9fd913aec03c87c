//! Streams: what a changed one yields is a beginning of what was sent, up to one of its
//! checkpoints, and it is never taken for whole.

use armour_protocol::v2::{
    checkpoint::Mark,
    enclave::producer::Accepted,
    proxy::{Arrived, Incoming, Pending, Read},
    suite::Suite,
};

use crate::{
    changes,
    stage::{BUDGET, CLOCK, NOW, Stage, first, segment},
};

/// What is pushed before each checkpoint; the last one ends the stream.
const PIECES: [&[&[u8]]; 4] = [&[b"one"], &[b"two, ", b"three"], &[], &[b"last"]];

struct Genuine {
    stage: Stage,
    /// What the enclave handed out.
    incoming: Vec<u8>,
    wire: Vec<Vec<u8>>,
    /// What may come out.
    beginnings: Vec<Vec<u8>>,
}

thread_local! {
    static GENUINE: Genuine = genuine();
}

fn genuine() -> Genuine {
    let mut stage = Stage::new(Suite::X25519Aes256Gcm);
    let (idle, ready, _, _) = stage.opened();
    let head = first(b"POST /");
    let (mut waiting, ticket, outgoing) = idle
        .begin(head.claim(), NOW, BUDGET, &mut stage.rng)
        .unwrap();
    let mut wire = Vec::new();
    let mut content = b"POST /".to_vec();
    let mut beginnings = vec![Vec::new(), content.clone()];
    let mut writer = Some(head.seal(outgoing, &mut wire).unwrap());
    for (number, pieces) in PIECES.iter().enumerate() {
        let mut open = writer.take().unwrap();
        for piece in *pieces {
            open.push(piece, &mut wire).unwrap();
            content.extend_from_slice(piece);
        }
        let due = match number + 1 == PIECES.len() {
            true => open.finish(Mark::NONE),
            false => open.checkpoint(Mark::NONE),
        };
        let signed = waiting.checkpoint(due.claim()).unwrap();
        let signed = signed.sign(&stage.consumer);
        writer = due.seal(signed.proof(), &mut wire).unwrap();
        beginnings.push(content.clone());
    }
    let Ok(Accepted::Call(_, incoming)) = ready.accept(&ticket.sign(&stage.consumer)) else {
        panic!("it is a call");
    };
    Genuine {
        stage,
        incoming: incoming.to_bytes().to_vec(),
        wire: vec![wire],
        beginnings,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    GENUINE.with(|genuine| changes::seeds(&genuine.wire))
}

pub fn run(data: &[u8]) {
    GENUINE.with(|genuine| {
        let Some(bytes) = changes::message(data, &genuine.wire) else {
            return;
        };
        let (out, whole) = read(genuine, &bytes);
        assert!(
            genuine.beginnings.contains(&out),
            "content that nobody signed"
        );
        assert_eq!(whole, bytes.starts_with(&genuine.wire[0]));
        assert_eq!(whole, genuine.beginnings.last() == Some(&out));
    });
}

/// What comes out of a stream, and whether it was taken for whole.
fn read(genuine: &Genuine, mut wire: &[u8]) -> (Vec<u8>, bool) {
    let mut next = || {
        let (header, sealed) = segment(wire)?;
        wire = &wire[4 + sealed.len()..];
        Some((header, sealed))
    };
    let incoming = Incoming::from_bytes(&genuine.incoming).unwrap();
    let pending = Pending::new(genuine.stage.context.clone(), incoming);
    let mut out = Vec::new();
    let Some((header, sealed)) = next() else {
        return (out, false);
    };
    let Ok(call) = pending.receive(header, sealed) else {
        return (out, false);
    };
    let Ok((_, Arrived::Stream(head, mut reader))) = call.begin(CLOCK) else {
        panic!("it is a stream that is not late");
    };
    out.extend_from_slice(head.content());
    while let Some((header, sealed)) = next() {
        reader = match reader.read(header, sealed) {
            Ok(Read::Held(reader)) => reader,
            Ok(Read::Verified {
                content, reader, ..
            }) => {
                out.extend_from_slice(content.content());
                reader
            }
            Ok(Read::Final { content, .. }) => {
                out.extend_from_slice(content.content());
                return (out, true);
            }
            Ok(Read::Switch(_)) => panic!("nothing was re-keyed"),
            Err(_) => break,
        };
    }
    (out, false)
}
