//! The body of a message whose content came whole.

use axum::body::Body;
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;

use super::{
    bhttp::decoder::{Decoder, Piece},
    content::Content,
};

/// What follows a message's head.
pub struct WholeBody {
    /// Its content.
    pub pieces: Vec<Bytes>,
    /// How it ends.
    pub end: End,
}

/// How a message ends.
pub enum End {
    /// Whole, with trailers.
    Whole(HeaderMap),
    /// Broken off by its sender, who says so by a code of HTTP/2.
    Reset(Reason),
}

impl WholeBody {
    /// What follows a message's head, all of which the decoder has. None if that is no message.
    pub fn read(mut decoder: Decoder) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut end = None;
        while let Ok(Some(piece)) = decoder.piece() {
            match piece {
                Piece::Content(bytes) => pieces.push(bytes),
                Piece::End(trailers) => end = Some(End::Whole(trailers)),
                Piece::Reset(reason) => end = Some(End::Reset(reason)),
                Piece::Request(_) | Piece::Interim(_) | Piece::Response(_) => return None,
            }
        }
        let end = end.filter(|_| decoder.is_done())?;
        Some(Self { pieces, end })
    }

    /// How many bytes its content has.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// A body that is whole.
pub fn whole(mut pieces: Vec<Bytes>, trailers: HeaderMap) -> Body {
    // A message that is known to have no content says so in its head, as gRPC's responses
    // that are trailers alone must. What is in several pieces is put together: a body of
    // known length can be sent again.
    match (pieces.len(), trailers.is_empty()) {
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
    }
}
