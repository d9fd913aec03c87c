//! Messages between agents as they are read: a frame, then sealed segments, in the body of
//! an HTTP request or response. Nothing here is in the clear.

use armour_protocol::v2::{
    error::{ContentError, HeadError},
    gate::{BEGUN_PREFIX, FRAME_PREFIX, MAC_LEN, frame_len},
    proxy::{SEGMENT_HEADER_LEN, SegmentHeader},
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use thiserror::Error;

/// The path that a producer's agent serves.
pub const EXCHANGE_PATH: &str = "/armour/v2/exchange";

/// The path at which it answers sub-tickets.
pub const REKEY_PATH: &str = "/armour/v2/rekey";

/// The field that names the bundle of a message, for gateways and their logs: agents go by what is in
/// the message alone.
pub const BUNDLE_FIELD: &str = "armour-bundle";

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The connection ended before the message did.
    #[error("the message is cut short")]
    Cut,
    /// It ended between two segments: its sender ended it there.
    #[error("the message was ended by its sender")]
    Ended,
    /// A frame that is none.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A segment that is none, or is not its sender's.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// What an answer, or the rest of one, begins with.
pub enum AnswerFrame {
    /// A begun notice, without its prefix.
    Begun(Bytes),
    /// A frame: head and MAC.
    Head(Bytes),
}

/// Reads a message from an HTTP body. It holds one frame or segment at most, and what HTTP
/// brought with it.
pub struct MessageReader {
    body: Body,
    buffer: BytesMut,
}

impl MessageReader {
    /// Reads from `body`.
    pub fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The frame that a message begins with: head and MAC.
    ///
    /// # Errors
    /// [`ReadError::Cut`], or [`ReadError::Head`] for a length that no frame has.
    pub async fn frame(&mut self) -> Result<Bytes, ReadError> {
        let prefix = self.array::<FRAME_PREFIX>().await?;
        self.take(frame_len(prefix)?).await
    }

    /// The frame that an answer begins with, or the notice that goes before it.
    ///
    /// # Errors
    /// As above.
    pub async fn answer_frame(&mut self) -> Result<AnswerFrame, ReadError> {
        let prefix = self.array::<FRAME_PREFIX>().await?;
        Ok(match prefix {
            BEGUN_PREFIX => AnswerFrame::Begun(self.take(MAC_LEN).await?),
            _ => AnswerFrame::Head(self.take(frame_len(prefix)?).await?),
        })
    }

    /// The next segment.
    ///
    /// # Errors
    /// [`ReadError::Cut`], [`ReadError::Ended`], or [`ReadError::Content`] for a header that no
    /// segment has.
    pub async fn segment(&mut self) -> Result<(SegmentHeader, Bytes), ReadError> {
        if self.buffer.is_empty() && !self.more().await? {
            return Err(ReadError::Ended);
        }
        let header = self.array::<SEGMENT_HEADER_LEN>().await?;
        let header = SegmentHeader::from_bytes(header)?;
        Ok((header, self.take(header.len).await?))
    }

    async fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.take(N).await?);
        Ok(bytes)
    }

    async fn take(&mut self, length: usize) -> Result<Bytes, ReadError> {
        while self.buffer.len() < length {
            if !self.more().await? {
                return Err(ReadError::Cut);
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Reads on; whether there was anything.
    async fn more(&mut self) -> Result<bool, ReadError> {
        let before = self.buffer.len();
        while self.buffer.len() == before {
            let Some(frame) = self.body.frame().await else {
                return Ok(false);
            };
            if let Ok(data) = frame.map_err(|_| ReadError::Cut)?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> MessageReader {
        MessageReader::new(Body::from(bytes.to_vec()))
    }

    #[tokio::test]
    async fn lengths_that_nothing_has_are_refused_before_they_are_read() {
        for prefix in [[0, 0], [0, 20], [0xff, 0xff]] {
            let read = reader(&prefix).frame().await;
            assert!(matches!(read, Err(ReadError::Head(HeadError::Malformed))));
        }
        for header in [[0, 0, 1, 0], [3, 0xff, 0xff, 0xff], [4, 0, 0, 1]] {
            let read = reader(&header).segment().await;
            assert!(matches!(
                read,
                Err(ReadError::Content(ContentError::Malformed))
            ));
        }
    }

    #[tokio::test]
    async fn what_ends_early_is_cut() {
        assert!(matches!(reader(&[]).frame().await, Err(ReadError::Cut)));
        let read = reader(&[1, 0, 0, 1]).frame().await;
        assert!(matches!(read, Err(ReadError::Cut)));
        let read = reader(&[3, 0, 0, 30, 1, 2]).segment().await;
        assert!(matches!(read, Err(ReadError::Cut)));
    }

    #[tokio::test]
    async fn a_segment_comes_as_it_was_sent_in_whatever_pieces() {
        let mut wire = vec![3, 0, 0, 30];
        wire.extend_from_slice(&[7; 30]);
        let pieces: Vec<Result<Bytes, std::io::Error>> = wire
            .chunks(3)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let mut reader = MessageReader::new(Body::from_stream(futures::stream::iter(pieces)));
        let (header, sealed) = reader.segment().await.unwrap();
        assert_eq!((header.len, &sealed[..]), (30, &[7; 30][..]));
        assert!(matches!(reader.segment().await, Err(ReadError::Ended)));
    }

    #[tokio::test]
    async fn what_breaks_is_not_taken_for_what_its_sender_ended() {
        let broken = [Err::<Bytes, _>(std::io::Error::other("reset"))];
        let mut reader = MessageReader::new(Body::from_stream(futures::stream::iter(broken)));
        assert!(matches!(reader.segment().await, Err(ReadError::Cut)));
        assert!(matches!(reader.segment().await, Err(ReadError::Ended)));
    }
}
