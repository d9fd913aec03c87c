//! The body of a message whose content came whole.

use axum::body::Body;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;

use super::{
    bhttp::{Decoder, Piece},
    content::Content,
};

/// What follows a message's head, all of which the decoder has. None if that is no message.
pub fn whole_body(mut decoder: Decoder) -> Option<Body> {
    let mut pieces = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Ok(Some(piece)) = decoder.piece() {
        match piece {
            Piece::Content(bytes) => pieces.push(bytes),
            Piece::End(found) => trailers = found,
            Piece::Request(_) | Piece::Response(_) => return None,
        }
    }
    if !decoder.is_done() {
        return None;
    }
    // A message that is known to have no content says so in its head, as gRPC's responses
    // that are trailers alone must. What is in several pieces is put together: a body of
    // known length can be sent again.
    Some(match (pieces.len(), trailers.is_empty()) {
        (0, true) => Body::empty(),
        (1, true) => pieces.pop().map_or_else(Body::empty, Body::from),
        (_, true) => {
            let mut content = Content::default();
            for piece in pieces {
                content.extend(&piece);
            }
            Body::from(content.into_bytes())
        }
        (_, false) => {
            let trailers = std::iter::once(Frame::trailers(trailers));
            let frames = pieces.into_iter().map(Frame::data).chain(trailers);
            let frames = frames.map(Ok::<_, std::io::Error>);
            Body::new(StreamBody::new(futures::stream::iter(frames)))
        }
    })
}
