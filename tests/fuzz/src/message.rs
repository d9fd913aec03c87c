//! The agents' reader of messages, fed in pieces.

use armour_endpoint::wire::message::MessageReader;
use armour_protocol::v2::{gate::FRAME_PREFIX, proxy::SEGMENT_HEADER_LEN};
use axum::body::Body;
use bytes::Bytes;

/// It asks for no more than a frame or segment is long, and gives the same however the bytes
/// come.
pub fn run(data: &[u8]) {
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
        let (mut frame, mut segment) = (MessageReader::new(body()), MessageReader::new(body()));
        (
            futures::executor::block_on(frame.frame()).ok(),
            futures::executor::block_on(segment.segment())
                .ok()
                .map(|(_, sealed)| sealed),
        )
    };
    let (frame, segment) = read(usize::from(*size));
    assert_eq!((frame.clone(), segment.clone()), read(usize::MAX));
    assert!(frame.is_none_or(|frame| rest[FRAME_PREFIX..].starts_with(&frame)));
    assert!(segment.is_none_or(|sealed| rest[SEGMENT_HEADER_LEN..].starts_with(&sealed)));
}
