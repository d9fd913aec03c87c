//! Interim responses (RFC 9110, section 15.2): what a handler says before its answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, StatusCode, Version, header};
use parking_lot::Mutex;

/// Most interim responses that wait for a client to take them; more are dropped.
const MAX_WAITING: usize = 32;

/// In the extensions of each request: where interim responses to it go. Those that come after
/// the answer has begun are dropped, as are those to a client of HTTP/1.0, which knows none.
#[derive(Clone)]
pub struct Interim(Arc<Mutex<State>>);

struct State {
    waiting: VecDeque<Interims>,
    /// Whether the answer has not begun.
    open: bool,
    /// Whether the client holds its content back until it is told to go on, which is done for
    /// the handler once it reads the content.
    expects: bool,
    waker: Option<Waker>,
}

/// An interim response: its status and its fields.
pub(crate) type Interims = (StatusCode, HeaderMap);

impl Interim {
    /// Those to a request.
    pub(crate) fn to(request: &Request) -> Self {
        let known = request.version() > Version::HTTP_10;
        Self(Arc::new(Mutex::new(State {
            waiting: VecDeque::new(),
            open: known,
            expects: known && expects_to_continue(request.headers()),
            waker: None,
        })))
    }

    /// Sends one. `101 Switching Protocols` is an answer of its own, and none of these.
    pub fn send(&self, status: StatusCode, fields: HeaderMap) {
        let mut state = self.0.lock();
        let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        if !state.open || !is_interim || state.waiting.len() >= MAX_WAITING {
            return;
        }
        state.expects &= status != StatusCode::CONTINUE;
        state.waiting.push_back((status, fields));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The handler says itself when the client may send its content, if it ever may.
    pub fn withhold_continue(&self) {
        self.0.lock().expects = false;
    }

    /// The content is read: whoever holds it back is told to go on.
    pub(crate) fn wants_content(&self) {
        let expects = self.0.lock().expects;
        if expects {
            self.send(StatusCode::CONTINUE, HeaderMap::new());
        }
    }

    /// The answer is there: no more may come.
    pub(crate) fn close(&self) {
        self.0.lock().open = false;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().open
    }

    /// Who is told when one comes, or has been taken.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.0.lock().waker = Some(context.waker().clone());
    }

    /// All that wait.
    pub(crate) fn take(&self) -> VecDeque<Interims> {
        let mut state = self.0.lock();
        let taken = std::mem::take(&mut state.waiting);
        if !taken.is_empty()
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
        taken
    }

    fn is_empty(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }
}

/// Whether a client waits for `100 Continue` before it sends its content (RFC 9110,
/// section 10.1.1).
pub fn expects_to_continue(headers: &HeaderMap) -> bool {
    headers.get_all(header::EXPECT).iter().any(|value| {
        let mut expected = value.to_str().unwrap_or_default().split(',');
        expected.any(|one| one.trim().eq_ignore_ascii_case("100-continue"))
    })
}

/// An answer in the making, which comes once the interim responses before it have been taken.
pub(crate) struct Answering<F> {
    answer: Pin<Box<F>>,
    interim: Interim,
    ready: Option<Response>,
}

impl<F> Answering<F> {
    pub(crate) fn new(answer: F, interim: Interim) -> Self {
        Self {
            answer: Box::pin(answer),
            interim,
            ready: None,
        }
    }
}

impl<F: Future<Output = Response>> Future for Answering<F> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = &mut *self;
        this.interim.register(context);
        if this.ready.is_none()
            && let Poll::Ready(answer) = this.answer.as_mut().poll(context)
        {
            this.interim.close();
            this.ready = Some(answer);
        }
        match this.ready.take_if(|_| this.interim.is_empty()) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

/// A request's content: whoever reads it has the client told to go on.
pub(crate) struct Awaited {
    content: Body,
    interim: Interim,
    asked: bool,
}

impl Awaited {
    pub(crate) fn new(content: Body, interim: Interim) -> Self {
        Self {
            content,
            interim,
            asked: false,
        }
    }
}

impl http_body::Body for Awaited {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>> {
        if !self.asked {
            self.asked = true;
            self.interim.wants_content();
        }
        Pin::new(&mut self.content).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.content.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interim(version: Version) -> Interim {
        let mut request = Request::new(Body::empty());
        *request.version_mut() = version;
        let fields = request.headers_mut();
        fields.insert(header::EXPECT, "100-Continue".parse().unwrap());
        Interim::to(&request)
    }

    fn statuses(interim: &Interim) -> Vec<u16> {
        let taken = interim.take();
        taken.iter().map(|(status, _)| status.as_u16()).collect()
    }

    #[test]
    fn whoever_holds_its_content_back_is_told_once_to_go_on() {
        let asked = interim(Version::HTTP_11);
        asked.wants_content();
        asked.wants_content();
        assert_eq!(statuses(&asked), [100]);
        let withheld = interim(Version::HTTP_2);
        withheld.withhold_continue();
        withheld.wants_content();
        assert!(statuses(&withheld).is_empty());
        withheld.send(StatusCode::CONTINUE, HeaderMap::new());
        assert_eq!(statuses(&withheld), [100]);
    }

    #[test]
    fn none_is_sent_to_a_client_that_knows_none_or_after_the_answer() {
        let old = interim(Version::HTTP_10);
        old.wants_content();
        old.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        assert!(statuses(&old).is_empty());
        let answered = interim(Version::HTTP_11);
        answered.send(StatusCode::SWITCHING_PROTOCOLS, HeaderMap::new());
        answered.send(StatusCode::OK, HeaderMap::new());
        answered.close();
        answered.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        assert!(statuses(&answered).is_empty());
    }

    #[test]
    fn what_a_client_does_not_take_is_bounded() {
        let slow = interim(Version::HTTP_11);
        for _ in 0..MAX_WAITING * 2 {
            slow.send(StatusCode::PROCESSING, HeaderMap::new());
        }
        assert_eq!(statuses(&slow).len(), MAX_WAITING);
    }
}
