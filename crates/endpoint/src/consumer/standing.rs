//! How a producer's endpoint stands with one consumer: what its calls took, whether it answers,
//! and what the control plane says of it. Successive bundles with it share this.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use armour_ambient::Random;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    choice::{Candidate, warmth},
    ejection::Ejection,
    latency::Latency,
    trouble::Trouble,
};
use crate::metrics::METRICS;

/// Messages in a row that may break off, or be answered by nobody who holds the bundle, before
/// the endpoint is left out.
const MAX_LOST: u32 = 3;

/// What a producer's endpoint is for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It takes calls.
    Serving,
    /// Its API does not answer.
    NotServing,
    /// It is about to leave.
    Leaving,
    /// It takes no more calls, and has signed that.
    Stopped,
}

/// How a producer's endpoint stands.
pub struct Standing {
    /// The endpoint.
    pub producer: Uuid,
    random: Random,
    state: Mutex<State>,
    trouble: watch::Sender<Option<Trouble>>,
    /// Notified when a call begins where none was under way.
    pub called: Notify,
}

struct State {
    since: Instant,
    latency: Latency,
    ejection: Ejection,
    phase: Phase,
    /// The calls that have no answer yet, oldest first: when each began.
    waiting: BTreeMap<u64, Instant>,
    /// Those of them of which the producer may not have said that it has begun them: who has is
    /// taken out once it is the oldest.
    unbegun: BTreeMap<u64, Out>,
    /// The number of the next call.
    next: u64,
    /// When the endpoint was heard of last.
    heard: Instant,
    /// When its own word came last, and not only an answer to a probe.
    signed: Instant,
    /// Messages that were lost since.
    lost: u32,
    /// The version of the protocol that its agent says that it speaks, if none of ours.
    other_version: Option<OtherVersion>,
    /// When that was told of last. It outlives what was said: otherwise whoever says so between
    /// any two true answers would have each of them told of.
    other_version_told: Option<Instant>,
}

/// What somebody said in a producer's agent's name.
#[derive(Debug, Clone, Copy)]
struct OtherVersion {
    version: u8,
    /// When that was said last.
    said: Instant,
}

/// For how long an agent is taken for one of another version once that was said, and how often
/// that is told of: anybody on the way can say so.
const OTHER_VERSION: Duration = Duration::from_secs(60);

/// A call that may not have begun.
struct Out {
    since: Instant,
    begun: Arc<AtomicBool>,
}

/// A call under way, until the head of its response is there.
pub struct Waiting {
    standing: Arc<Standing>,
    since: Option<Instant>,
    number: u64,
    begun: Arc<AtomicBool>,
}

impl Standing {
    /// Nothing is known of this endpoint.
    pub fn new(producer: Uuid, random: Random) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            producer,
            random,
            state: Mutex::new(State {
                since: now,
                latency: Latency::default(),
                ejection: Ejection::default(),
                phase: Phase::Serving,
                waiting: BTreeMap::new(),
                unbegun: BTreeMap::new(),
                next: 0,
                heard: now,
                signed: now,
                lost: 0,
                other_version: None,
                other_version_told: None,
            }),
            trouble: watch::Sender::new(None),
            called: Notify::new(),
        })
    }

    /// A call begins.
    pub fn call(self: &Arc<Self>) -> Waiting {
        let now = Instant::now();
        let begun = Arc::<AtomicBool>::default();
        let (number, is_first) = {
            let mut state = self.state.lock();
            let number = state.next;
            state.next += 1;
            state.waiting.insert(number, now);
            let out = Out {
                since: now,
                begun: begun.clone(),
            };
            state.unbegun.insert(number, out);
            (number, state.waiting.len() == 1)
        };
        if is_first {
            self.called.notify_one();
        }
        Waiting {
            standing: self.clone(),
            since: Some(now),
            number,
            begun,
        }
    }

    /// As a candidate for the next call, with so many under way.
    pub fn candidate(&self, load: usize) -> Candidate {
        // That nothing has come yet tells as much.
        let stalled = self.stalled();
        let state = self.state.lock();
        let now = Instant::now();
        Candidate {
            load,
            latency: state.latency.at(now).max(stalled),
            warmth: warmth(now - state.since),
        }
    }

    /// Why it is left out, if it is.
    pub fn trouble(&self) -> Option<Trouble> {
        *self.trouble.borrow()
    }

    /// When it is taken in again, if it is left out.
    pub fn out_until(&self) -> Option<Instant> {
        self.trouble()?;
        self.state.lock().ejection.until()
    }

    /// Waits until it is left out.
    pub async fn troubled(&self) -> Trouble {
        let mut trouble = self.trouble.subscribe();
        match trouble.wait_for(Option::is_some).await.map(|now| *now) {
            Ok(Some(trouble)) => trouble,
            // The sender is ours.
            _ => std::future::pending().await,
        }
    }

    /// What it is for callers.
    pub fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// The control plane, or its own signature, says what it is for callers.
    pub fn set_phase(&self, phase: Phase) {
        self.state.lock().phase = phase;
    }

    /// For how long it has not been heard of while a call waits for it; none if no call does.
    pub fn silence(&self) -> Option<Duration> {
        let state = self.state.lock();
        let (_, oldest) = state.waiting.first_key_value()?;
        Some(state.heard.max(*oldest).elapsed())
    }

    /// For how long no word of its own has come while a call waits of which it has not said that
    /// it has begun; none if no such call does. It says so in the policy's time, or refuses.
    pub fn stalled(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        loop {
            let oldest = state.unbegun.first_entry()?;
            if oldest.get().begun.load(Ordering::Relaxed) {
                oldest.remove();
                continue;
            }
            let since = oldest.get().since;
            return Some(state.signed.max(since).elapsed());
        }
    }

    /// It was heard of, signed or by the bundle's secret.
    pub fn heard(&self) {
        {
            let mut state = self.state.lock();
            state.heard = Instant::now();
            state.signed = state.heard;
            state.lost = 0;
            state.other_version = None;
        }
        self.is_over(|trouble| trouble != Trouble::Busy);
    }

    /// It says that it speaks another version of the protocol, which is nobody's word. Returns
    /// whether that is to be told of: once a minute.
    pub fn speaks(&self, version: u8) -> bool {
        let mut state = self.state.lock();
        let said = Instant::now();
        let told = state.other_version_told;
        let is_due = told.is_none_or(|told| told.elapsed() >= OTHER_VERSION);
        if is_due {
            state.other_version_told = Some(said);
        }
        state.other_version = Some(OtherVersion { version, said });
        is_due
    }

    /// The version of the protocol that it says that it speaks, if that is another.
    pub fn other_version(&self) -> Option<u8> {
        let said = self.state.lock().other_version;
        said.filter(|one| one.said.elapsed() < OTHER_VERSION)
            .map(|one| one.version)
    }

    /// It has answered a probe, which is nobody's word.
    pub fn answers_probes(&self) {
        self.state.lock().heard = Instant::now();
        self.is_over(Trouble::is_seen_by_probes);
    }

    /// Its time out is over.
    pub fn is_admitted(&self) {
        self.is_over(|_| true);
    }

    /// A message to it has no answer of its own.
    pub fn lost(&self) {
        let lost = {
            let mut state = self.state.lock();
            state.lost = state.lost.saturating_add(1);
            state.lost
        };
        if lost >= MAX_LOST {
            self.leave_out(Trouble::Lost);
        }
    }

    /// Leaves it out for a while; what is left out already stays so.
    pub fn leave_out(&self, trouble: Trouble) {
        let jitter = f64::from(u16::from_be_bytes(self.random.bytes())) / f64::from(u16::MAX);
        let mut state = self.state.lock();
        state.ejection.eject(Instant::now(), jitter);
        let is_new = self.trouble.send_if_modified(|now| {
            // What a probe shows is known better.
            let replaces =
                trouble == Trouble::Refused || now.is_none_or(|now| !now.is_seen_by_probes());
            let changed = replaces && *now != Some(trouble);
            if changed {
                *now = Some(trouble);
            }
            changed
        });
        drop(state);
        if is_new {
            METRICS.ejected(trouble);
            let reason: &'static str = trouble.into();
            tracing::warn!(endpoint = %self.producer, reason, "a producer is left out");
        }
    }

    fn is_over(&self, is: impl Fn(Trouble) -> bool) {
        // Under the lock: nobody leaves it out in between.
        let mut state = self.state.lock();
        let over = self
            .trouble
            .send_if_modified(|now| now.take_if(|now| is(*now)).is_some());
        if over {
            state.ejection.end();
            drop(state);
            tracing::info!(endpoint = %self.producer, "a producer is called again");
        }
    }

    fn end(&self, number: u64) {
        let mut state = self.state.lock();
        state.waiting.remove(&number);
        state.unbegun.remove(&number);
    }
}

impl Waiting {
    /// Where it is noted that its producer has begun it.
    pub fn begun(&self) -> Arc<AtomicBool> {
        self.begun.clone()
    }

    /// The head of its response is there; `works` if it is not the word of an API that failed.
    pub fn answered(mut self, works: bool) {
        let Some(since) = self.since.take() else {
            return;
        };
        self.standing.end(self.number);
        let now = Instant::now();
        let mut state = self.standing.state.lock();
        match works {
            true => {
                state.latency.answered(now - since, now);
                if self.standing.trouble.borrow().is_none() {
                    state.ejection.forget();
                }
            }
            false => state.latency.answered_by_failure(now),
        }
    }

    /// It has no response, since its producer or that one's API failed.
    pub fn failed(mut self) {
        if self.since.take().is_some() {
            self.standing.end(self.number);
            self.standing.state.lock().latency.failed(Instant::now());
        }
    }
}

impl Drop for Waiting {
    /// Its caller has left, or it was refused for what it is: it is not known what it would
    /// have taken, but that it was longer than until now.
    fn drop(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        self.standing.end(self.number);
        let now = Instant::now();
        let mut state = self.standing.state.lock();
        if state
            .latency
            .at(now)
            .is_some_and(|usual| now - since > usual)
        {
            state.latency.answered(now - since, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Arc<Standing> {
        Standing::new(Uuid::from_u128(1), Random::seeded(4))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_tells_what_its_producer_takes() {
        let standing = standing();
        standing.call().answered(true);
        let waiting = standing.call();
        tokio::time::advance(Duration::from_secs(3)).await;
        let latency = standing.candidate(1).latency;
        assert_eq!(latency, Some(Duration::from_secs(3)));
        assert_eq!(standing.silence(), Some(Duration::from_secs(3)));
        // It says that it has begun another one: that this one takes long may be its own.
        standing.heard();
        assert!(standing.candidate(1).latency < Some(Duration::from_secs(1)));
        drop(waiting);
        assert!(standing.candidate(0).latency > Some(Duration::from_secs(1)));
        assert_eq!(standing.silence(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_of_versions_is_told_once_a_minute_whatever_is_heard_between() {
        let standing = standing();
        assert!(standing.speaks(3));
        standing.heard();
        assert_eq!(standing.other_version(), None);
        assert!(!standing.speaks(4));
        assert_eq!(standing.other_version(), Some(4));
        tokio::time::advance(OTHER_VERSION).await;
        assert_eq!(standing.other_version(), None);
        assert!(standing.speaks(4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_probe_is_no_word_of_the_producers() {
        let standing = standing();
        let second = Duration::from_secs(1);
        let (first, begun) = (standing.call(), standing.call());
        begun.begun().store(true, Ordering::Relaxed);
        tokio::time::advance(second).await;
        standing.answers_probes();
        tokio::time::advance(second).await;
        assert_eq!(standing.silence(), Some(second));
        assert_eq!(standing.stalled(), Some(2 * second));
        drop(first);
        assert_eq!(standing.stalled(), None, "the API may take its time");
        assert_eq!(standing.silence(), Some(second));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_call_that_has_not_begun_counts_in_whatever_order_others_do() {
        let standing = standing();
        let second = Duration::from_secs(1);
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(standing.call());
            tokio::time::advance(second).await;
        }
        for at in [1, 0, 3] {
            calls[at].begun().store(true, Ordering::Relaxed);
        }
        assert_eq!(standing.stalled(), Some(2 * second));
        assert_eq!(standing.silence(), Some(4 * second));
        calls.remove(2).answered(true);
        assert_eq!(standing.stalled(), None);
        drop(calls);
        assert_eq!(standing.silence(), None);
        assert!(standing.state.lock().unbegun.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_breaks_off_again_and_again_is_left_out_until_its_word_comes() {
        let standing = standing();
        standing.lost();
        standing.lost();
        standing.heard();
        standing.lost();
        standing.lost();
        assert_eq!(standing.trouble(), None);
        standing.lost();
        assert_eq!(standing.trouble(), Some(Trouble::Lost));
        standing.answers_probes();
        assert_eq!(standing.trouble(), Some(Trouble::Lost));
        standing.heard();
        assert_eq!(standing.trouble(), None);
        assert_eq!(standing.out_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_connections_is_left_out_until_a_probe_is_answered() {
        let standing = standing();
        standing.leave_out(Trouble::Refused);
        assert_eq!(standing.troubled().await, Trouble::Refused);
        let until = standing.out_until().unwrap();
        standing.leave_out(Trouble::Lost);
        assert_eq!(standing.trouble(), Some(Trouble::Refused));
        assert_eq!(standing.out_until(), Some(until));
        standing.answers_probes();
        assert_eq!(standing.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_busy_stays_out_for_its_time() {
        let standing = standing();
        standing.leave_out(Trouble::Busy);
        standing.heard();
        standing.answers_probes();
        assert_eq!(standing.trouble(), Some(Trouble::Busy));
        standing.is_admitted();
        assert_eq!(standing.trouble(), None);
    }
}
