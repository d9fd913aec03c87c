//! The API behind one producer's agent: it writes down each call it sees, and can be late or
//! fail.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use futures::stream;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Between two events of a stream.
const EVERY: Duration = Duration::from_millis(250);

/// An API, on a port of its own until this is dropped.
pub struct Api {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<std::io::Result<()>>,
}

/// A call that it began.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub id: u64,
    pub at: DateTime<Utc>,
    pub since: Instant,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Well,
    /// So much later.
    Late(Duration),
    /// With 500, after a millisecond.
    Failing,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    manner: Mutex<Manner>,
}

impl Api {
    /// Starts it on this machine's address.
    pub async fn start(at: Ipv4Addr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((at, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            manner: Mutex::new(Manner::Well),
        });
        let app = Router::new()
            .route("/call", get(call).post(call))
            .route("/ready", get(async || "ready"))
            .route("/events", get(events))
            .with_state(shared.clone());
        let listener = axum::serve::ListenerExt::tap_io(listener, |socket| {
            let _ = socket.set_nodelay(true);
        });
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            address,
            shared,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// How it answers from now on.
    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock() = manner;
    }

    /// What it has seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many calls it has begun between two times.
    pub fn count(&self, from: Instant, to: Instant) -> u64 {
        let seen = self.shared.seen.lock();
        let within = seen.iter().filter(|one| (from..to).contains(&one.since));
        within.count() as u64
    }
}

#[derive(Deserialize)]
struct Asked {
    id: u64,
}

async fn call(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    shared.seen.lock().push(Seen {
        id: asked.id,
        at: Utc::now(),
        since: Instant::now(),
    });
    let manner = *shared.manner.lock();
    match manner {
        Manner::Well => {}
        Manner::Late(by) => tokio::time::sleep(by).await,
        Manner::Failing => {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return (StatusCode::INTERNAL_SERVER_ERROR, "it fails").into_response();
        }
    }
    asked.id.to_string().into_response()
}

/// Events without an end.
async fn events() -> Response {
    let sent = stream::unfold(0_u64, |sent| async move {
        tokio::time::sleep(EVERY).await;
        Some((Ok::<_, Infallible>(format!("data: {sent}\n\n")), sent + 1))
    });
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(sent)).into_response()
}
