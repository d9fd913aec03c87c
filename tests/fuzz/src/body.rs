//! Streamed bodies: what a changed one yields is a prefix of what was sealed, and it is
//! never taken for whole.

use std::sync::LazyLock;

use armour_endpoint::wire::message::MessageReader;
use armour_protocol::{
    message::sign_payload,
    schedule::{MessageKey, Transcript},
    segment::{HEADER_LEN, Header, Opener, Sealer},
};
use axum::body::Body;
use bytes::Bytes;

use crate::lanes::context;

const PIECES: [&[u8]; 3] = [b"first, ", b"second, ", b"and last"];
const AD: &[u8] = b"ticket";

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (_, _, signer, _) = context();
    let mut sealer = Sealer::new(&MessageKey::from_bytes([5; 32]), AD);
    let mut out = Vec::new();
    for piece in &PIECES[..2] {
        sealer.push(piece, &mut out).unwrap();
    }
    let digest = sealer.finish_digest(PIECES[2]);
    let signature = sign_payload(&signer, &Transcript::from_bytes([6; 32]), &digest);
    sealer.finish(PIECES[2], &signature, &mut out).unwrap();
    out
});

/// The first byte says whether the rest is a body, or changes to a genuine one: place,
/// other value, and where it is cut.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let mut body = SEALED.clone();
    match how % 3 {
        0 => body = rest.to_vec(),
        1 => {
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
                let length = body.len();
                body[place % length] ^= change[2];
            }
        }
        // Moves a part of the genuine body elsewhere.
        _ => {
            if let [from, length, to, ..] = *rest {
                let from = usize::from(from) % body.len();
                let end = (from + usize::from(length)).min(body.len());
                let part: Vec<u8> = body.drain(from..end).collect();
                let to = usize::from(to) % (body.len() + 1);
                body.splice(to..to, part);
            }
        }
    }
    let (_, _, signer, _) = context();
    let mut opener = Opener::new(&MessageKey::from_bytes([5; 32]), AD);
    let mut out = Vec::new();
    let mut left = &body[..];
    while left.len() >= HEADER_LEN && !opener.is_done() {
        let Ok(header) = Header::from_bytes(left[..HEADER_LEN].try_into().unwrap()) else {
            break;
        };
        let Some(sealed) = left.get(HEADER_LEN..HEADER_LEN + header.len) else {
            break;
        };
        let transcript = Transcript::from_bytes([6; 32]);
        match opener.open(header, sealed, &signer.verifying_key(), &transcript) {
            Ok(content) => out.extend(content),
            Err(_) => break,
        }
        left = &left[HEADER_LEN + header.len..];
    }
    let whole = PIECES.concat();
    assert!(whole.starts_with(&out), "content that nobody sealed");
    assert_eq!(opener.is_done(), out == whole);
    if opener.is_done() {
        assert!(
            body.starts_with(&SEALED),
            "a changed body was taken for whole"
        );
    }
}

/// The agents' reader of messages, fed in pieces: it asks for no more than a head is
/// long, and gives the same however the bytes come.
pub fn message(data: &[u8]) {
    let Some((size, rest)) = data.split_first() else {
        return;
    };
    let read = |size: usize| {
        let chunks: Vec<_> = rest
            .chunks(size.max(1))
            .map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = || {
            Body::from_stream(futures::stream::iter(
                chunks
                    .iter()
                    .map(|c| Ok::<_, std::io::Error>(c.as_ref().unwrap().clone()))
                    .collect::<Vec<_>>(),
            ))
        };
        let (mut request, mut response) = (MessageReader::new(body()), MessageReader::new(body()));
        (
            futures::executor::block_on(request.request_head()).ok(),
            futures::executor::block_on(response.response_head()).ok(),
        )
    };
    let (request, response) = read(usize::from(*size));
    assert_eq!((request.clone(), response.clone()), read(usize::MAX));
    for head in [request, response].into_iter().flatten() {
        assert!(rest.starts_with(&head));
    }
}
