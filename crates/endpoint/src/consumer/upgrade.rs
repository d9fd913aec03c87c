//! A caller that asks for WebSocket: over HTTP/1.1 (RFC 6455) or HTTP/2 (RFC 8441).

use armour_ambient::Random;
use armour_listener::UnderWay;
use axum::{body::Body, extract::Request};
use base64::{Engine, prelude::BASE64_STANDARD};
use h2::{Reason, ext::Protocol};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use crate::wire::{
    handed_on::{self, Sender},
    websocket::{self, closing::Closing, farewell},
};

/// A caller's connection, which is upgraded once its API agrees.
pub struct Upgrade {
    kind: Kind,
    /// None without a listener of ours.
    under_way: Option<UnderWay>,
}

enum Kind {
    /// What comes on the connection goes here.
    Http1(OnUpgrade, Sender),
    /// Both directions go as the stream's content.
    Http2(Closing),
}

impl Upgrade {
    /// Whether a request asks for it. It is then a `GET` whose body is what comes on the
    /// connection: one with content of its own does not ask well.
    pub fn of(request: &mut Request, random: &Random) -> Option<Self> {
        let protocol = request.extensions().get::<Protocol>();
        let http2 = match (request.method(), protocol) {
            (&Method::CONNECT, Some(protocol)) if protocol.as_str() == websocket::PROTOCOL => true,
            (&Method::GET, _) if websocket::is_asked_for(request.headers()) => false,
            _ => return None,
        };
        if has_content(request.headers()) {
            return None;
        }
        request.headers_mut().remove(header::CONTENT_LENGTH);
        let under_way = request.extensions().get::<UnderWay>().cloned();
        let kind = if http2 {
            let closing = Closing::new();
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = closing.of_the_first(body);
            *request.method_mut() = Method::GET;
            let key = BASE64_STANDARD.encode(random.bytes::<16>());
            let key = HeaderValue::from_str(&key).ok()?;
            request.headers_mut().insert(websocket::KEY, key);
            Kind::Http2(closing)
        } else {
            // A connection that cannot be upgraded has none.
            request.extensions().get::<OnUpgrade>()?;
            let connection = hyper::upgrade::on(&mut *request);
            let (up, body) = handed_on::body(Reason::CANCEL);
            *request.body_mut() = body;
            Kind::Http1(connection, up)
        };
        Some(Self { kind, under_way })
    }

    /// Carries the connection, to which the API has agreed.
    fn agreed(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, down) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        let down = farewell::to_caller(down);
        let body = match self.kind {
            Kind::Http1(connection, up) => {
                parts.status = StatusCode::SWITCHING_PROTOCOLS;
                websocket::in_http1(&mut parts.headers);
                let under_way = self.under_way;
                tokio::spawn(async move {
                    websocket::carry(connection, up, down).await;
                    drop(under_way);
                });
                Body::empty()
            }
            Kind::Http2(closing) => {
                parts.headers.remove(header::UPGRADE);
                parts.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
                closing.of_the_second(down)
            }
        };
        Response::from_parts(parts, body)
    }

    /// The API has declined: the request has no more body.
    fn declined(self) {
        match self.kind {
            Kind::Http1(_, up) => up.finish(),
            Kind::Http2(closing) => closing.declined(),
        }
    }
}

fn has_content(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    headers.contains_key(header::TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

/// The answer to a caller who may have asked for it.
pub fn answer(upgrade: Option<Upgrade>, mut response: Response<Body>) -> Response<Body> {
    match upgrade {
        Some(upgrade)
            if response.status() == StatusCode::OK && websocket::is_carried(response.headers()) =>
        {
            upgrade.agreed(response)
        }
        asked => {
            if let Some(upgrade) = asked {
                upgrade.declined();
            }
            response.headers_mut().remove(header::UPGRADE);
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: StatusCode) -> Response<Body> {
        let connection = hyper::upgrade::on(Request::new(Body::empty()));
        let (up, _body) = handed_on::body(Reason::CANCEL);
        let upgrade = Upgrade {
            kind: Kind::Http1(connection, up),
            under_way: None,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        websocket::carry_in(response.headers_mut());
        let length = HeaderValue::from_static("5");
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        answer(Some(upgrade), response)
    }

    /// A producer need not be honest.
    #[tokio::test]
    async fn a_refusal_that_is_called_an_agreement_is_a_refusal() {
        let agreed = answered(StatusCode::OK);
        assert_eq!(agreed.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert!(websocket::is_carried(agreed.headers()));
        assert!(!agreed.headers().contains_key(header::CONTENT_LENGTH));
        for status in [StatusCode::FORBIDDEN, StatusCode::CREATED] {
            let refused = answered(status);
            assert_eq!(refused.status(), status);
            assert!(!refused.headers().contains_key(header::UPGRADE));
        }
    }
}
