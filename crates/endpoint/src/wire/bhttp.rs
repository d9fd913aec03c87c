//! Binary HTTP (RFC 9292), indeterminate-length form, written and read piece by
//! piece so that a body of any length passes in bounded memory.

use armour_listener::rules::without_user_info;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
use thiserror::Error;

use super::{content::Content, websocket};

/// Most bytes of a head or of trailers.
pub const MAX_FIELDS: usize = 64 * 1024;
const REQUEST: u64 = 2;
const RESPONSE: u64 = 3;

/// Fields that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// The bytes are not a Binary HTTP message of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed Binary HTTP")]
pub struct Malformed;

/// Removes the fields that belong to one connection, and those it names; and the length of a
/// message that was sent in chunks, which is not its own (RFC 9112, section 6.3). `TE: trailers`
/// stays, since trailers are passed on; gRPC asks for it (RFC 9113, section 8.2.2).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        let mut codings = value.to_str().unwrap_or("").split(',');
        codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    });
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    headers.remove(header::TE);
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Writes a request's control data and fields. `Host` becomes the authority, of which user
/// information is no part (RFC 9110, section 4.2.4).
pub fn put_request(parts: &http::request::Parts, out: &mut Content) {
    put_varint(REQUEST, out);
    put_bytes(parts.method.as_str().as_bytes(), out);
    put_bytes(b"http", out);
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = parts.headers.get(header::HOST);
    put_bytes(
        authority.map_or_else(
            || host.map_or(&b""[..], |host| host.as_bytes()),
            |authority| without_user_info(authority).as_bytes(),
        ),
        out,
    );
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    put_bytes(path.as_bytes(), out);
    put_fields(&parts.headers, out);
}

/// Writes a response's control data and fields.
pub fn put_response(parts: &http::response::Parts, out: &mut Content) {
    put_varint(RESPONSE, out);
    put_varint(parts.status.as_u16().into(), out);
    put_fields(&parts.headers, out);
}

/// Writes a piece of content; nothing for an empty one, which would end it.
pub fn put_content(content: &[u8], out: &mut Content) {
    if !content.is_empty() {
        put_bytes(content, out);
    }
}

/// Ends the content and writes trailers.
pub fn put_end(trailers: &HeaderMap, out: &mut Content) {
    put_varint(0, out);
    put_fields(trailers, out);
}

fn put_fields(headers: &HeaderMap, out: &mut Content) {
    let is_handshake = websocket::is_carried(headers);
    for (name, value) in headers {
        let kept = !HOP_BY_HOP.contains(name) || (name == header::UPGRADE && is_handshake);
        if name != header::HOST && kept {
            put_bytes(name.as_str().as_bytes(), out);
            put_bytes(value.as_bytes(), out);
        }
    }
    put_varint(0, out);
}

fn put_bytes(bytes: &[u8], out: &mut Content) {
    put_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// A variable-length integer of QUIC (RFC 9000, section 16).
fn put_varint(value: u64, out: &mut Content) {
    match value {
        0..=0x3f => out.put_u8(value as u8),
        0x40..=0x3fff => out.extend(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => out.extend(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// A piece of a message.
#[derive(Debug)]
pub enum Piece {
    /// A request's control data and fields.
    Request(Request<()>),
    /// A final response's control data and fields.
    Response(Response<()>),
    /// Content.
    Content(Bytes),
    /// The end, with trailers.
    End(HeaderMap),
}

/// Reads a message from bytes as they come. What it holds is wiped with it.
pub struct Decoder {
    buffer: Content,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
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
                State::Head => {
                    let Some(piece) = self.whole(read_head)? else {
                        return Ok(None);
                    };
                    self.state = State::ChunkLength;
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
                    let Some(trailers) = self.whole(read_fields)? else {
                        return Ok(None);
                    };
                    self.state = State::Done;
                    return Ok(Some(Piece::End(trailers)));
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
        Some(RESPONSE) => Ok(read_response(cursor)?.map(Piece::Response)),
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

fn read_response(cursor: &mut Cursor<'_>) -> Result<Option<Response<()>>, Malformed> {
    loop {
        let Some(status) = cursor.varint() else {
            return Ok(None);
        };
        let Some(headers) = read_fields(cursor)? else {
            return Ok(None);
        };
        let status = u16::try_from(status).map_err(|_| Malformed)?;
        let status = StatusCode::from_u16(status).map_err(|_| Malformed)?;
        if !status.is_informational() {
            let mut response = Response::new(());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            return Ok(Some(response));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Content {
        let (parts, ()) = Request::builder()
            .method("POST")
            .uri("/a/b?c=d")
            .header("host", "shop.example")
            .header("x-one", "1")
            .header("connection", "x-two")
            .body(())
            .unwrap()
            .into_parts();
        let mut out = Content::default();
        put_request(&parts, &mut out);
        put_content(&[7; 100_000], &mut out);
        put_content(b"", &mut out);
        put_content(b"end", &mut out);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("9"));
        put_end(&trailers, &mut out);
        out
    }

    /// A foreign implementation reads what we write.
    #[test]
    fn bhttp_crate_reads_our_request() {
        let message =
            bhttp::Message::read_bhttp(&mut std::io::Cursor::new(request().as_slice())).unwrap();
        assert_eq!(message.control().method(), Some(&b"POST"[..]));
        assert_eq!(message.control().authority(), Some(&b"shop.example"[..]));
        assert_eq!(message.control().path(), Some(&b"/a/b?c=d"[..]));
        assert_eq!(message.header().get(b"x-one"), Some(&b"1"[..]));
        assert_eq!(message.header().get(b"host"), None);
        assert_eq!(message.content().len(), 100_003);
        assert_eq!(message.trailer().get(b"x-sum"), Some(&b"9"[..]));
    }

    /// And we read what it writes.
    #[test]
    fn we_read_what_the_bhttp_crate_writes() {
        let mut message = bhttp::Message::response(bhttp::StatusCode::try_from(207u16).unwrap());
        message.put_header("x-one", "1");
        message.write_content(vec![5; 70_000]);
        message.put_trailer("x-sum", "9");
        let mut bytes = Vec::new();
        message
            .write_bhttp(bhttp::Mode::IndeterminateLength, &mut bytes)
            .unwrap();
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let Some(Piece::Response(head)) = decoder.piece().unwrap() else {
            panic!("no head");
        };
        assert_eq!(head.status(), 207);
        let mut content = 0;
        loop {
            match decoder.piece().unwrap() {
                Some(Piece::Content(bytes)) => content += bytes.len(),
                Some(Piece::End(trailers)) => break assert_eq!(trailers["x-sum"], "9"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(content, 70_000);
        assert!(decoder.is_done());
    }

    #[test]
    fn byte_by_byte_is_the_same() {
        let mut decoder = Decoder::default();
        let (mut content, mut heads) = (0, 0);
        for byte in request().as_slice() {
            decoder.push(&[*byte]);
            while let Some(piece) = decoder.piece().unwrap() {
                match piece {
                    Piece::Request(head) => {
                        heads += 1;
                        assert_eq!(head.headers()["host"], "shop.example");
                    }
                    Piece::Content(bytes) => content += bytes.len(),
                    _ => {}
                }
            }
        }
        assert_eq!((heads, content, decoder.is_done()), (1, 100_003, true));
    }

    #[test]
    fn of_te_trailers_alone_is_passed_on() {
        let passed = |fields: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            strip_hop_by_hop(&mut headers);
            let mut left: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            left.sort();
            left
        };
        let both = [
            ("connection", "te, x-mine"),
            ("te", "gzip, Trailers"),
            ("x-mine", "1"),
        ];
        assert_eq!(passed(&both), ["te: trailers"]);
        assert!(passed(&[("te", "gzip"), ("keep-alive", "5")]).is_empty());
        assert_eq!(passed(&[("trailer", "x-sum")]), ["trailer: x-sum"]);
    }

    #[test]
    fn a_length_beside_chunks_is_dropped() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("20"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers[header::CONTENT_LENGTH], "20");
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn user_information_of_a_target_is_not_passed_on() {
        let request = Request::get("http://user:secret@shop.example:80/a");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Content::default();
        put_request(&parts, &mut out);
        let mut decoder = Decoder::default();
        decoder.push(out.as_slice());
        let Some(Piece::Request(read)) = decoder.piece().unwrap() else {
            panic!("no head");
        };
        assert_eq!(read.headers()[header::HOST], "shop.example:80");
    }

    #[test]
    fn of_upgrades_a_handshake_of_websocket_alone_is_carried() {
        for (protocol, carried) in [("websocket", true), ("h2c", false)] {
            let (parts, ()) = Request::get("/")
                .header("upgrade", protocol)
                .body(())
                .unwrap()
                .into_parts();
            let mut out = Content::default();
            put_request(&parts, &mut out);
            let mut decoder = Decoder::default();
            decoder.push(out.as_slice());
            let Some(Piece::Request(head)) = decoder.piece().unwrap() else {
                panic!("no head");
            };
            assert_eq!(websocket::is_carried(head.headers()), carried);
            assert_eq!(head.headers().contains_key("upgrade"), carried);
        }
    }

    #[test]
    fn bad_messages_are_refused() {
        let bad: [&[u8]; 4] = [
            &[9],
            &[0x40, 0x63],
            b"\x02\x03G T\x04http\x00\x01/\x00",
            b"\x03\x05\x00",
        ];
        for bytes in bad {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.piece().err(), Some(Malformed), "{bytes:?}");
        }
        let mut decoder = Decoder::default();
        decoder.push(b"\x02");
        decoder.push(&[0xff; MAX_FIELDS + 1]);
        assert_eq!(decoder.piece().err(), Some(Malformed));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.piece() {}
        }
    }
}
