//! Clients that only want to be a burden, and one that does not, at the same time.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use armour_listener::{Limits, serve};
use axum::{Router, body::Body, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

const LIMITS: Limits = Limits {
    connections: 50,
    head: Duration::from_millis(500),
    idle: Duration::from_secs(2),
};

async fn start() -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        "slow"
    };
    // A response that goes on for longer than any limit.
    let stream = async || Body::from_stream(ticks(20));
    let router = Router::new()
        .route("/", get(async || "ok"))
        .route("/slow", get(slow))
        .route("/stream", get(stream));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let served = tokio::spawn(async move {
        serve(listener, router, LIMITS, stopped).await.unwrap();
    });
    (address, stop, served)
}

/// A piece every 100 ms.
fn ticks(
    pieces: usize,
) -> impl futures::Stream<Item = Result<&'static str, std::convert::Infallible>> {
    futures::stream::unfold(pieces, async |left| {
        if left == 0 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok("x"), left - 1))
    })
}

/// What comes back on a connection until it is closed.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn closed(socket: &mut TcpStream, within: Duration) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(within, socket.read_to_end(&mut rest)).await;
    read.is_ok()
}

#[tokio::test]
async fn silent_and_trickling_clients_are_cut_off() {
    let (address, ..) = start().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut trickling = TcpStream::connect(address).await.unwrap();
    let since = Instant::now();
    let mut cut = false;
    for byte in b"GET / HTTP/1.1\r\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if trickling.write_all(&[*byte]).await.is_err() {
            cut = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(cut || closed(&mut trickling, Duration::from_millis(500)).await);
    assert!(closed(&mut silent, Duration::from_millis(500)).await);
    assert!(since.elapsed() < Duration::from_secs(4));
    // The second head of a connection is held to the same.
    let mut second = TcpStream::connect(address).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
        .await
        .unwrap();
    assert!(closed(&mut second, Duration::from_secs(2)).await);
    assert!(ask(address, "/").await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn a_flood_of_connections_keeps_nobody_out() {
    let (address, ..) = start().await;
    // Requests under way are left alone.
    let slow = tokio::spawn(ask(address, "/slow"));
    let stream = tokio::spawn(ask(address, "/stream"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut flood = Vec::new();
    for _ in 0..500 {
        flood.push(TcpStream::connect(address).await.unwrap());
        if flood.len() % 50 == 0 {
            assert!(ask(address, "/").await.unwrap().ends_with("ok"));
        }
    }
    let mut open = 0;
    for socket in &mut flood {
        open += usize::from(!closed(socket, Duration::from_millis(1)).await);
    }
    assert!(open <= LIMITS.connections, "{open}");
    assert!(slow.await.unwrap().unwrap().ends_with("slow"));
    assert_eq!(
        stream.await.unwrap().unwrap().matches("\r\nx\r\n").count(),
        20
    );
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let (address, ..) = start().await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n",
        "a".repeat(2 << 20)
    );
    let _ = socket.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert!(ask(address, "/").await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn stopping_waits_for_requests_under_way() {
    let (address, stop, served) = start().await;
    let slow = tokio::spawn(ask(address, "/slow"));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.cancel();
    assert!(slow.await.unwrap().unwrap().ends_with("slow"));
    tokio::time::timeout(Duration::from_secs(1), served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
