//! A call that has been begun: sent, and sent again where it was lost, until it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use armour_enclave::ipc::Received;
use armour_protocol::v2::{message::Request, retry::Fate};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use tokio::{sync::oneshot, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{
    again::Again,
    bundle::{Bundle, Lane},
    caller::Recipient,
    elsewhere::GivenUp,
    fate::Failure,
    pair::ConsumerPair,
    rekeying::{Rekeying, foreign_checkpoint},
    transport::{self, Answer, BARE_TIMEOUT, Begun, Judged},
};
use crate::{
    access_log::Record,
    backoff::Backoff,
    control_plane::lease,
    foreign_checkpoint::FOREIGN_CHECKPOINT,
    metrics::{CutReason, METRICS},
    wire::{
        idle::REQUEST_IDLE,
        message::MessageReader,
        sealing::Sealing,
        stream::{Broken, PeerMark},
    },
};

/// What became of a call.
pub type Outcome = Result<Response<Body>, Failure>;

/// Where the outcome goes, until it has gone.
pub type Caller = Option<oneshot::Sender<Outcome>>;

/// A call that has been begun.
pub struct Exchange {
    /// The pair.
    pub consumer: Arc<ConsumerPair>,
    /// Its lane.
    pub lane: Lane,
    /// Whom its answer is for.
    pub recipient: Recipient,
    /// The message that is sent again and again, byte for byte; of a stream the head alone,
    /// which brings the same answer.
    message: Bytes,
    /// How far the answer has been verified.
    pub peer: PeerMark,
    /// How its streams are re-keyed.
    pub rekeying: Rekeying,
    /// The rest of a request that is a stream.
    pub upload: Option<Upload>,
    /// When it was begun.
    pub since: Instant,
    /// When its caller is told at the latest.
    pub deadline: Instant,
    /// How it bears being made a second time.
    pub again: Again,
    /// Whether anything of it may have been sent.
    sent: AtomicBool,
    /// Whether no connection could be made to send it by.
    unreached: AtomicBool,
    /// Whether the connection is there that brings its answer, whose head has come.
    answering: AtomicBool,
    /// Whether the producer has begun it: then it may take its time.
    begun: Begun,
}

/// What a call's caller wants of it.
#[derive(Clone)]
pub struct Terms {
    /// When it is told at the latest.
    pub deadline: Instant,
    /// Whom the answer is for.
    pub recipient: Recipient,
    /// How the call bears being made a second time.
    pub again: Again,
    /// Where it is noted that it has begun.
    pub begun: Arc<AtomicBool>,
    /// What is noted of it for the access log.
    pub record: Record,
}

/// When an answer that is read was verified last, and how it is asked for since.
pub struct Progress {
    since: Instant,
    backoff: Backoff,
}

impl Progress {
    /// Something has been verified now.
    pub fn now() -> Self {
        Self {
            since: Instant::now(),
            backoff: Backoff::default(),
        }
    }
}

/// A request's body on its way.
pub type Upload = AbortOnDropHandle<Result<(), Broken>>;

/// For so long a call may still be concluded whose caller has left: most are soon, and their
/// lane need not be replaced.
pub const LEFT: Duration = Duration::from_millis(250);

/// Waits until the caller has left, and a while longer.
pub async fn left(caller: &mut Caller) {
    match caller {
        Some(caller) => {
            caller.closed().await;
            tokio::time::sleep(LEFT).await;
        }
        // It has been told already.
        None => std::future::pending().await,
    }
}

/// Tells the caller, once.
pub fn tell(caller: &mut Caller, outcome: Outcome) {
    if let Some(caller) = caller.take() {
        let _ = caller.send(outcome);
    }
}

impl Exchange {
    /// None of it has been sent yet.
    pub fn new(
        consumer: Arc<ConsumerPair>,
        lane: Lane,
        begun: Begun,
        message: Bytes,
        request: Sealing<Request>,
        terms: Terms,
    ) -> Self {
        Self {
            rekeying: Rekeying::new(request, &lane.bundle),
            consumer,
            lane,
            recipient: terms.recipient,
            message,
            peer: PeerMark::default(),
            upload: None,
            since: Instant::now(),
            deadline: terms.deadline,
            again: terms.again,
            sent: AtomicBool::new(false),
            unreached: AtomicBool::new(false),
            answering: AtomicBool::new(false),
            begun,
        }
    }

    /// The bundle.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.lane.bundle
    }

    /// Its streams flow: they are re-keyed from here on, as the policy says.
    pub fn streams(&mut self) {
        let lane = self.lane.id();
        self.rekeying
            .begin(&self.consumer, &self.lane.bundle, lane, &self.peer);
    }

    /// Waits until its streams must end: they were not re-keyed in their time, or nobody knows
    /// any more whether their bundle is still good.
    pub async fn cut(&self) -> CutReason {
        let consumer = &self.consumer;
        let lease = lease::over(&consumer.session, &consumer.reporter, self.bundle().lease());
        let reason = tokio::select! {
            () = self.rekeying.late.cancelled() => CutReason::Rekey,
            () = lease => CutReason::Lease,
        };
        let why: &'static str = reason.into();
        tracing::warn!(
            lane = self.lane.number,
            why,
            "a stream is ended before its end"
        );
        METRICS.stream_cut(reason);
        reason
    }

    /// Sends until a valid answer's head is there, or the caller has left. When the caller's
    /// time is over it is told so, and the lane is won back in the background, for a while.
    pub async fn until_answered(
        &self,
        first: &mut Option<Body>,
        caller: &mut Caller,
    ) -> Result<(Received, Answer), GivenUp> {
        let end = self.deadline + self.grace();
        let mut backoff = Backoff::default();
        loop {
            let body = first
                .take()
                .unwrap_or_else(|| Body::from(self.message.clone()));
            let attempt = self.attempt(body);
            tokio::pin!(attempt);
            let outcome = loop {
                let waits = !self.begun.is_known();
                tokio::select! {
                    outcome = &mut attempt => break outcome,
                    () = left(caller) => return Err(GivenUp(None)),
                    given_up = self.is_better_elsewhere(), if caller.is_some() => {
                        return Err(given_up);
                    }
                    () = tokio::time::sleep_until(self.deadline), if waits && caller.is_some() => {
                        self.tell_in_time(caller).await;
                    }
                    () = tokio::time::sleep_until(end), if waits => {
                        if !self.begun.is_known() {
                            return Err(GivenUp(None));
                        }
                    }
                    () = self.bundle().dead.cancelled() => return Err(GivenUp(None)),
                    reason = self.cut(), if self.upload.is_some() => {
                        tell(caller, Err(Failure::cut(reason)));
                        return Err(GivenUp(None));
                    }
                }
            };
            self.begun.forget();
            match outcome {
                // The same bytes may come again: after a while, as always.
                Ok((Received::PutOff { reason, .. }, _)) => {
                    tracing::debug!(lane = self.lane.number, reason, "a call is put off");
                }
                Ok(answered) => return Ok(answered),
                Err(why) => {
                    let lane = self.lane.number;
                    tracing::debug!(lane, why, "an exchange is sent again");
                    if Instant::now() > self.deadline && caller.is_some() {
                        self.consumer.session.note(why);
                    }
                }
            }
            if self.bundle().leaving.is_cancelled() || Instant::now() > end {
                return Err(GivenUp(None));
            }
            self.tell_in_time(caller).await;
            tokio::select! {
                () = backoff.wait() => {}
                () = left(caller) => return Err(GivenUp(None)),
                given_up = self.is_better_elsewhere(), if caller.is_some() => {
                    return Err(given_up);
                }
                () = self.bundle().dead.cancelled() => return Err(GivenUp(None)),
            }
        }
    }

    /// Tells the caller what is known, if its time is over.
    async fn tell_in_time(&self, caller: &mut Caller) {
        let over = Instant::now() >= self.deadline && !self.begun.is_known();
        if over && caller.is_some() {
            tracing::warn!(lane = self.lane.number, "an exchange is not concluded yet");
            tell(caller, Err(self.unanswered().await));
        }
    }

    /// What is known of it, and what that says of its producer.
    pub async fn unanswered(&self) -> Failure {
        let fate = self.fate().await;
        let is_own = fate == Fate::NotSent && !self.unreached.load(Ordering::Relaxed);
        match is_own || self.bundle().dead.is_cancelled() {
            true => Failure::unanswered(fate).by_nobody(),
            false => Failure::unanswered(fate),
        }
    }

    async fn attempt(&self, body: Body) -> Result<(Received, Answer), String> {
        let bundle = self.bundle();
        let before = self.sent.swap(true, Ordering::Relaxed);
        let asked = transport::ask(&self.consumer, bundle, body, Some(&self.begun)).await;
        let answer = asked.map_err(|unanswered| {
            self.sent
                .store(before || unanswered.sent, Ordering::Relaxed);
            self.unreached.store(!unanswered.sent, Ordering::Relaxed);
            unanswered.why
        })?;
        match transport::judge(&self.consumer, bundle, self.lane.id(), &answer.head).await {
            Judged::Taken(received) => Ok((received, answer)),
            Judged::Invalid(why) => Err(why),
            Judged::Gone => {
                bundle.kill(false);
                Err("the bundle is gone".to_owned())
            }
        }
    }

    /// The head of its answer is there, and the rest comes by the same connection.
    pub fn is_answered(&self) {
        self.begun.was_begun();
        self.answering.store(true, Ordering::Relaxed);
    }

    /// Whether its producer has begun it, or cannot any more.
    pub async fn is_decided(&self) -> bool {
        self.begun.was_known() || self.fate().await == Fate::Over
    }

    /// Whether its producer has said, on a connection that is there, that it has begun it, or
    /// how it has answered it.
    pub fn is_connected(&self) -> bool {
        self.begun.is_known() || self.answering.load(Ordering::Relaxed)
    }

    /// What is known while no answer is.
    pub async fn fate(&self) -> Fate {
        if !self.sent.load(Ordering::Relaxed) {
            return Fate::NotSent;
        }
        match self.consumer.enclave.is_past(self.lane.id()).await {
            Ok(true) => Fate::Over,
            _ => Fate::Unknown,
        }
    }

    /// For so long a lane is won back whose call is not concluded.
    fn grace(&self) -> Duration {
        let begin_within = Duration::from_millis(self.bundle().policy.begin_within_ms.into());
        begin_within * 3 + Duration::from_secs(5)
    }

    /// Asks for the same answer once more, until the lane's time is over.
    pub async fn again(&self, head: &Bytes, progress: &mut Progress) -> Option<MessageReader> {
        self.answering.store(false, Ordering::Relaxed);
        loop {
            if progress.since.elapsed() > self.grace() {
                return None;
            }
            progress.backoff.wait().await;
            let body = Body::from(self.message.clone());
            let asked = transport::ask(&self.consumer, self.bundle(), body, Some(&self.begun));
            tokio::select! {
                answer = tokio::time::timeout(BARE_TIMEOUT, asked) => match answer {
                    Ok(Ok(answer)) if answer.head == *head => {
                        self.answering.store(true, Ordering::Relaxed);
                        return Some(answer.rest);
                    }
                    Ok(Err(unanswered)) => tracing::debug!(why = unanswered.why, "not again yet"),
                    Ok(Ok(_)) | Err(_) => {}
                },
                () = self.bundle().dead.cancelled() => return None,
            }
        }
    }

    /// The call goes no further. Unless it is concluded its lane is replaced, which ends it at
    /// the producer.
    pub fn end(mut self) {
        if self.begun.was_known() {
            self.lane.is_seen();
        }
        self.consumer.replace(self.lane);
    }

    /// Both directions have ended: the lane may take its next ticket.
    pub async fn finish(&mut self, last: Option<Vec<u8>>) {
        let streamed = self.upload.is_some() || last.is_some();
        if let Some(upload) = self.upload.take() {
            let ended = tokio::select! {
                ended = upload => matches!(ended, Ok(Ok(()))),
                () = self.begun.request.idle_for(REQUEST_IDLE) => false,
                _ = self.cut() => false,
            };
            if !ended {
                return;
            }
        }
        if streamed && !self.rekeying.settle().await {
            let lane = self.lane.number;
            tracing::warn!(
                lane,
                "a lane is given up: its last sub-ticket is not answered"
            );
            return;
        }
        let lane = self.lane.id();
        if streamed && let Err(error) = self.consumer.enclave.finish(lane, last).await {
            if error.is(FOREIGN_CHECKPOINT) {
                foreign_checkpoint(&self.consumer, self.bundle(), lane, None);
            }
            tracing::warn!(%error, lane = self.lane.number, "a stream is not final");
            return;
        }
        self.lane.is_free();
    }
}
