//! HTTP/2 (RFC 9113), by `h2` itself: so that interim responses are sent, and the codes of
//! streams that are reset are kept, either way.

pub mod content;

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use self::content::Received;
use crate::{handler::Handler, rules};

/// How often a client is asked whether it is there, and how long it may take.
const PING: Duration = Duration::from_secs(20);
/// Requests at once on a connection.
const STREAMS: u32 = 256;
/// How much a client may send before it is read, on a stream and on a connection.
const WINDOW: u32 = 1024 * 1024;
/// How much of an answer is held for a client that does not take it.
const SEND_BUFFER: usize = 400 * 1024;

/// Fields of connections of HTTP/1.1 alone (RFC 9113, section 8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Serves a connection to its end.
///
/// # Errors
/// If it breaks.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<Handler>,
    stop: CancellationToken,
) -> Result<(), h2::Error> {
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(rules::HEAD_READ)
        .enable_connect_protocol();
    let mut connection = builder.handshake::<_, Bytes>(stream).await?;
    let lost = lost(connection.ping_pong());
    tokio::pin!(lost);
    let mut stopping = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    tokio::spawn(answer(request, respond, handler.clone()));
                }
                None => return Ok(()),
            },
            () = &mut lost => return Ok(()),
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.graceful_shutdown();
            }
        }
    }
}

/// Waits until a client does not answer any more.
async fn lost(ping_pong: Option<PingPong>) {
    let Some(mut ping_pong) = ping_pong else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(PING).await;
        let asked = ping_pong.ping(Ping::opaque());
        if !matches!(tokio::time::timeout(PING, asked).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// Answers a request, unless its client resets it.
async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    handler: Arc<Handler>,
) {
    let request: Request = request.map(|stream| Body::new(Received::new(stream)));
    let (interim, answer) = handler.answer(request);
    let answered = {
        tokio::pin!(answer);
        poll_fn(|context| {
            if respond.poll_reset(context).is_ready() {
                return Poll::Ready(None);
            }
            interim.register(context);
            let answered = answer.as_mut().poll(context);
            if answered.is_ready() {
                interim.close();
            }
            for (status, fields) in interim.take() {
                let mut response = http::Response::new(());
                *response.status_mut() = status;
                *response.headers_mut() = fields;
                without_connection(response.headers_mut());
                let _ = respond.send_informational(response);
            }
            answered.map(Some)
        })
        .await
    };
    if let Some(answered) = answered
        && let Err(error) = send(answered, &mut respond).await
    {
        tracing::trace!(%error, "an answer broke off");
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

async fn send(response: Response, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (mut head, body) = response.into_parts();
    without_connection(&mut head.headers);
    head.headers.remove(header::TE);
    head.headers.entry(header::DATE).or_insert_with(now);
    let ended = body.is_end_stream();
    if !ended && let Some(length) = body.size_hint().exact() {
        let length = HeaderValue::from(length);
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
    }
    let stream = respond.send_response(http::Response::from_parts(head, ()), ended)?;
    if !ended {
        content::send(body, stream).await;
    }
    Ok(())
}

/// Removes what is of a connection of HTTP/1.1.
pub fn without_connection(fields: &mut HeaderMap) {
    for name in &OF_CONNECTIONS {
        fields.remove(name);
    }
}

/// The moment as HTTP writes it (RFC 9110, section 5.6.7).
#[expect(
    clippy::disallowed_methods,
    reason = "it is told to clients, and decides nothing"
)]
fn now() -> HeaderValue {
    let now = httpdate::fmt_http_date(SystemTime::now());
    HeaderValue::from_str(&now).unwrap_or_else(|_| HeaderValue::from_static(""))
}
