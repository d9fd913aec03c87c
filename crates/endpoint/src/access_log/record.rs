//! What is noted of a call while it lasts. Whoever has a part in it holds the record; it is
//! written when the last of them lets go.

use std::sync::Arc;

use armour_protocol::v2::mode::Reason;
use armour_telemetry::trace;
use axum::body::Body;
use http::{HeaderMap, Request, Response, Version, header};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use super::{
    Inner,
    counted::{Counted, Direction},
    entry::{Ended, Entry, Side},
};
use crate::wire::problem::Refusal;

/// Values of a caller's are cut to so many bytes.
const LONGEST: usize = 2_048;

/// A call's record; nothing where no log is kept.
#[derive(Clone, Default)]
pub struct Record(Option<Arc<Noted>>);

pub(super) struct Noted {
    log: Arc<Inner>,
    since: Instant,
    state: Mutex<State>,
}

struct State {
    entry: Entry,
    /// When the call was handed to whoever answers it.
    sent: Option<Instant>,
    /// Where it has been.
    places: u32,
    is_over: bool,
}

impl Record {
    pub(super) fn begin(log: Option<&Arc<Inner>>, side: Side) -> Self {
        Self(log.map(|log| {
            let entry = Entry::new(log.ambient.now(), side);
            Arc::new(Noted {
                log: log.clone(),
                since: Instant::now(),
                state: Mutex::new(State {
                    entry,
                    sent: None,
                    places: 0,
                    is_over: false,
                }),
            })
        }))
    }

    /// The pair that the call is of.
    pub fn pair(&self, pair: Uuid) {
        self.note(|state| state.entry.pair = Some(pair));
    }

    /// What is asked for, and in which trace.
    pub fn asked<B>(&self, request: &Request<B>, span: &Span) {
        self.note(|state| {
            let (entry, headers) = (&mut state.entry, request.headers());
            entry.method = Some(request.method().as_str().to_owned());
            entry.path = Some(cut(request.uri().path()));
            entry.query = request.uri().query().map(cut);
            entry.version = version(request.version());
            entry.user_agent = text(headers, header::USER_AGENT.as_str());
            entry.request_id = text(headers, "x-request-id");
            entry.trace = match trace::of(span) {
                Some(span) => Some(span.trace_id().to_string()),
                None => told_trace(headers),
            };
        });
    }

    /// The call came without protection.
    pub fn is_plain(&self) {
        self.note(|state| state.entry.protected = false);
    }

    /// The call is on this lane now, to or from this endpoint.
    pub fn placed(&self, bundle: Uuid, lane: u16, peer: Uuid, address: Option<&str>) {
        self.note(|state| {
            let entry = &mut state.entry;
            entry.bundle = Some(bundle);
            (entry.lane, entry.ticket) = (Some(lane), None);
            entry.peer = Some(peer);
            entry.address = address.map(cut);
            entry.retries = state.places;
            state.places = state.places.saturating_add(1);
            state.sent = Some(Instant::now());
        });
    }

    /// Its number within the lane.
    pub fn ticket(&self, n: u64) {
        self.note(|state| state.entry.ticket = Some(n));
    }

    /// The API is called now.
    pub fn sent(&self) {
        self.note(|state| state.sent = Some(Instant::now()));
    }

    /// An agent refuses it, or says why it has no answer.
    pub fn refused(&self, refusal: &Refusal) {
        self.note(|state| {
            let entry = &mut state.entry;
            entry.problem = Some(refusal.problem);
            entry.status = Some(refusal.problem.status());
            entry.ran = refusal.ran;
            entry.ended = Ended::Whole;
        });
    }

    /// The request, whose content is counted as it is read.
    pub fn request(&self, request: Request<Body>) -> Request<Body> {
        match &self.0 {
            None => request,
            Some(noted) => {
                let noted = noted.clone();
                request.map(|body| Counted::new(body, noted, Direction::Request).into_body())
            }
        }
    }

    /// The answer of whoever was asked, whose content is counted as it is read.
    pub fn answer(&self, response: Response<Body>) -> Response<Body> {
        self.note(|state| {
            let entry = &mut state.entry;
            entry.upstream_duration = state.sent.map(|sent| sent.elapsed());
            entry.upstream_status = Some(response.status());
        });
        self.own_answer(response)
    }

    /// What came of a call to the API.
    ///
    /// # Errors
    /// The reason why there is no answer, as it was.
    pub fn outcome(
        &self,
        outcome: Result<Response<Body>, Reason>,
    ) -> Result<Response<Body>, Reason> {
        match outcome {
            Ok(response) => Ok(self.answer(response)),
            Err(reason) => {
                self.refused(&Refusal::aborted(reason));
                Err(reason)
            }
        }
    }

    /// An answer of the agent's own.
    pub fn own_answer(&self, response: Response<Body>) -> Response<Body> {
        let Some(noted) = &self.0 else {
            return response;
        };
        noted.state.lock().entry.status = Some(response.status());
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let direction = Direction::Response { length };
        let noted = noted.clone();
        response.map(|body| Counted::new(body, noted, direction).into_body())
    }

    fn note(&self, what: impl FnOnce(&mut State)) {
        if let Some(noted) = &self.0 {
            what(&mut noted.state.lock());
        }
    }
}

impl Noted {
    /// So much of the request was read.
    pub fn took(&self, bytes: u64) {
        self.state.lock().entry.request_bytes += bytes;
    }

    /// So much of the answer was handed on.
    pub fn gave(&self, bytes: u64) {
        self.state.lock().entry.response_bytes += bytes;
    }

    /// The answer is over.
    pub fn over(&self, ended: Ended) {
        let mut state = self.state.lock();
        state.entry.ended = ended;
        state.entry.duration = self.since.elapsed();
        state.is_over = true;
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if !state.is_over {
            state.entry.duration = self.since.elapsed();
        }
        self.log.end(&state.entry);
    }
}

/// A field's value, if it is text.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(cut)
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The trace that a caller tells of (W3C Trace Context), where this agent records none.
fn told_trace(headers: &HeaderMap) -> Option<String> {
    let told = headers.get("traceparent")?.to_str().ok()?;
    let id = told.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
