//! Messages between agents: a head, then sealed segments.

use armour_enclave::{
    Enclave, EnclaveError,
    ipc::{Keyed, Signed},
};
use armour_protocol::{
    Error as ProtocolError,
    message::{RESPONSE_FIXED_LEN, RequestHead, ResponseHead},
    schedule::{MessageKey, Transcript},
    segment::{HEADER_LEN, Header, MAX_CONTENT, Opener, Sealer},
    ticket::TICKET_LEN,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use ed25519_dalek::VerifyingKey;
use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use http_body_util::{BodyExt, BodyStream};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::wire::bhttp;

/// The path that a producer's agent serves.
pub const EXCHANGE_PATH: &str = "/armour/v1/exchange";
/// Content up to this many bytes is held whole, so that it can be sent again.
pub const HELD: usize = 256 * 1024;
/// Whole content up to this many bytes is signed in the call that begins its message:
/// to hash it twice costs less than another call.
const SIGNED_AHEAD: usize = 16 * 1024;

/// Which of the two messages of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the consumer.
    Request,
    /// From the producer.
    Response,
}

impl Direction {
    fn associated_data(self, head: &[u8]) -> &[u8] {
        let length = match self {
            Self::Request => TICKET_LEN,
            Self::Response => RESPONSE_FIXED_LEN,
        };
        &head[..length.min(head.len())]
    }
}

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The connection ended before the message did.
    #[error("the message is cut short")]
    Cut,
    /// The message is not what the protocol allows.
    #[error("{}", .0.code())]
    Protocol(#[from] ProtocolError),
}

/// Seals content piece by piece.
pub struct BodySealer {
    sealer: Sealer,
    enclave: Enclave,
    transcript: [u8; 32],
    signed: Option<Signed>,
    content: BytesMut,
}

/// The digest of whole content that is to be signed ahead.
pub fn known(content: &[u8]) -> Option<[u8; 32]> {
    (content.len() <= SIGNED_AHEAD).then(|| Sha256::digest(content).into())
}

impl BodySealer {
    /// Starts a message's body.
    pub fn new(enclave: &Enclave, keyed: &Keyed, direction: Direction) -> Self {
        let key = MessageKey::from_bytes(*keyed.key.0);
        Self {
            sealer: Sealer::new(&key, direction.associated_data(&keyed.head)),
            enclave: enclave.clone(),
            transcript: keyed.transcript,
            signed: keyed.signed.clone(),
            content: BytesMut::new(),
        }
    }

    /// Where content is to be written before [`BodySealer::seal`].
    pub fn content(&mut self) -> &mut BytesMut {
        &mut self.content
    }

    /// Seals what is there; without `all` a last partial segment is held back,
    /// so that there is always something left to end with.
    ///
    /// # Errors
    /// If the body has too many segments.
    pub fn seal(&mut self, all: bool, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        while self.content.len() > MAX_CONTENT || (all && !self.content.is_empty()) {
            let piece = self.content.split_to(MAX_CONTENT.min(self.content.len()));
            self.sealer.push(&piece, out)?;
        }
        Ok(())
    }

    /// Seals the rest and the signature.
    ///
    /// # Errors
    /// If the enclave is gone or the body has too many segments.
    pub async fn finish(mut self, out: &mut Vec<u8>) -> Result<(), EnclaveError> {
        let refused = |error: ProtocolError| EnclaveError::Refused(error.code().to_owned());
        self.seal(false, out).map_err(refused)?;
        let digest = self.sealer.finish_digest(&self.content);
        let signature = match self.signed {
            Some(ahead) if ahead.content == digest => {
                ahead.signature.try_into().map_err(|_| EnclaveError::Gone)?
            }
            _ => self.enclave.sign(self.transcript, digest).await?,
        };
        self.sealer
            .finish(&self.content, &signature, out)
            .map_err(refused)
    }
}

/// A message without content: head and one last segment.
///
/// # Errors
/// As [`BodySealer::finish`].
pub async fn seal_empty(
    enclave: &Enclave,
    keyed: &Keyed,
    direction: Direction,
) -> Result<Bytes, EnclaveError> {
    let mut out = keyed.head.clone();
    BodySealer::new(enclave, keyed, direction)
        .finish(&mut out)
        .await?;
    Ok(out.into())
}

/// What is there of an HTTP body without waiting.
pub enum Ahead {
    /// All of it.
    Whole,
    /// It goes on.
    More(BodyStream<Body>),
    /// It has broken.
    Broken,
}

/// Takes what is there of a small body.
pub fn ahead(mut body: BodyStream<Body>, content: &mut BytesMut) -> Ahead {
    while content.len() <= SIGNED_AHEAD {
        match body.next().now_or_never() {
            None => return Ahead::More(body),
            Some(Some(Err(_))) => return Ahead::Broken,
            Some(None) => {
                bhttp::put_end(&HeaderMap::new(), content);
                return Ahead::Whole;
            }
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => bhttp::put_content(&data, content),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    bhttp::put_end(&trailers, content);
                    return Ahead::Whole;
                }
            },
        }
    }
    Ahead::More(body)
}

/// Seals an HTTP body as it comes into a channel of wire bytes; what the sealer
/// already holds goes first. A body that breaks leaves the message cut short.
pub async fn pump(mut sealer: BodySealer, mut body: BodyStream<Body>, sink: mpsc::Sender<Bytes>) {
    let mut trailers = HeaderMap::new();
    loop {
        let frame = match body.next().now_or_never() {
            Some(frame) => frame,
            None => {
                // Nothing more for now: what is there must not wait.
                let mut out = Vec::new();
                if sealer.seal(true, &mut out).is_err()
                    || (!out.is_empty() && sink.send(out.into()).await.is_err())
                {
                    return;
                }
                body.next().await
            }
        };
        match frame {
            None => break,
            Some(Err(_)) => return,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    bhttp::put_content(&data, sealer.content());
                    let mut out = Vec::new();
                    if sealer.seal(false, &mut out).is_err()
                        || (!out.is_empty() && sink.send(out.into()).await.is_err())
                    {
                        return;
                    }
                }
                Err(frame) => {
                    if let Ok(found) = frame.into_trailers() {
                        trailers = found;
                    }
                }
            },
        }
    }
    bhttp::put_end(&trailers, sealer.content());
    let mut out = Vec::new();
    if sealer.finish(&mut out).await.is_ok() {
        let _ = sink.send(out.into()).await;
    }
}

/// Reads a message from an HTTP body.
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

    /// The request's head.
    ///
    /// # Errors
    /// If it is cut short or malformed.
    pub async fn request_head(&mut self) -> Result<Bytes, ReadError> {
        let ticket = self.peek(TICKET_LEN).await?;
        let length = RequestHead::len_of(ticket)?;
        self.take(length).await
    }

    /// The response's head.
    ///
    /// # Errors
    /// As above.
    pub async fn response_head(&mut self) -> Result<Bytes, ReadError> {
        let start = self.peek(2).await?;
        let length = ResponseHead::len_of(start)?;
        self.take(length).await
    }

    /// Opens the segments that follow the head.
    pub fn open(self, keyed: &Keyed, direction: Direction, signer: VerifyingKey) -> SegmentReader {
        let key = MessageKey::from_bytes(*keyed.key.0);
        SegmentReader {
            reader: self,
            opener: Opener::new(&key, direction.associated_data(&keyed.head)),
            signer,
            transcript: Transcript::from_bytes(keyed.transcript),
        }
    }

    async fn peek(&mut self, length: usize) -> Result<&[u8], ReadError> {
        self.fill(length).await?;
        Ok(&self.buffer[..length])
    }

    async fn take(&mut self, length: usize) -> Result<Bytes, ReadError> {
        self.fill(length).await?;
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self, length: usize) -> Result<(), ReadError> {
        while self.buffer.len() < length {
            let frame = self.body.frame().await.ok_or(ReadError::Cut)?;
            let frame = frame.map_err(|_| ReadError::Cut)?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
        Ok(())
    }
}

/// Opens segments as they come.
pub struct SegmentReader {
    reader: MessageReader,
    opener: Opener,
    signer: VerifyingKey,
    transcript: Transcript,
}

impl SegmentReader {
    /// The next segment's content; `None` after the last one.
    ///
    /// # Errors
    /// If the message is cut short, or a segment is not its sender's.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.opener.is_done() {
            return Ok(None);
        }
        let mut header = [0u8; HEADER_LEN];
        header.copy_from_slice(&self.reader.take(HEADER_LEN).await?);
        let header = Header::from_bytes(header)?;
        let sealed = self.reader.take(header.len).await?;
        let content = self
            .opener
            .open(header, &sealed, &self.signer, &self.transcript)?;
        Ok(Some(content))
    }

    /// Whether the last segment has been opened.
    pub fn is_done(&self) -> bool {
        self.opener.is_done()
    }
}
