//! Streams of HTTP/2 connections. A request that is given to a connection whose server lets no
//! more of them be opened waits there, unseen, for as long as that takes; so a stream is set
//! aside for each before its call begins.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use armour_listener::http2::{
    content::{self, Received},
    without_connection,
};
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use h2::{
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::AbortHandle, time::Instant};

use crate::wire::{interims::Interims, length};

/// How long a connection without streams is kept beside another one.
const IDLE: Duration = Duration::from_secs(15);
/// How long the last frame of a WebSocket that is ended may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Connections to one server.
#[derive(Default)]
pub struct Streams(Mutex<Vec<Shared>>);

struct Shared {
    sender: SendRequest<Bytes>,
    taken: Arc<AtomicUsize>,
    used: Instant,
}

/// A stream that is set aside.
pub struct Stream {
    sender: SendRequest<Bytes>,
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
            if is_closed(&shared.sender) {
                return false;
            }
            let spare = std::mem::replace(&mut another, true);
            !spare || shared.taken() > 0 || shared.used.elapsed() < IDLE
        });
        all.iter_mut().find_map(Shared::take)
    }

    /// Keeps a connection whose server has told its limit, and takes a stream of it; none if
    /// it lets none be opened.
    pub fn add(&self, sender: SendRequest<Bytes>) -> Option<Stream> {
        let mut shared = Shared {
            sender,
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
        if self.taken() >= self.sender.current_max_send_streams() {
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

/// Whether a connection takes no more requests.
pub fn is_closed(sender: &SendRequest<Bytes>) -> bool {
    matches!(sender.clone().ready().now_or_never(), Some(Err(_)))
}

impl Stream {
    /// Whether its server takes WebSockets (RFC 8441).
    pub fn takes_websockets(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Sends a request; what is said before its answer goes to `interims`.
    ///
    /// # Errors
    /// If the server breaks off; whether it has seen the request is unknown.
    pub async fn send(
        self,
        request: Request<Body>,
        interims: &Interims,
    ) -> Result<Response<Body>, h2::Error> {
        let (mut head, body) = request.into_parts();
        let last_words = head.extensions.get::<Protocol>().is_some();
        head.version = Version::HTTP_2;
        without_connection(&mut head.headers);
        if let Some(length) = body.size_hint().exact()
            && (length > 0 || has_content(&head.method))
        {
            let length = HeaderValue::from(length);
            head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
        }
        let ended = body.is_end_stream();
        let mut sender = self.sender.ready().await?;
        let request = Request::from_parts(head, ());
        let (response, stream) = sender.send_request(request, ended)?;
        let mut sending = Sending {
            task: None,
            last_words,
        };
        if !ended {
            let taken = self.taken.clone();
            let sent = tokio::spawn(async move {
                let _taken = taken;
                content::send(body, stream).await;
            });
            sending.task = Some(sent.abort_handle());
        }
        let response = answer(response, interims).await?;
        let told = length::told(response.headers()).ok().flatten();
        Ok(response.map(|stream| {
            Body::new(Answer {
                content: Some(Received::of_length(stream, told)),
                sending,
                taken: self.taken,
            })
        }))
    }
}

async fn answer(
    response: ResponseFuture,
    interims: &Interims,
) -> Result<Response<h2::RecvStream>, h2::Error> {
    let mut response = pin!(response);
    poll_fn(|context| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
            interims.put(interim.status(), interim.headers());
        }
        response.as_mut().poll(context)
    })
    .await
}

/// Methods whose requests say that they have no content (RFC 9110, section 8.6).
fn has_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// A request's content on its way, which is broken off with its answer; but for one that has
/// ended, whose server may take more.
struct Sending {
    task: Option<AbortHandle>,
    /// It may have something to say at its end: a WebSocket is closed by a frame.
    last_words: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        let Some(sending) = self.task.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if self.last_words => drop(runtime.spawn(async move {
                tokio::time::sleep(LAST_WORDS).await;
                sending.abort();
            })),
            _ => sending.abort(),
        }
    }
}

/// A response's content. Its stream is taken for as long as this lives.
struct Answer {
    /// There until this goes.
    content: Option<Received>,
    sending: Sending,
    taken: Arc<Taken>,
}

/// Once nobody holds a stream any more it is reset, and what was to be sent is not: so one with
/// last words is held for as long as they may take.
impl Drop for Answer {
    fn drop(&mut self) {
        let content = self.content.take();
        let is_sending = self.sending.last_words && self.sending.task.is_some();
        if let (true, Some(mut content), Ok(runtime)) = (is_sending, content, Handle::try_current())
        {
            let taken = self.taken.clone();
            runtime.spawn(async move {
                let ended = async { while let Some(Ok(_)) = content.frame().await {} };
                let _ = tokio::time::timeout(LAST_WORDS, ended).await;
                drop(taken);
            });
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(content) = &mut self.content else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *content).poll_frame(context));
        if matches!(frame, None | Some(Ok(_))) && content.is_end_stream() {
            self.sending.task = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let content = self.content.as_ref();
        content.map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
