//! Requests before an API made of bytes.

use armour_protocol::v2::time::ProducerTime;
use bytes::Bytes;
use http_body::Frame;

use super::*;
use crate::{
    control_plane::testing::{Answer, ControlPlane},
    producer::{clock::ProducerClock, handshake::Upgraded, testing::RawApi},
    wire::{handed_on, interims},
};

/// RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

async fn session() -> Arc<Session> {
    let plane = ControlPlane::start(|_, _| Answer::Json(serde_json::Value::Null)).await;
    plane.session()
}

async fn serve(
    api: &RawApi,
    session: &Session,
    request: Request<Body>,
) -> Result<Response<Body>, Reason> {
    let clock = ProducerClock::new(0);
    let soon = clock.begin_by(ProducerTime(clock.now().0 + 60_000));
    let connected = api.upstream.connect().await.unwrap();
    let terms = Terms {
        turn: Turn::of_the_api(),
        begin_by: soon,
        retry: RetryPolicy::Safe,
        interims: interims::channel().0,
    };
    connected.serve(session, request, terms).await
}

fn get(path: &str, body: Body) -> Request<Body> {
    Request::get(path).body(body).unwrap()
}

fn handshake(body: Body) -> Request<Body> {
    let mut request = get("/talk", body);
    websocket::carry_in(request.headers_mut());
    let key = HeaderValue::from_static(KEY);
    request.headers_mut().insert(websocket::KEY, key);
    request
}

fn declines(head: &str) -> String {
    let status = match head.starts_with("get /talk ") {
        true => "404 Not Found",
        false => "200 OK",
    };
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

/// Its consumer need not be honest, and the API's connection is shared.
#[tokio::test]
async fn a_declined_handshake_that_told_a_length_leaves_the_next_request_whole() {
    let (mut api, session) = (RawApi::start(declines).await, session().await);
    let (up, body) = handed_on::body(h2::Reason::CANCEL);
    up.send(Frame::data(Bytes::from_static(b"hello")))
        .await
        .unwrap();
    let mut request = handshake(body);
    let length = HeaderValue::from_static("5");
    request.headers_mut().insert(header::CONTENT_LENGTH, length);
    let response = serve(&api, &session, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    drop(response);
    let head = api.asked().await;
    assert!(!head.contains("content-length"), "{head}");
    let next = serve(&api, &session, get("/next", Body::empty())).await;
    assert_eq!(next.unwrap().status(), StatusCode::OK);
    assert!(api.asked().await.starts_with("get /next "));
}

#[tokio::test]
async fn a_request_with_another_length_than_it_tells_never_reaches_the_api() {
    let (mut api, session) = (RawApi::start(declines).await, session().await);
    for (told, content) in [
        (&["5"][..], ""),
        (&["5"], "four"),
        (&["3"], "four"),
        (&["+4"], "four"),
        (&["4", "5"], "four"),
        (&["4, 4"], "four"),
        (&[""], ""),
    ] {
        let body = match content {
            "" => Body::empty(),
            content => Body::from(content),
        };
        let mut request = get("/other", body);
        for told in told {
            let told = HeaderValue::from_static(told);
            request.headers_mut().append(header::CONTENT_LENGTH, told);
        }
        let response = serve(&api, &session, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{told:?}");
    }
    for (told, content) in [("0", Body::empty()), ("4", Body::from("four"))] {
        let mut request = get("/true", content);
        let told = HeaderValue::from_static(told);
        request.headers_mut().insert(header::CONTENT_LENGTH, told);
        let response = serve(&api, &session, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(api.asked().await.starts_with("get /true "));
    }
}

fn agreeing(fields: &'static str) -> impl Fn(&str) -> String + Clone {
    move |_| format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{fields}\r\n")
}

#[tokio::test]
async fn an_api_that_agrees_to_something_else_is_not_passed_on_to() {
    let session = session().await;
    let right = "upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let api = RawApi::start(agreeing(right)).await;
    let (_up, body) = handed_on::body(h2::Reason::CANCEL);
    let response = serve(&api, &session, handshake(body)).await.unwrap();
    assert!(response.extensions().get::<Upgraded>().is_some());
    // Nobody asked for it.
    let unasked = serve(&api, &session, get("/", Body::empty())).await;
    assert_eq!(unasked.err(), Some(Reason::API));
    for wrong in [
        "upgrade: websocket\r\n",
        "upgrade: websocket\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        "upgrade: h2c\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        let api = RawApi::start(agreeing(wrong)).await;
        let (_up, body) = handed_on::body(h2::Reason::CANCEL);
        let answer = serve(&api, &session, handshake(body)).await;
        assert_eq!(answer.err(), Some(Reason::API), "{wrong}");
    }
}
