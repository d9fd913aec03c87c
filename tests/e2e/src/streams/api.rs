//! The API before which the drill's callers stand; it tells how each call ended for it.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use futures::{Stream, StreamExt as _, stream};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::mpsc};

/// Bytes of a piece of a body.
pub const PIECE: usize = 64 * 1024;

/// The API, on a port of its own until this is dropped.
pub struct Api {
    pub address: SocketAddr,
    pub http2: bool,
    /// How calls ended for it, as they do.
    pub ends: mpsc::UnboundedReceiver<End>,
    began: Instant,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// How a call ended for the API.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Its caller went before it was answered in full.
    Left,
    /// The request's body came to an end.
    Ended,
    /// The request's body broke off.
    Broke,
}

struct Shared {
    began: Instant,
    ends: mpsc::UnboundedSender<End>,
}

/// Says that a call's caller left, unless that is disarmed.
struct Leaving(Mutex<Option<mpsc::UnboundedSender<End>>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(ends) = self.0.get_mut().take() {
            let _ = ends.send(End::Left);
        }
    }
}

impl Shared {
    fn leaving(&self) -> Leaving {
        Leaving(Mutex::new(Some(self.ends.clone())))
    }
}

impl Api {
    /// Starts it; with `http2` it is spoken to in HTTP/2 without TLS.
    pub async fn start(http2: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (sender, ends) = mpsc::unbounded_channel();
        let began = Instant::now();
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            began,
            ends: sender,
        });
        let app = Router::new()
            .route("/echo", get(echo).post(echo))
            .route("/events", get(events))
            .route("/wait", get(wait))
            .route("/give", get(give))
            .route("/take", put(take))
            .with_state(shared);
        let listener = axum::serve::ListenerExt::tap_io(listener, |socket| {
            let _ = socket.set_nodelay(true);
        });
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            address,
            http2,
            ends,
            began,
            server,
        })
    }

    /// Since when events tell their times.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// How the next call to end did so.
    pub async fn next_end(&mut self) -> Option<End> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.ends.recv());
        next.await.ok().flatten()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
struct Echo {
    #[serde(default)]
    id: String,
}

async fn echo(Query(asked): Query<Echo>) -> String {
    asked.id
}

#[derive(Deserialize)]
struct Events {
    count: u64,
    every_ms: u64,
}

/// Each event tells when it was sent, in nanoseconds since the API began.
async fn events(State(shared): State<Arc<Shared>>, Query(asked): Query<Events>) -> Response {
    let mut interval = tokio::time::interval(Duration::from_millis(asked.every_ms.max(1)));
    // The first is due at once.
    interval.reset();
    let leaving = shared.leaving();
    let state = (interval, 0, leaving);
    let sent = stream::unfold(state, move |(mut interval, sent, leaving)| {
        let began = shared.began;
        async move {
            if sent == asked.count {
                leaving.0.lock().take();
                return None;
            }
            interval.tick().await;
            let event = format!("data: {}\n\n", began.elapsed().as_nanos());
            Some((Ok::<_, Infallible>(event), (interval, sent + 1, leaving)))
        }
    });
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(sent)).into_response()
}

/// Never answers.
async fn wait(State(shared): State<Arc<Shared>>) {
    let _leaving = shared.leaving();
    std::future::pending::<()>().await;
}

#[derive(Deserialize)]
struct Give {
    bytes: u64,
    /// What is told as `Content-Length`, if anything.
    told: Option<u64>,
    /// Breaks off after these bytes.
    #[serde(default)]
    breaks: bool,
    /// Before each piece.
    #[serde(default)]
    pause_ms: u64,
}

async fn give(Query(asked): Query<Give>) -> Response {
    let pause = Duration::from_millis(asked.pause_ms);
    let pieces = pieces(asked.bytes).then(move |piece| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(piece)
    });
    let broken = asked.breaks.then(|| Err(std::io::Error::other("cut")));
    let body = Body::from_stream(pieces.chain(stream::iter(broken)));
    let mut answer = body.into_response();
    if let Some(told) = asked.told {
        answer.headers_mut().insert("content-length", told.into());
    }
    answer
}

/// So many bytes, piece by piece.
pub fn pieces(bytes: u64) -> impl Stream<Item = Bytes> + Send + 'static {
    let whole = Bytes::from(vec![b'a'; PIECE]);
    stream::unfold(bytes, move |left| {
        let length = left.min(PIECE as u64);
        let piece = whole.slice(..length as usize);
        async move { (length > 0).then(|| (piece, left - length)) }
    })
}

/// Says how many bytes it got, once they have ended.
async fn take(State(shared): State<Arc<Shared>>, body: Body) -> String {
    let leaving = shared.leaving();
    let (mut bytes, mut body) = (0, body.into_data_stream());
    let end = loop {
        match body.next().await {
            Some(Ok(piece)) => bytes += piece.len() as u64,
            Some(Err(_)) => break End::Broke,
            None => break End::Ended,
        }
    };
    leaving.0.lock().take();
    let _ = shared.ends.send(end);
    bytes.to_string()
}
