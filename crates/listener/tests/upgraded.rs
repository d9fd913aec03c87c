//! Connections and streams that their handlers have upgraded, as WebSocket does.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{net::SocketAddr, time::Duration};

use armour_listener::{Limits, UnderWay, serve};
use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use http::{Method, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(180);
/// Shorter than the time after which HTTP/2's pings are missed.
const LIMITS: Limits = Limits {
    connections: 50,
    head: Duration::from_secs(2),
    idle: Duration::from_secs(2),
};

/// Gives back what comes, on the connection that is upgraded.
async fn echo(mut request: Request) -> Response {
    // In HTTP/2 both directions are content.
    if request.method() == Method::CONNECT {
        return Response::new(request.into_body());
    }
    let under_way = request.extensions().get::<UnderWay>().cloned();
    let connection = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let _under_way = under_way.unwrap();
        let (mut read, mut write) = tokio::io::split(TokioIo::new(connection.await.unwrap()));
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
    headers.insert(header::UPGRADE, "echo".parse().unwrap());
    response
}

async fn start() -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let ended = tokio::spawn(async move {
        let router = Router::new().route("/", any(echo));
        serve(listener, router, LIMITS, stopped).await.unwrap();
    });
    (address, stop, ended)
}

/// Later than any limit; whoever minds it gets to run.
async fn later_than_any_limit() {
    tokio::time::pause();
    tokio::time::advance(LIMITS.idle * 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
}

/// Upgrades a connection of HTTP/1.1.
async fn upgrade(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert!(socket.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    socket
}

async fn is_echoed(socket: &mut TcpStream) {
    socket.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[tokio::test]
async fn an_upgraded_stream_of_http2_does_not_end_because_no_other_request_comes() {
    let (address, ..) = start().await;
    let socket = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    // Its first answer comes after the settings, by which extended CONNECT is allowed.
    let plain = http::Request::get("http://x/nowhere").body(()).unwrap();
    let (answer, _) = client.send_request(plain, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), StatusCode::NOT_FOUND);
    let mut request = http::Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "http://x/".parse().unwrap();
    let protocol = h2::ext::Protocol::from_static("echo");
    request.extensions_mut().insert(protocol);
    let (answer, mut up) = client.send_request(request, false).unwrap();
    let mut down = answer.await.unwrap().into_body();
    for _ in 0..2 {
        up.send_data("ping".into(), false).unwrap();
        assert_eq!(down.data().await.unwrap().unwrap(), "ping");
        later_than_any_limit().await;
    }
}

#[tokio::test]
async fn stopping_waits_for_upgraded_connections() {
    let (address, stop, ended) = start().await;
    let mut socket = upgrade(address).await;
    is_echoed(&mut socket).await;
    stop.cancel();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    later_than_any_limit().await;
    assert!(!ended.is_finished());
    is_echoed(&mut socket).await;
    drop(socket);
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    ended.unwrap().unwrap();
}

/// Whoever has gone is no more at work than whoever has closed a connection.
#[tokio::test]
async fn an_upgraded_connection_whose_client_closes_its_half_ends_at_once() {
    let (address, ..) = start().await;
    let mut socket = upgrade(address).await;
    tokio::time::pause();
    socket.shutdown().await.unwrap();
    let since = tokio::time::Instant::now();
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(since.elapsed() < Duration::from_millis(100));
}
