//! Version 2: whatever becomes of a stream on its way, what comes out is a beginning of what
//! its sender signed, up to one of its checkpoints; and it is only taken for whole if it is.

use std::sync::LazyLock;

use armour_protocol::v2::{
    checkpoint::Mark,
    content::{DigestKind, Padding},
    enclave::producer::Accepted,
    error::ContentError,
    proxy::{Arrived, FirstContent, Incoming, Pending, Read, SEGMENT_HEADER_LEN, SegmentHeader},
    suite::Suite,
};
use proptest::prelude::*;

use crate::v2_common::{BUDGET, World, segments};

/// A stream of five checkpoints, one of them without content.
struct Genuine {
    incoming: Vec<u8>,
    segments: Vec<Vec<u8>>,
    /// What may come out: up to each checkpoint.
    beginnings: Vec<Vec<u8>>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut w = World::new(Suite::X25519ChaCha20Poly1305);
    let (idle, ready) = w.opened();
    let first = FirstContent::new(b"first", DigestKind::Sha256, Padding::Padme).unwrap();
    let (mut waiting, ticket, outgoing) = idle
        .begin(first.claim(), w.local(), BUDGET, &mut w.rng)
        .unwrap();
    let mut wire = Vec::new();
    let mut content = b"first".to_vec();
    let mut beginnings = vec![content.clone()];
    let mut writer = Some(first.seal(outgoing, &mut wire).unwrap());
    let pieces: [&[&[u8]]; 5] = [
        &[b"one"],
        &[b"two, ", b"and three"],
        &[],
        &[b"4"],
        &[b"last"],
    ];
    for (number, pieces) in pieces.iter().enumerate() {
        let mut open = writer.take().unwrap();
        for piece in *pieces {
            open.push(piece, &mut wire).unwrap();
            content.extend_from_slice(piece);
        }
        let due = match number {
            4 => open.finish(Mark::NONE),
            _ => open.checkpoint(Mark::NONE),
        };
        let signed = waiting.checkpoint(due.claim()).unwrap().sign(&w.consumer);
        writer = due.seal(signed.proof(), &mut wire).unwrap();
        beginnings.push(content.clone());
    }
    let Ok(Accepted::Call(_, incoming)) = ready.accept(&ticket.sign(&w.consumer)) else {
        panic!("it is a call");
    };
    let parts = segments(&wire);
    let mut rest = &wire[..];
    let segments = parts.iter().map(|(header, _)| {
        let (one, after) = rest.split_at(SEGMENT_HEADER_LEN + header.len);
        rest = after;
        one.to_vec()
    });
    Genuine {
        incoming: incoming.to_bytes().to_vec(),
        segments: segments.collect(),
        beginnings,
    }
});

/// What comes out of a stream, and whether it was taken for whole.
fn read(mut wire: &[u8]) -> (Vec<u8>, bool) {
    let w = World::new(Suite::X25519ChaCha20Poly1305);
    let incoming = Incoming::from_bytes(&GENUINE.incoming).unwrap();
    let mut next = || {
        let (header, rest) = wire.split_first_chunk()?;
        let header = SegmentHeader::from_bytes(*header).ok()?;
        let (sealed, rest) = rest.split_at_checked(header.len)?;
        wire = rest;
        Some((header, sealed))
    };
    let Some((header, sealed)) = next() else {
        return (Vec::new(), false);
    };
    let Ok(call) = Pending::new(w.context.clone(), incoming).receive(header, sealed) else {
        return (Vec::new(), false);
    };
    let Ok((_, Arrived::Stream(first, mut reader))) = call.begin(w.clock()) else {
        panic!("it is a stream that is not late");
    };
    let mut out = first.content().to_vec();
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

/// Whoever alters a byte could cut the connection as well: the same bytes may come again, by
/// another one, after the last checkpoint.
#[test]
fn p1_an_altered_segment_leaves_its_stream_at_the_last_checkpoint() {
    let w = World::new(Suite::X25519ChaCha20Poly1305);
    let parts: Vec<(SegmentHeader, &[u8])> =
        GENUINE.segments.iter().map(|one| split(one)).collect();
    for altered in 1..parts.len() {
        let incoming = Incoming::from_bytes(&GENUINE.incoming).unwrap();
        let pending = Pending::new(w.context.clone(), incoming);
        let call = pending.receive(parts[0].0, parts[0].1);
        let call = call.map_err(|(_, error)| error).unwrap();
        let Ok((_, Arrived::Stream(first, mut reader))) = call.begin(w.clock()) else {
            panic!("it is a stream that is not late");
        };
        let mut out = first.content().to_vec();
        let (mut at, mut verified, mut harmed) = (1, 1, false);
        loop {
            let (header, sealed) = parts[at];
            let mut sealed = sealed.to_vec();
            if at == altered && !harmed {
                sealed[0] ^= 1;
                harmed = true;
            }
            at += 1;
            match reader.read(header, &sealed) {
                Ok(Read::Held(more)) => reader = more,
                Ok(Read::Verified {
                    content,
                    reader: more,
                    ..
                }) => {
                    out.extend_from_slice(content.content());
                    (reader, verified) = (more, at);
                }
                Ok(Read::Final { content, .. }) => {
                    out.extend_from_slice(content.content());
                    break;
                }
                Ok(Read::Switch(_)) => panic!("nothing was re-keyed"),
                Err((back, error)) => {
                    assert_eq!(error, ContentError::Seal);
                    (reader, at) = (back, verified);
                }
            }
        }
        assert!(harmed);
        assert_eq!(&out, GENUINE.beginnings.last().unwrap());
    }
}

fn split(segment: &[u8]) -> (SegmentHeader, &[u8]) {
    let (header, sealed) = segment.split_first_chunk().unwrap();
    (SegmentHeader::from_bytes(*header).unwrap(), sealed)
}

#[derive(Debug, Clone)]
enum Harm {
    Drop(prop::sample::Index),
    Twice(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Harm::Drop),
        at().prop_map(Harm::Twice),
        (at(), at()).prop_map(|(a, b)| Harm::Swap(a, b)),
        (at(), at(), 0u8..8).prop_map(|(a, b, bit)| Harm::Flip(a, b, bit)),
        at().prop_map(Harm::Cut),
    ]
}

#[test]
fn a_stream_that_nothing_happened_to_is_whole() {
    let (out, whole) = read(&GENUINE.segments.concat());
    assert!(whole);
    assert_eq!(Some(&out), GENUINE.beginnings.last());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_comes_out_was_signed(harms in proptest::collection::vec(harm(), 1..4)) {
        let mut parts = GENUINE.segments.clone();
        for harm in harms {
            if parts.is_empty() {
                break;
            }
            let count = parts.len();
            match harm {
                Harm::Drop(at) => drop(parts.remove(at.index(count))),
                Harm::Twice(at) => {
                    let at = at.index(count);
                    parts.insert(at, parts[at].clone());
                }
                Harm::Swap(a, b) => parts.swap(a.index(count), b.index(count)),
                Harm::Flip(at, within, bit) => {
                    let part = &mut parts[at.index(count)];
                    let within = within.index(part.len());
                    part[within] ^= 1 << bit;
                }
                Harm::Cut(at) => parts.truncate(at.index(count)),
            }
        }
        let unharmed = parts.starts_with(&GENUINE.segments);
        let (out, whole) = read(&parts.concat());
        prop_assert_eq!(whole, unharmed);
        prop_assert!(out.is_empty() || GENUINE.beginnings.contains(&out));
    }
}
