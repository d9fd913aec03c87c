//! Frames on their way to the producer and back. What comes back without the producer's
//! signature is no more than a connection that broke, whatever it says.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use armour_enclave::{EnclaveError, binding::LaneId, ipc::Received};
use armour_protocol::v2::{
    body::{self, Direction},
    message::{Evidence, SignedReceipt},
};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    bundle::Bundle,
    pair::{ConsumerPair, Shared},
    trouble::Trouble,
};
use crate::{
    backoff::Backoff,
    other_release,
    wire::{
        idle::IdleTimer,
        message::{AnswerFrame, BUNDLE_FIELD, EXCHANGE_PATH, MessageReader},
        version,
    },
};

/// How long an answer may take for which nothing has to be done: that to a ticket without
/// content, or one that was given before.
pub const BARE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take once the producer has said that the call has
/// begun, and the last piece of its request has been sent: as long as its API.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// Why there is no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// What went wrong.
    pub why: String,
    /// Whether anything of the request can have been sent.
    pub sent: bool,
}

/// Whether a connection was refused: nothing listens there.
pub fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(one) = error {
        if let Some(io) = one.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        error = one.source();
    }
    false
}

/// Whether the enclave took an answer's head.
pub enum Judged {
    /// It did.
    Taken(Received),
    /// It is nobody's word.
    Invalid(String),
    /// The bundle or the enclave is gone.
    Gone,
}

/// An answer's head that passed the gate, and what follows it.
pub struct Answer {
    /// The head.
    pub head: Bytes,
    /// Its segments.
    pub rest: MessageReader,
}

/// Whether a call has begun, by a notice that whoever has the bundle's secret can make.
pub struct Begun {
    ticket: body::Body,
    known: AtomicBool,
    /// Whether it was known at any time.
    ever: Arc<AtomicBool>,
    /// Its request.
    pub request: IdleTimer,
}

impl Begun {
    /// The call of this ticket; nothing is known of it. It is noted in `ever` once it has begun.
    pub fn new(ticket: body::Body, ever: Arc<AtomicBool>) -> Self {
        Self {
            ticket,
            known: AtomicBool::new(false),
            ever,
            request: IdleTimer::start(),
        }
    }

    /// Waits until an answer is late. An API may wait for the end of a request, which may take
    /// long, but does not stand still.
    async fn late(&self) {
        self.request.idle_for(ANSWER_TIMEOUT).await;
    }

    /// Whether it is known to have begun, and its answer is on the way.
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Whether the producer has ever said so: it has the ticket.
    pub fn was_known(&self) -> bool {
        self.ever.load(Ordering::Relaxed)
    }

    /// Its producer has begun it.
    pub fn was_begun(&self) {
        self.ever.store(true, Ordering::Relaxed);
    }

    /// The connection that said so is gone.
    pub fn forget(&self) {
        self.known.store(false, Ordering::Relaxed);
    }
}

/// Sends a message and waits for the head of its answer. The producer may take its time once
/// it has said that the call has begun; else its silence counts.
///
/// # Errors
/// [`Unanswered`].
pub async fn ask(
    shared: &Shared,
    bundle: &Bundle,
    body: Body,
    begun: Option<&Begun>,
) -> Result<Answer, Unanswered> {
    let since = Instant::now();
    let silent = || {
        if !begun.is_some_and(Begun::is_known) {
            bundle.unheard(since);
        }
    };
    let asked = async {
        let posted = post(shared, bundle, EXCHANGE_PATH, body).await?;
        head(bundle, posted, begun).await
    };
    tokio::pin!(asked);
    let answer = tokio::select! {
        answer = &mut asked => answer,
        () = tokio::time::sleep(bundle.unreachable_after()) => {
            silent();
            asked.await
        }
    };
    answer.inspect_err(|unanswered| {
        silent();
        // One that was refused a connection is left out already.
        if unanswered.sent {
            bundle.standing.lost();
        }
    })
}

/// Sends a message to the producer, and reads what it answers.
///
/// # Errors
/// [`Unanswered`].
pub async fn post(
    shared: &Shared,
    bundle: &Bundle,
    path: &'static str,
    body: Body,
) -> Result<MessageReader, Unanswered> {
    let lost = |why: String| Unanswered { why, sent: true };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{}", bundle.producer, version::path(path)))
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(BUNDLE_FIELD, bundle.id.to_string())
        .body(body)
        .map_err(|error| Unanswered {
            why: error.to_string(),
            sent: false,
        })?;
    other_release::mark(request.headers_mut());
    let response = shared.http.request(request).await.map_err(|error| {
        let sent = !error.is_connect();
        if is_refused(&error) {
            bundle.standing.leave_out(Trouble::Refused);
        } else if !sent {
            bundle.standing.leave_out(Trouble::Silent);
        }
        let error = anyhow::Error::new(error);
        let why = format!("the producer is out of reach: {error:#}");
        Unanswered { why, sent }
    })?;
    if response.status() != StatusCode::OK {
        if let Some(theirs) = version::told(response.headers()) {
            let why = version::refusal(theirs).detail;
            if bundle.standing.speaks(theirs) {
                let endpoint = bundle.standing.producer;
                tracing::error!(%endpoint, "{why}");
                shared.session.note(format!("endpoint {endpoint}: {why}"));
            }
            return Err(lost(why));
        }
        return Err(lost(format!("the producer answers {}", response.status())));
    }
    Ok(MessageReader::new(Body::new(response.into_body())))
}

/// The answer's head, once it passed the gate.
async fn head(
    bundle: &Bundle,
    mut rest: MessageReader,
    begun: Option<&Begun>,
) -> Result<Answer, Unanswered> {
    let lost = |why: &str| Unanswered {
        why: why.to_owned(),
        sent: true,
    };
    let malformed = |_| lost("the answer is cut or malformed");
    let strange = |_| lost("the answer is not of this bundle");
    let frame = match (rest.answer_frame().await.map_err(malformed)?, begun) {
        (AnswerFrame::Head(frame), _) => frame,
        // The status alone, which comes before this, is nobody's word.
        (AnswerFrame::Begun(notice), Some(begun)) => {
            let checked = bundle.gate.check_begun(&begun.ticket, &notice);
            checked.map_err(strange)?;
            bundle.standing.heard();
            begun.known.store(true, Ordering::Relaxed);
            begun.was_begun();
            tokio::select! {
                frame = rest.frame() => frame.map_err(malformed)?,
                () = begun.late() => return Err(lost("no answer in time")),
            }
        }
        (AnswerFrame::Begun(_), None) => return Err(lost("that needed not begin")),
    };
    let head = bundle.gate.check(Direction::Response, &frame);
    Ok(Answer {
        head: frame.slice_ref(head.map_err(strange)?),
        rest,
    })
}

/// Has the enclave judge an answer's head. What it takes is reported, though whoever asks
/// should leave in this moment.
pub async fn judge(
    consumer: &Arc<ConsumerPair>,
    bundle: &Arc<Bundle>,
    lane: LaneId,
    head: &[u8],
) -> Judged {
    let (consumer, bundle, head) = (consumer.clone(), bundle.clone(), head.to_vec());
    let judging = async move { receive(&consumer, &bundle, lane, &head).await };
    let judged = tokio::spawn(judging.in_current_span()).await;
    judged.unwrap_or(Judged::Gone)
}

async fn receive(shared: &Shared, bundle: &Bundle, lane: LaneId, head: &[u8]) -> Judged {
    let received = match shared.enclave.receive(lane, head.to_vec()).await {
        Ok(received) => received,
        // Damaged or forged: the lane waits on.
        Err(EnclaveError::Refused(code)) if code != "bundle-unknown" => {
            return Judged::Invalid(format!("the answer's head is not valid: {code}"));
        }
        Err(_) => return Judged::Gone,
    };
    match &received {
        Received::PutOff { .. } | Received::Repeat => {}
        Received::Clone { other, .. } => {
            tracing::error!(bundle = %bundle.id, lane = lane.lane,
                "THE PRODUCER ANSWERED ONE TICKET TWICE: its state was copied");
            if let Ok(other) = Evidence::from_bytes(other) {
                shared.reporter.add(&bundle.context, other);
            }
        }
        _ => {
            bundle.heard();
            if let Ok(receipt) = SignedReceipt::from_bytes(head) {
                shared.reporter.add(&bundle.context, receipt.evidence());
                if let Some(log_head) = receipt.unverified().log_head() {
                    let session = &shared.session;
                    session.compare_log_head(bundle.id, log_head.to_vec());
                }
            }
        }
    }
    Judged::Taken(received)
}

/// Sends a ticket without content, the same bytes again and again, until it is answered,
/// the time is over, or the bundle is of no more use.
pub async fn conclude(
    consumer: &Arc<ConsumerPair>,
    bundle: &Arc<Bundle>,
    lane: LaneId,
    head: &[u8],
    until: Option<Instant>,
) -> Option<Received> {
    let frame = Bytes::from(bundle.gate.frame(Direction::Request, head));
    let mut backoff = Backoff::default();
    let sending = async {
        loop {
            match attempt(consumer, bundle, lane, &frame).await {
                Ok(Judged::Taken(Received::PutOff { reason, .. })) => {
                    tracing::debug!(lane = lane.lane, reason, "a ticket is put off");
                }
                Ok(Judged::Taken(received)) => return Some(received),
                Ok(Judged::Gone) => return None,
                Ok(Judged::Invalid(why)) | Err(why) => {
                    tracing::debug!(lane = lane.lane, why, "a ticket is sent again");
                }
            }
            backoff.wait().await;
        }
    };
    let over = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        received = sending => received,
        () = bundle.dead.cancelled() => None,
        () = over => None,
    }
}

/// Sends the last ticket of a lane that was replaced to a producer that may not have it. It
/// refuses that, but reports it: else the ledger would have the consumer's word for it alone.
pub async fn show(consumer: Arc<ConsumerPair>, bundle: Arc<Bundle>, frame: Bytes) {
    let posted = post(&consumer, &bundle, EXCHANGE_PATH, Body::from(frame));
    if tokio::time::timeout(BARE_TIMEOUT, posted).await.is_err() {
        tracing::debug!(bundle = %bundle.id, "a lost ticket could not be shown to the producer");
    }
}

async fn attempt(
    consumer: &Arc<ConsumerPair>,
    bundle: &Arc<Bundle>,
    lane: LaneId,
    frame: &Bytes,
) -> Result<Judged, String> {
    let since = Instant::now();
    let asked = ask(consumer, bundle, Body::from(frame.clone()), None);
    let answer = tokio::time::timeout(BARE_TIMEOUT, asked).await;
    let answer = answer.map_err(|_| {
        bundle.unheard(since);
        "no answer in time".to_owned()
    })?;
    let answer = answer.map_err(|unanswered| unanswered.why)?;
    Ok(judge(consumer, bundle, lane, &answer.head).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lane;

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_an_upload_that_stops_is_late_after_its_last_piece() {
        let begun = Begun::new(Lane::open().whole(b"POST /upload").ticket, Arc::default());
        let upload = begun.request.clone();
        let uploading = async move {
            for _ in 0..5 {
                tokio::time::sleep(ANSWER_TIMEOUT / 2).await;
                upload.touch();
            }
            Instant::now()
        };
        let late = async {
            begun.late().await;
            Instant::now()
        };
        let both = futures::future::join(uploading, late);
        let both = tokio::time::timeout(ANSWER_TIMEOUT * 10, both).await;
        let (last, late) = both.expect("it waits without an end");
        assert!(late >= last + ANSWER_TIMEOUT);
    }
}
