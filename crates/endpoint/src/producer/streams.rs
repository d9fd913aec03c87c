//! Streams of HTTP/2 connections. A request that is given to a connection whose server lets no
//! more of them be opened waits there, unseen, for as long as that takes; so a stream is set
//! aside for each before its call begins.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Frame, SizeHint};
use hyper::{
    client::conn::http2::{Connection, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a connection without streams is kept beside another one.
const IDLE: Duration = Duration::from_secs(15);

/// Connections to one server.
#[derive(Default)]
pub struct Streams(Mutex<Vec<Shared>>);

struct Shared {
    sender: SendRequest<Body>,
    limit: Limit,
    taken: Arc<AtomicUsize>,
    used: Instant,
}

/// How many streams a connection's server lets be open at a time; 0 before it has told.
pub type Limit = Box<dyn Fn() -> usize + Send + Sync>;

/// A stream that is set aside.
pub struct Stream {
    sender: SendRequest<Body>,
    taken: Arc<Taken>,
}

/// Counts a stream until the last of its two bodies is gone.
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Streams {
    /// Whether there is a connection.
    pub fn are_known(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// A stream that the server lets be opened now, if there is one.
    pub fn take(&self) -> Option<Stream> {
        let mut all = self.0.lock();
        let mut another = false;
        all.retain(|shared| {
            if shared.sender.is_closed() {
                return false;
            }
            let spare = std::mem::replace(&mut another, true);
            !spare || shared.taken() > 0 || shared.used.elapsed() < IDLE
        });
        all.iter_mut().find_map(Shared::take)
    }

    /// Keeps a connection whose server has told its limit, and takes a stream of it; none if
    /// it lets none be opened.
    pub fn add(&self, sender: SendRequest<Body>, limit: Limit) -> Option<Stream> {
        let mut shared = Shared {
            sender,
            limit,
            taken: Arc::default(),
            used: Instant::now(),
        };
        let stream = shared.take();
        self.0.lock().push(shared);
        stream
    }
}

impl Shared {
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Nobody else does meanwhile: the connection is borrowed alone.
    fn take(&mut self) -> Option<Stream> {
        if self.taken() >= (self.limit)() {
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.used = Instant::now();
        Some(Stream {
            sender: self.sender.clone(),
            taken: Arc::new(Taken(self.taken.clone())),
        })
    }
}

impl Stream {
    /// Sends a request.
    ///
    /// # Errors
    /// If the server breaks off; whether it has seen the request is unknown.
    pub async fn send(mut self, mut request: Request<Body>) -> hyper::Result<Response<Body>> {
        *request.version_mut() = Version::HTTP_2;
        let taken = &self.taken;
        let request = request.map(|body| Body::new(Counting::new(body, taken)));
        let response = self.sender.send_request(request).await?;
        Ok(response.map(|body| Body::new(Counting::new(Body::new(body), taken))))
    }
}

/// Runs a connection until it ends; how many streams it takes.
pub fn run<I>(connection: Connection<I, Body, TokioExecutor>) -> Limit
where
    I: Read + Write + Unpin + Send + 'static,
{
    // Only the connection knows what its server has told, and it is polled meanwhile. Once it
    // has ended it is dropped: its senders are closed by that.
    let running = Arc::new(Mutex::new(Some(connection)));
    let asked = running.clone();
    tokio::spawn(std::future::poll_fn(move |context| {
        let mut place = running.lock();
        let Some(connection) = place.as_mut() else {
            return Poll::Ready(());
        };
        let ended = Pin::new(connection).poll(context).is_ready();
        if ended {
            *place = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }));
    Box::new(move || {
        let running = asked.lock();
        let limit = running.as_ref().map(Connection::current_max_send_streams);
        limit.unwrap_or(0)
    })
}

/// A body of a stream, which is taken for as long as this lives.
struct Counting {
    body: Body,
    _taken: Arc<Taken>,
}

impl Counting {
    fn new(body: Body, taken: &Arc<Taken>) -> Self {
        Self {
            body,
            _taken: taken.clone(),
        }
    }
}

impl http_body::Body for Counting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
