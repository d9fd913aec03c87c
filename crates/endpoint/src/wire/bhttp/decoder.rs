//! Reading of messages.

use bytes::Bytes;
use h2::Reason;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};

use super::{MAX_FIELDS, Malformed, REQUEST, RESET, RESPONSE, strip_hop_by_hop};
use crate::wire::{content::Content, websocket};

/// A piece of a message.
#[derive(Debug)]
pub enum Piece {
    /// A request's control data and fields.
    Request(Request<()>),
    /// An informational response's control data and fields.
    Interim(Response<()>),
    /// A final response's control data and fields.
    Response(Response<()>),
    /// Content.
    Content(Bytes),
    /// The end, with trailers.
    End(HeaderMap),
    /// The end of a message that its sender broke off, with a code of HTTP/2.
    Reset(Reason),
}

/// Reads a message from bytes as they come. What it holds is wiped with it.
pub struct Decoder {
    buffer: Content,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    /// The status of a response, after informational ones.
    Status,
    ChunkLength,
    Chunk(u64),
    Trailers,
    Done,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            buffer: Content::default(),
            state: State::Head,
        }
    }
}

impl Decoder {
    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// The next piece, if its bytes have come.
    ///
    /// # Errors
    /// [`Malformed`]; nothing more can be read then.
    pub fn piece(&mut self) -> Result<Option<Piece>, Malformed> {
        loop {
            match self.state {
                State::Head | State::Status => {
                    let piece = match self.state {
                        State::Head => self.whole(read_head)?,
                        _ => self.whole(read_response)?,
                    };
                    let Some(piece) = piece else {
                        return Ok(None);
                    };
                    self.state = match &piece {
                        Piece::Interim(_) => State::Status,
                        _ => State::ChunkLength,
                    };
                    return Ok(Some(piece));
                }
                State::ChunkLength => {
                    let mut cursor = Cursor(self.buffer.as_slice());
                    let Some(length) = cursor.varint() else {
                        return Ok(None);
                    };
                    let left = cursor.0.len();
                    self.buffer.advance(self.buffer.len() - left);
                    self.state = match length {
                        0 => State::Trailers,
                        length => State::Chunk(length),
                    };
                }
                State::Chunk(left) => {
                    if self.buffer.is_empty() {
                        return Ok(None);
                    }
                    let here = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(self.buffer.len());
                    self.state = match left - here as u64 {
                        0 => State::ChunkLength,
                        left => State::Chunk(left),
                    };
                    return Ok(Some(Piece::Content(
                        self.buffer.split_to(here).into_bytes(),
                    )));
                }
                State::Trailers => {
                    let Some(end) = self.whole(read_end)? else {
                        return Ok(None);
                    };
                    self.state = State::Done;
                    return Ok(Some(end));
                }
                // Padding is zeros (RFC 9292, section 3.8).
                State::Done if self.buffer.as_slice().iter().all(|byte| *byte == 0) => {
                    self.buffer.clear();
                    return Ok(None);
                }
                State::Done => return Err(Malformed),
            }
        }
    }

    /// Whether the message has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads something that must be there whole.
    fn whole<T>(
        &mut self,
        read: impl Fn(&mut Cursor<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let mut cursor = Cursor(self.buffer.as_slice());
        match read(&mut cursor)? {
            Some(found) => {
                let left = cursor.0.len();
                self.buffer.advance(self.buffer.len() - left);
                Ok(Some(found))
            }
            None if self.buffer.len() > MAX_FIELDS => Err(Malformed),
            None => Ok(None),
        }
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let length = 1usize << (first >> 6);
        let bytes = self.0.get(..length)?;
        self.0 = &self.0[length..];
        let start = u64::from(first & 0x3f);
        Some(
            bytes[1..]
                .iter()
                .fold(start, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let bytes = self.0.get(..length)?;
        self.0 = &self.0[length..];
        Some(bytes)
    }
}

fn read_head(cursor: &mut Cursor<'_>) -> Result<Option<Piece>, Malformed> {
    match cursor.varint() {
        None => Ok(None),
        Some(REQUEST) => Ok(read_request(cursor)?.map(Piece::Request)),
        Some(RESPONSE) => read_response(cursor),
        Some(_) => Err(Malformed),
    }
}

fn read_request(cursor: &mut Cursor<'_>) -> Result<Option<Request<()>>, Malformed> {
    let (Some(method), Some(_scheme), Some(authority), Some(path)) = (
        cursor.bytes(),
        cursor.bytes(),
        cursor.bytes(),
        cursor.bytes(),
    ) else {
        return Ok(None);
    };
    let Some(mut headers) = read_fields(cursor)? else {
        return Ok(None);
    };
    if !authority.is_empty() {
        let host = HeaderValue::from_bytes(authority).map_err(|_| Malformed)?;
        headers.insert(header::HOST, host);
    }
    let uri: Uri = Uri::try_from(path).map_err(|_| Malformed)?;
    // Only the upstream's configuration says where a request goes.
    if uri.authority().is_some() {
        return Err(Malformed);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).map_err(|_| Malformed)?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(Some(request))
}

fn read_response(cursor: &mut Cursor<'_>) -> Result<Option<Piece>, Malformed> {
    let Some(status) = cursor.varint() else {
        return Ok(None);
    };
    let Some(headers) = read_fields(cursor)? else {
        return Ok(None);
    };
    let status = u16::try_from(status).map_err(|_| Malformed)?;
    let status = StatusCode::from_u16(status).map_err(|_| Malformed)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Some(match status.is_informational() {
        // What follows it would be no message.
        true if status == StatusCode::SWITCHING_PROTOCOLS => return Err(Malformed),
        true => Piece::Interim(response),
        false => Piece::Response(response),
    }))
}

/// Trailers, or what stands in their place.
fn read_end(cursor: &mut Cursor<'_>) -> Result<Option<Piece>, Malformed> {
    let mut ahead = Cursor(cursor.0);
    if ahead.bytes() != Some(RESET) {
        return Ok(read_fields(cursor)?.map(Piece::End));
    }
    let (Some(code), Some(end)) = (ahead.bytes(), ahead.bytes()) else {
        return Ok(None);
    };
    let code = std::str::from_utf8(code).ok();
    let code = code.and_then(|code| code.parse::<u32>().ok());
    let (Some(code), true) = (code, end.is_empty()) else {
        return Err(Malformed);
    };
    *cursor = ahead;
    Ok(Some(Piece::Reset(code.into())))
}

fn read_fields(cursor: &mut Cursor<'_>) -> Result<Option<HeaderMap>, Malformed> {
    let mut headers = HeaderMap::new();
    loop {
        let Some(name) = cursor.bytes() else {
            return Ok(None);
        };
        if name.is_empty() {
            let is_handshake = websocket::is_carried(&headers);
            strip_hop_by_hop(&mut headers);
            if is_handshake {
                websocket::carry_in(&mut headers);
            }
            return Ok(Some(headers));
        }
        let Some(value) = cursor.bytes() else {
            return Ok(None);
        };
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
        headers.try_append(name, value).map_err(|_| Malformed)?;
    }
}
