//! A handshake of WebSocket with an API of HTTP/1.1.

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, header};

use crate::wire::{handed_on, websocket};

/// One that has been sent.
pub struct Handshake {
    /// What an API that agrees answers; none where the request has no key.
    accept: Option<String>,
    /// What goes to the API once it has agreed.
    body: Body,
}

/// Marks the response of a handshake that the API has agreed to.
#[derive(Debug, Clone, Copy)]
pub struct Upgraded;

impl Handshake {
    /// Makes a request's fields a handshake's. Its body is no content of it, so that no length
    /// may be told: an API that declines would take the next request of its connection for it.
    pub fn new(headers: &mut HeaderMap, body: Body) -> Self {
        websocket::in_http1(headers);
        headers.remove(header::CONTENT_LENGTH);
        let accept = headers.get(websocket::KEY).map(websocket::accept);
        Self { accept, body }
    }

    /// What a response with the status 101 is to agents: its connection's bytes are its body,
    /// and those of the request's go to it. None if it does not agree to this handshake.
    pub fn agreed(self, mut response: Response<Body>) -> Option<Response<Body>> {
        let answer = response.headers().get(header::SEC_WEBSOCKET_ACCEPT)?;
        if !websocket::is_carried(response.headers()) || *answer != *self.accept? {
            return None;
        }
        let connection = hyper::upgrade::on(&mut response);
        let (up, body) = handed_on::body();
        tokio::spawn(websocket::carry(connection, up, self.body));
        *response.status_mut() = StatusCode::OK;
        response.extensions_mut().insert(Upgraded);
        Some(response.map(|_| body))
    }
}
