//! Clients that only want to be a burden, and one that does not, at the same time.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use armour_listener::{Limits, serve};
use axum::{Router, body::Body, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Longer than any test takes: what ends is not ended by this.
const NEVER: Duration = Duration::from_secs(3600);
/// How long anything may take that is waited for, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(180);

const LIMITS: Limits = Limits {
    connections: 50,
    head: NEVER,
    idle: NEVER,
};

/// A listener that is being served.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
    /// A permit for each request to `/slow` and `/stream` that has come.
    come: Arc<Semaphore>,
    /// A permit lets one of them go on.
    go_on: Arc<Semaphore>,
}

async fn start(limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (come, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let wait = {
        let (come, go_on) = (come.clone(), go_on.clone());
        async move || {
            come.add_permits(1);
            go_on.acquire().await.unwrap().forget();
        }
    };
    let slow = {
        let wait = wait.clone();
        async move || {
            wait().await;
            "slow"
        }
    };
    let stream = async move || {
        let rest = futures::stream::once(async move {
            wait().await;
            Ok::<_, std::convert::Infallible>("the rest")
        });
        let first = futures::stream::once(std::future::ready(Ok("first, ")));
        Body::from_stream(futures::StreamExt::chain(first, rest))
    };
    let router = Router::new()
        .route("/", get(async || "ok"))
        .route("/slow", get(slow))
        .route("/stream", get(stream));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let ended = tokio::spawn(async move {
        serve(listener, router, limits, stopped).await.unwrap();
    });
    Served {
        address,
        stop,
        ended,
        come,
        go_on,
    }
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

/// Waits until the peer closes the connection.
async fn closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // However it ends.
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest))
        .await
        .unwrap();
}

/// Whether it is closed already.
fn is_closed(socket: &TcpStream) -> bool {
    match socket.try_read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[tokio::test]
async fn silent_and_trickling_clients_are_cut_off() {
    let limits = Limits {
        head: Duration::from_millis(500),
        ..LIMITS
    };
    let address = start(limits).await.address;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut trickling = TcpStream::connect(address).await.unwrap();
    trickling
        .write_all(b"GET / HTTP/1.1\r\nx-a: ")
        .await
        .unwrap();
    let trickle = async {
        while trickling.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trickle).await.unwrap();
    closed(&mut silent).await;
    // The second head of a connection is held to the same.
    let mut second = TcpStream::connect(address).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")
        .await
        .unwrap();
    closed(&mut second).await;
    // Others are served; also one that gets no turn for longer than the limit and asks again.
    let served = async {
        while !ask(address, "/")
            .await
            .is_ok_and(|answer| answer.ends_with("ok"))
        {}
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_kept_for_nothing_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(500),
        ..LIMITS
    };
    let address = start(limits).await.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    closed(&mut idle).await;
}

#[tokio::test]
async fn a_request_under_way_is_held_to_no_limit() {
    let Served {
        address,
        come,
        go_on,
        ..
    } = start(LIMITS).await;
    let slow = tokio::spawn(ask(address, "/slow"));
    let stream = tokio::spawn(ask(address, "/stream"));
    come.acquire_many(2).await.unwrap().forget();
    // Later than any limit; whoever minds it gets to run.
    tokio::time::pause();
    tokio::time::advance(NEVER * 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    go_on.add_permits(2);
    assert!(slow.await.unwrap().unwrap().ends_with("slow"));
    assert!(stream.await.unwrap().unwrap().contains("the rest"));
}

#[tokio::test]
async fn a_flood_of_connections_keeps_nobody_out() {
    let Served {
        address,
        come,
        go_on,
        ..
    } = start(LIMITS).await;
    // Requests under way are left alone.
    let slow = tokio::spawn(ask(address, "/slow"));
    let stream = tokio::spawn(ask(address, "/stream"));
    come.acquire_many(2).await.unwrap().forget();
    let mut flood = Vec::new();
    for _ in 0..500 {
        flood.push(TcpStream::connect(address).await.unwrap());
        if flood.len() % 50 == 0 {
            assert!(ask(address, "/").await.unwrap().ends_with("ok"));
        }
    }
    let fewer = async {
        while flood.iter().filter(|socket| !is_closed(socket)).count() > LIMITS.connections {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, fewer).await.unwrap();
    go_on.add_permits(2);
    assert!(slow.await.unwrap().unwrap().ends_with("slow"));
    assert!(stream.await.unwrap().unwrap().contains("the rest"));
}

#[tokio::test]
async fn m3_with_every_place_taken_nobody_more_is_let_in() {
    let limits = Limits {
        connections: 3,
        ..LIMITS
    };
    let served = start(limits).await;
    let slow = |_| tokio::spawn(ask(served.address, "/slow"));
    let slow: Vec<_> = (0..3).map(slow).collect();
    served.come.acquire_many(3).await.unwrap().forget();
    for _ in 0..20 {
        let mut more = TcpStream::connect(served.address).await.unwrap();
        closed(&mut more).await;
    }
    served.go_on.add_permits(3);
    for one in slow {
        assert!(one.await.unwrap().unwrap().ends_with("slow"));
    }
    // Whoever comes when there is room is served.
    let room = async {
        while !ask(served.address, "/")
            .await
            .is_ok_and(|answer| answer.ends_with("ok"))
        {}
    };
    tokio::time::timeout(PATIENCE, room).await.unwrap();
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let address = start(LIMITS).await.address;
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
    let Served {
        address,
        stop,
        ended,
        come,
        go_on,
    } = start(LIMITS).await;
    let slow = tokio::spawn(ask(address, "/slow"));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    come.acquire().await.unwrap().forget();
    stop.cancel();
    // It takes no more connections, but still serves what it has.
    closed(&mut idle).await;
    assert!(!ended.is_finished());
    go_on.add_permits(1);
    assert!(slow.await.unwrap().unwrap().ends_with("slow"));
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
