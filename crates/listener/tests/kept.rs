//! Connections that are kept: for a request that goes on after its response, and for a peer
//! only while it is there.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{net::SocketAddr, time::Duration};

use armour_listener::{Limits, serve};
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(180);

async fn start(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(
        listener,
        router,
        Limits::default(),
        CancellationToken::new(),
    ));
    address
}

#[tokio::test]
async fn a_request_that_goes_on_after_its_response_is_read_to_its_end() {
    let (bodies, mut seen) = mpsc::channel(1);
    let early = async move |body: Body| {
        tokio::spawn(async move {
            let body = body.collect().await.map(|body| body.to_bytes());
            let _ = bodies.send(body.ok()).await;
        });
        "early"
    };
    let address = start(Router::new().route("/", post(early))).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n";
    socket.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"early") {
        assert!(socket.read_buf(&mut answer).await.unwrap() > 0);
    }
    // Later than any limit; whoever minds it gets to run.
    tokio::time::pause();
    tokio::time::advance(Limits::default().idle * 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    socket.write_all(b"4\r\nmore\r\n0\r\n\r\n").await.unwrap();
    let body = tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap();
    assert_eq!(body.unwrap().as_deref(), Some(&b"fourmore"[..]));
}

/// A peer that loses its power says nothing; nor does one that waits for its response.
#[tokio::test]
async fn a_peer_that_says_nothing_is_asked_whether_it_is_there() {
    let (come, mut came) = mpsc::channel(1);
    let slow = async move || {
        come.send(()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let address = start(Router::new().route("/", get(slow))).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(head).await.unwrap();
    came.recv().await.unwrap();
    let ours = format!(":{:04X}", address.port());
    let peers = format!(":{:04X}", socket.local_addr().unwrap().port());
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let timer = connections.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let served = fields[1].ends_with(&ours) && fields[2].ends_with(&peers);
        served.then(|| fields[5].to_owned())
    });
    // The timer that runs: 02 is that of keep-alive.
    assert!(timer.unwrap().starts_with("02:"));
}
