//! A handshake of WebSocket with an API: of HTTP/1.1 (RFC 6455), or of HTTP/2 (RFC 8441).

use axum::body::Body;
use h2::{Reason, ext::Protocol};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};

use crate::wire::{
    handed_on,
    websocket::{self, closing::Closing, farewell},
};

/// One that has been sent.
pub struct Handshake {
    /// What an API that agrees answers; none where the request has no key.
    accept: Option<HeaderValue>,
    kind: Kind,
}

enum Kind {
    /// What goes to the API once it has agreed.
    Http1(Body),
    /// Both directions go as the stream's content.
    Http2(Closing),
}

/// Marks the response of a handshake that the API has agreed to.
#[derive(Debug, Clone, Copy)]
pub struct Upgraded;

impl Handshake {
    /// Makes a request a handshake. Its body is no content of it, so that no length
    /// may be told: an API that declines would take the next request of its connection for it.
    pub fn new(head: &mut Parts, body: &mut Body, http2: bool) -> Self {
        head.headers.remove(header::CONTENT_LENGTH);
        let key = head.headers.get(websocket::KEY);
        let accept = key.map(websocket::accept);
        let accept = accept.and_then(|accept| HeaderValue::from_str(&accept).ok());
        let kind = if http2 {
            // Its stream shows what the key is to show (RFC 8441, section 5).
            head.headers.remove(websocket::KEY);
            head.method = Method::CONNECT;
            head.extensions
                .insert(Protocol::from_static(websocket::PROTOCOL));
            let closing = Closing::new();
            *body = closing.of_the_first(farewell::to_api(std::mem::take(body)));
            Kind::Http2(closing)
        } else {
            websocket::in_http1(&mut head.headers);
            Kind::Http1(std::mem::take(body))
        };
        Self { accept, kind }
    }

    /// Whether an answer of this status agrees.
    pub fn is_agreed_by(&self, status: StatusCode) -> bool {
        match self.kind {
            Kind::Http1(_) => status == StatusCode::SWITCHING_PROTOCOLS,
            Kind::Http2(_) => status == StatusCode::OK,
        }
    }

    /// What a response that agrees is to agents: its connection's bytes are its body,
    /// and those of the request's go to it. None if it does not agree to this handshake.
    pub fn agreed(self, mut response: Response<Body>) -> Option<Response<Body>> {
        let body = match self.kind {
            Kind::Http1(down) => {
                let answer = response.headers().get(header::SEC_WEBSOCKET_ACCEPT)?;
                if !websocket::is_carried(response.headers()) || *answer != self.accept? {
                    return None;
                }
                let connection = hyper::upgrade::on(&mut response);
                let (up, body) = handed_on::body(Reason::CANCEL);
                let down = farewell::to_api(down);
                tokio::spawn(websocket::carry(connection, up, down));
                body
            }
            Kind::Http2(closing) => {
                let fields = response.headers_mut();
                fields.remove(header::CONTENT_LENGTH);
                // A caller of HTTP/1.1 awaits it; one without a key has it taken away.
                if let Some(accept) = self.accept {
                    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
                }
                closing.of_the_second(std::mem::take(response.body_mut()))
            }
        };
        *response.status_mut() = StatusCode::OK;
        response.extensions_mut().insert(Upgraded);
        Some(response.map(|_| body))
    }
}
