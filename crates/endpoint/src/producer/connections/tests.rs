//! Connections that servers close, or take few requests on.

use std::convert::Infallible;

use armour_protocol::v2::time::ProducerTime;
use hyper::{server::conn::http2 as server, service::service_fn};
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use super::*;
use crate::{producer::clock::ProducerClock, wire::interims};

/// A moment long ago, or in a minute.
fn begin_by(in_time: bool) -> BeginBy {
    let clock = ProducerClock::new(0);
    let now = clock.now().0;
    clock.begin_by(ProducerTime(if in_time { now + 60_000 } else { 0 }))
}

fn request(path: &'static str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(path);
    request
}

async fn listener() -> (TcpListener, Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    (listener, uri.parse().unwrap())
}

fn connections(version: HttpVersion, uri: Uri) -> Arc<Connections> {
    Connections::new(&Trust::new(None).unwrap(), version, uri, false)
}

/// Answers one request; its first line.
async fn answer(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(socket.read_u8().await.unwrap());
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(answer).await.unwrap();
    let text = String::from_utf8(read).unwrap();
    text.lines().next().unwrap().to_owned()
}

/// A connection that was kept, and that the server has closed since.
async fn closed(listener: &TcpListener, connections: &Arc<Connections>) -> Single {
    let asked = async {
        let connection = connections.get().await.unwrap();
        let sent = connections.send(
            connection,
            request("/first"),
            begin_by(true),
            RetryPolicy::Safe,
            interims::channel().0,
        );
        sent.await.map(drop).unwrap();
    };
    let answered = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        answer(&mut socket).await;
        socket
    };
    let ((), socket) = tokio::join!(asked, answered);
    let kept = loop {
        match connections.kept() {
            Some(kept) => break kept,
            None => tokio::time::sleep(SETTINGS_POLL).await,
        }
    };
    drop(socket);
    while !kept.sender.is_closed() {
        tokio::time::sleep(SETTINGS_POLL).await;
    }
    kept
}

#[tokio::test]
async fn a_request_whose_kept_connection_was_closed_goes_over_another_in_its_time() {
    let (listener, uri) = listener().await;
    let connections = connections(HttpVersion::Negotiated, uri);
    let kept = closed(&listener, &connections).await;
    let sent = connections.send(
        Connection::Http1(kept, true),
        request("/again"),
        begin_by(true),
        RetryPolicy::Safe,
        interims::channel().0,
    );
    let answered = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        answer(&mut socket).await
    };
    let (sent, line) = tokio::join!(sent, answered);
    assert!(sent.is_ok());
    assert_eq!(line, "GET /again HTTP/1.1");
}

/// A server that closes a connection as it is used again, after these bytes of an answer:
/// it has read the request then.
async fn closed_as_it_is_used(
    method: &str,
    retry: RetryPolicy,
    after: &[u8],
) -> Result<(), Unanswered> {
    let (listener, uri) = listener().await;
    let connections = connections(HttpVersion::Negotiated, uri);
    let asked = async {
        let connection = connections.get().await.unwrap();
        let sent = connections.send(
            connection,
            request("/first"),
            begin_by(true),
            RetryPolicy::Safe,
            interims::channel().0,
        );
        sent.await.map(drop).unwrap();
        let kept = loop {
            match connections.kept() {
                Some(kept) => break kept,
                None => tokio::time::sleep(SETTINGS_POLL).await,
            }
        };
        let mut second = request("/second").map(|_| Body::from("content"));
        *second.method_mut() = method.parse().unwrap();
        let kept = Connection::Http1(kept, true);
        connections
            .send(kept, second, begin_by(true), retry, interims::channel().0)
            .await
            .map(drop)
    };
    let answered = async {
        let (mut first, _) = listener.accept().await.unwrap();
        answer(&mut first).await;
        first.read_u8().await.unwrap();
        if !after.is_empty() {
            // What is unread would have the connection reset, and the answer be lost.
            let mut rest = Vec::new();
            while !rest.ends_with(b"content") {
                rest.push(first.read_u8().await.unwrap());
            }
            first.write_all(after).await.unwrap();
        }
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        assert_eq!(
            answer(&mut second).await,
            format!("{method} /second HTTP/1.1")
        );
        std::future::pending().await
    };
    tokio::select! {
        sent = asked => sent,
        () = answered => unreachable!("it does not end"),
    }
}

#[tokio::test]
async fn a_kept_connection_closed_as_it_is_used_costs_no_call_that_may_run_twice() {
    for (method, retry) in [
        ("GET", RetryPolicy::Safe),
        ("HEAD", RetryPolicy::Safe),
        ("GET", RetryPolicy::Idempotent),
        ("PUT", RetryPolicy::Idempotent),
        ("DELETE", RetryPolicy::Idempotent),
    ] {
        let sent = closed_as_it_is_used(method, retry, b"").await;
        assert!(sent.is_ok(), "{method} {retry:?}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_is_sent_twice_only_if_its_policy_says_so() {
    for (method, retry) in [
        ("PUT", RetryPolicy::Safe),
        ("DELETE", RetryPolicy::Safe),
        ("POST", RetryPolicy::Idempotent),
        ("PATCH", RetryPolicy::Idempotent),
    ] {
        let sent = closed_as_it_is_used(method, retry, b"").await;
        assert!(
            matches!(sent, Err(Unanswered::Broken(_))),
            "{method} {retry:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_the_api_has_begun_to_answer_is_not_sent_twice() {
    let begun = b"HTTP/1.1 200 OK\r\nContent-Le";
    for method in ["GET", "PUT"] {
        let sent = closed_as_it_is_used(method, RetryPolicy::Idempotent, begun).await;
        assert!(matches!(sent, Err(Unanswered::Broken(_))), "{method}");
    }
}

#[tokio::test]
async fn a_request_whose_kept_connection_was_closed_is_not_sent_after_its_time() {
    let (listener, uri) = listener().await;
    let connections = connections(HttpVersion::Negotiated, uri);
    let kept = closed(&listener, &connections).await;
    let late = connections.send(
        Connection::Http1(kept, true),
        request("/late"),
        begin_by(false),
        RetryPolicy::Safe,
        interims::channel().0,
    );
    assert!(matches!(late.await, Err(Unanswered::Late)));
    // What the server is asked next is another one.
    let asked = async {
        let connection = connections.get().await.unwrap();
        let next = connections.send(
            connection,
            request("/next"),
            begin_by(true),
            RetryPolicy::Safe,
            interims::channel().0,
        );
        assert!(next.await.is_ok());
    };
    let answered = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        answer(&mut socket).await
    };
    let ((), line) = tokio::join!(asked, answered);
    assert_eq!(line, "GET /next HTTP/1.1");
}

/// It takes connections, and says nothing on them: no TLS comes about.
#[tokio::test]
async fn a_request_is_not_held_up_beyond_its_time_by_a_server_that_says_nothing() {
    let (plain, uri) = listener().await;
    let kept = closed(&plain, &connections(HttpVersion::Negotiated, uri)).await;
    let (_silent, uri) = listener().await;
    let uri = uri.to_string().replace("http:", "https:").parse().unwrap();
    let silent = connections(HttpVersion::Negotiated, uri);
    let clock = ProducerClock::new(0);
    let soon = clock.begin_by(ProducerTime(clock.now().0 + 50));
    let late = silent.send(
        Connection::Http1(kept, true),
        request("/late"),
        soon,
        RetryPolicy::Safe,
        interims::channel().0,
    );
    assert!(matches!(late.await, Err(Unanswered::Late)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let (_silent, uri) = listener().await;
    let tls = uri.to_string().replace("http:", "https:").parse().unwrap();
    assert!(
        connections(HttpVersion::Negotiated, tls)
            .get()
            .await
            .is_err()
    );
    assert!(connections(HttpVersion::Http2, uri).get().await.is_err());
}

/// A server that serves one request of a connection at a time: each tells that it has
/// come, and waits until it is let go. Connections are counted.
async fn one_at_a_time() -> (Uri, mpsc::UnboundedReceiver<usize>, Arc<Semaphore>) {
    let (listener, uri) = listener().await;
    let (come, arrived) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let let_go = go.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let (come, go) = (come.clone(), let_go.clone());
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                let (come, go) = (come.clone(), go.clone());
                async move {
                    come.send(number).unwrap();
                    go.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(Body::from("done")))
                }
            });
            let mut builder = server::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(1);
            tokio::spawn(builder.serve_connection(TokioIo::new(socket), service));
        }
    });
    (uri, arrived, go)
}

fn send(
    connections: &Arc<Connections>,
    connection: anyhow::Result<Connection>,
) -> JoinHandle<Response<Body>> {
    let connections = connections.clone();
    tokio::spawn(async move {
        let request = request("http://api/");
        let sent = connections.send(
            connection.unwrap(),
            request,
            begin_by(true),
            RetryPolicy::Safe,
            interims::channel().0,
        );
        sent.await.unwrap()
    })
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_stream_within_a_connection() {
    let (uri, mut arrived, go) = one_at_a_time().await;
    let connections = connections(HttpVersion::Http2, uri);
    let first = send(&connections, connections.get().await);
    assert_eq!(arrived.recv().await, Some(0));
    // The first is under way: the second has come all the same.
    let second = send(&connections, connections.get().await);
    assert_eq!(arrived.recv().await, Some(1));
    go.add_permits(2);
    let [first, second] = [first.await.unwrap(), second.await.unwrap()];
    // A stream is taken until its response has been read.
    let third = send(&connections, connections.get().await);
    assert_eq!(arrived.recv().await, Some(2));
    drop((first, second));
    let fourth = send(&connections, connections.get().await);
    assert_eq!(arrived.recv().await, Some(0));
    go.add_permits(2);
    drop((third.await.unwrap(), fourth.await.unwrap()));
}
