//! Binary HTTP (RFC 9292), indeterminate-length form, written and read piece by
//! piece so that a body of any length passes in bounded memory.

pub mod decoder;

use armour_listener::rules::without_user_info;
use h2::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use thiserror::Error;

use super::{content::Content, websocket};

/// Most bytes of a head or of trailers.
pub const MAX_FIELDS: usize = 64 * 1024;
const REQUEST: u64 = 2;
const RESPONSE: u64 = 3;
/// In place of trailers: the message was broken off, by this code of HTTP/2 (RFC 9113,
/// section 7) in decimal. No field of HTTP has such a name.
const RESET: &[u8] = b":reset";

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

/// What a message that is a response begins with.
pub fn begin_response(out: &mut Content) {
    put_varint(RESPONSE, out);
}

/// Writes a response's control data and fields, whether it is final or informational.
pub fn put_status(status: StatusCode, fields: &HeaderMap, out: &mut Content) {
    put_varint(status.as_u16().into(), out);
    put_fields(fields, out);
}

/// Begins a message that is a response, and writes its control data and fields.
pub fn put_response(parts: &http::response::Parts, out: &mut Content) {
    begin_response(out);
    put_status(parts.status, &parts.headers, out);
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

/// Ends a message that its sender broke off, by this code.
pub fn put_reset(reason: Reason, out: &mut Content) {
    put_varint(0, out);
    put_bytes(RESET, out);
    put_bytes(u32::from(reason).to_string().as_bytes(), out);
    put_varint(0, out);
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

#[cfg(test)]
mod tests;
