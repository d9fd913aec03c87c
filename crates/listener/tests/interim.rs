//! Interim responses, and whoever holds its content back until it is told to go on.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{net::SocketAddr, time::Duration};

use armour_listener::{Interim, Limits, serve};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
    routing::any,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// More than a socket holds.
const LARGE: usize = 4_000_000;

async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/hints", any(hints))
        .route("/read", any(read))
        .route("/declines", any(declines))
        .route("/large", any(async || vec![b'x'; LARGE]))
        .route("/mimics", any(async || "HTTP/1.1 100 Continue\r\n\r\n"));
    tokio::spawn(async move {
        let stop = CancellationToken::new();
        serve(listener, router, Limits::default(), stop)
            .await
            .unwrap();
    });
    address
}

async fn hints(request: Request) -> &'static str {
    let interim = request.extensions().get::<Interim>().cloned().unwrap();
    let link = HeaderMap::from_iter([(header::LINK, HeaderValue::from_static("</a>"))]);
    interim.send(StatusCode::EARLY_HINTS, link);
    tokio::time::sleep(Duration::from_millis(5)).await;
    interim.send(StatusCode::PROCESSING, HeaderMap::new());
    "hinted"
}

async fn read(request: Request) -> Response {
    Response::new(Body::from(
        to_bytes(request.into_body(), 100).await.unwrap(),
    ))
}

/// It reads the content, if there is any, but tells nobody to send it.
async fn declines(request: Request) -> StatusCode {
    request
        .extensions()
        .get::<Interim>()
        .unwrap()
        .withhold_continue();
    let content = to_bytes(request.into_body(), 100);
    let _ = tokio::time::timeout(Duration::from_millis(50), content).await;
    StatusCode::EXPECTATION_FAILED
}

/// All that comes until this.
async fn until(socket: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        assert!(socket.read_buf(&mut seen).await.unwrap() > 0, "it ended");
    }
    String::from_utf8(seen).unwrap()
}

fn statuses(seen: &str) -> Vec<&str> {
    let lines = seen.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).unwrap()).collect()
}

#[tokio::test]
async fn interim_responses_are_between_answers_however_requests_come() {
    let mut socket = TcpStream::connect(start().await).await.unwrap();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    // The first answer is not taken while the second request is there already.
    let both = ask("/large") + &ask("/hints") + &ask("/hints");
    socket.write_all(both.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let seen = until(&mut socket, "hinted").await;
    let content = seen.find("\r\n\r\n").unwrap() + 4;
    let (large, rest) = seen[content..].split_at(LARGE);
    assert!(large.bytes().all(|byte| byte == b'x'));
    let mut rest = rest.to_owned();
    if statuses(&rest).len() < 6 {
        rest += &until(&mut socket, "hinted").await;
    }
    assert_eq!(statuses(&rest), ["103", "102", "200", "103", "102", "200"]);
    assert!(rest.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 "));
}

#[tokio::test]
async fn whoever_waits_is_told_to_go_on_when_its_content_is_read_and_not_otherwise() {
    let mut socket = TcpStream::connect(start().await).await.unwrap();
    let ask = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        )
    };
    socket.write_all(ask("/read").as_bytes()).await.unwrap();
    let told = until(&mut socket, "\r\n\r\n").await;
    assert_eq!(told, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"more").await.unwrap();
    assert_eq!(statuses(&until(&mut socket, "more").await), ["200"]);
    // Content that looks like it is none.
    socket
        .write_all(b"GET /mimics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mimicked = until(&mut socket, "HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(statuses(&mimicked), ["200", "100"]);
    socket.write_all(ask("/declines").as_bytes()).await.unwrap();
    assert_eq!(statuses(&until(&mut socket, "\r\n\r\n").await), ["417"]);
}

#[tokio::test]
async fn a_client_of_http2_gets_them_too() {
    let socket = TcpStream::connect(start().await).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::post("http://x/read").header(header::EXPECT, "100-continue");
    let (mut response, mut content) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let told = std::future::poll_fn(|context| response.poll_informational(context));
    assert_eq!(told.await.unwrap().unwrap().status(), StatusCode::CONTINUE);
    content.send_data("more".into(), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "more");
    let request = http::Request::get("http://x/hints").body(()).unwrap();
    let (mut response, _) = client.send_request(request, true).unwrap();
    let mut told = Vec::new();
    while let Some(interim) =
        std::future::poll_fn(|context| response.poll_informational(context)).await
    {
        told.push(interim.unwrap().status().as_u16());
    }
    assert_eq!(told, [103, 102]);
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}
