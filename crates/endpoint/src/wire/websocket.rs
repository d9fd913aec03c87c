//! WebSocket (RFC 6455) as agents carry it: the handshake is a `GET` and a response 200, each with
//! `Upgrade: websocket`; after them the connection's bytes are the two messages' content, as they
//! are. Frames, extensions and close codes are the caller's and the API's, but for the last frame
//! of a connection that agents end ([`farewell`]).

pub mod closing;
pub mod farewell;
mod frames;

use std::time::Duration;

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::handed_on;

/// What both upgrades are called by, in HTTP/1.1 and in HTTP/2.
pub const PROTOCOL: &str = "websocket";
/// What a caller says in HTTP/1.1 so that the answer shows that it was meant.
pub const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
/// What the answer to a key is made of besides it (RFC 6455, section 1.3).
const ANSWER: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version that there is.
const VERSION: &[u8] = b"13";
/// WebSocket has no direction that goes on for long after the other has ended.
const CLOSING: Duration = Duration::from_secs(10);
/// How much is read at once.
const READ: usize = 16 * 1024;

/// Whether a message that agents carry is a handshake.
pub fn is_carried(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(is_websocket)
}

/// Makes a message that agents carry a handshake.
pub fn carry_in(headers: &mut HeaderMap) {
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
}

/// Makes a carried handshake one of HTTP/1.1.
pub fn in_http1(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    carry_in(headers);
}

/// Whether a request of HTTP/1.1 asks for it: all that a handshake needs is there (RFC 6455,
/// section 4.2.1). Less is an offer, which is not taken (RFC 9110, section 7.8).
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    lists(headers, header::UPGRADE, PROTOCOL)
        && lists(headers, header::CONNECTION, "upgrade")
        && headers.contains_key(KEY)
        && version.is_some_and(|version| version.as_bytes() == VERSION)
}

fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut listed = value.to_str().unwrap_or_default().split(',');
        listed.any(|one| one.trim().eq_ignore_ascii_case(wanted))
    })
}

/// What an API that agrees answers to a key.
pub fn accept(key: &HeaderValue) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(ANSWER);
    BASE64_STANDARD.encode(hash.finalize())
}

fn is_websocket(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes())
}

/// Carries a connection's bytes: what comes on it to `up`, and `down` to it, until both have
/// ended, or one has broken off, which breaks the other off.
pub async fn carry(connection: OnUpgrade, up: handed_on::Sender, down: Body) {
    match connection.await {
        Ok(connection) => join(TokioIo::new(connection), up, down).await,
        Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
    }
}

async fn join(connection: impl AsyncRead + AsyncWrite, up: handed_on::Sender, down: Body) {
    let (read, write) = tokio::io::split(connection);
    let (up, down) = (upwards(read, up), downwards(write, down));
    tokio::pin!(up, down);
    let ended = tokio::select! {
        ended = &mut up => match ended {
            Some(()) => tokio::time::timeout(CLOSING, down).await.ok().flatten(),
            None => None,
        },
        ended = &mut down => match ended {
            Some(()) => tokio::time::timeout(CLOSING, up).await.ok().flatten(),
            None => None,
        },
    };
    if ended.is_none() {
        tracing::debug!("a WebSocket broke off");
    }
}

/// None if it broke off. Once nobody takes it any more the rest is read for a while: a connection
/// that is closed with something unread takes back what was sent on it.
async fn upwards(mut read: impl AsyncRead + Unpin, up: handed_on::Sender) -> Option<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        let count = tokio::select! {
            count = read.read_buf(&mut buffer) => count.ok()?,
            () = up.is_unwanted() => break,
        };
        if count == 0 {
            up.finish();
            return Some(());
        }
        let bytes: Bytes = buffer.split().freeze();
        if up.send(Frame::data(bytes)).await.is_err() {
            break;
        }
    }
    let mut nobody = tokio::io::sink();
    let unread = tokio::io::copy(&mut read, &mut nobody);
    tokio::time::timeout(CLOSING, unread).await.ok()?.ok()?;
    Some(())
}

/// None if it broke off.
async fn downwards(mut write: impl AsyncWrite + Unpin, mut down: Body) -> Option<()> {
    while let Some(frame) = down.frame().await {
        if let Ok(bytes) = frame.ok()?.into_data() {
            write.write_all(&bytes).await.ok()?;
            write.flush().await.ok()?;
        }
    }
    write.shutdown().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_directions_pass_and_end_each_by_itself() {
        let (mut peer, connection) = tokio::io::duplex(64);
        let (up, mut upwards) = handed_on::body(h2::Reason::CANCEL);
        let (downwards, down) = handed_on::body(h2::Reason::CANCEL);
        let carried = tokio::spawn(join(connection, up, down));
        peer.write_all(b"ping").await.unwrap();
        let frame = upwards.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "ping");
        let frame = Frame::data(Bytes::from_static(b"pong"));
        downwards.send(frame).await.unwrap();
        downwards.finish();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"pong");
        peer.write_all(b"last").await.unwrap();
        drop(peer);
        assert_eq!(upwards.collect().await.unwrap().to_bytes(), "last");
        carried.await.unwrap();
    }

    #[tokio::test]
    async fn what_breaks_off_breaks_the_other_direction_off() {
        let (mut peer, connection) = tokio::io::duplex(64);
        let (up, upwards) = handed_on::body(h2::Reason::CANCEL);
        let (downwards, down) = handed_on::body(h2::Reason::CANCEL);
        let carried = tokio::spawn(join(connection, up, down));
        downwards.reset(h2::Reason::CANCEL);
        assert!(upwards.collect().await.is_err());
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
        carried.await.unwrap();
    }

    /// The caller has sent something that nobody takes any more.
    #[tokio::test]
    async fn a_connection_that_agents_end_is_closed_by_a_frame_that_arrives() {
        let (mut peer, connection) = tokio::io::duplex(64);
        let (up, upwards) = handed_on::body(h2::Reason::CANCEL);
        let (downwards, down) = handed_on::body(h2::Reason::CANCEL);
        let carried = tokio::spawn(join(connection, up, farewell::to_caller(down)));
        drop(upwards);
        peer.write_all(b"unread").await.unwrap();
        drop(downwards);
        let mut closed = Vec::new();
        peer.read_to_end(&mut closed).await.unwrap();
        assert_eq!(closed, [0x88, 2, 0x03, 0xf4]);
        drop(peer);
        carried.await.unwrap();
    }

    #[test]
    fn it_is_asked_for_among_other_offers_and_whole() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("upgrade", "h2c"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert!(!is_asked_for(&headers) && !is_carried(&headers));
        headers.append(header::UPGRADE, HeaderValue::from_static("a/1, WebSocket"));
        assert!(is_asked_for(&headers));
        for needed in [
            header::CONNECTION,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_KEY,
        ] {
            let mut less = headers.clone();
            less.remove(&needed);
            assert!(!is_asked_for(&less), "{needed}");
        }
    }

    /// RFC 6455, section 1.3.
    #[test]
    fn the_answer_to_a_key_is_that_of_the_standards_example() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
