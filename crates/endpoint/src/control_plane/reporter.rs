//! Reports tickets to the ledger, in the order in which they were issued or
//! accepted, until the ledger has taken them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use armour_api::{ReportVerdict, TicketReport};
use armour_client::ClientError;
use armour_protocol::{ledger::Chain, ticket::SignedTicket};
use armour_telemetry::trace;
use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{backoff::Backoff, control_plane::session::Session};

/// Most reports and tickets of one call; the control plane takes 1000 and 5000.
const MAX_REPORTS: usize = 500;
const MAX_TICKETS: usize = 4000;
/// With more tickets waiting than this the agent refuses traffic.
const MAX_WAITING_TICKETS: usize = 100_000;

/// Collects tickets and reports them.
pub struct Reporter {
    session: Arc<Session>,
    waiting: Mutex<Lanes>,
    count: AtomicUsize,
    /// Since when the batch under way has not been taken by the ledger.
    sending: Mutex<Option<Instant>>,
    wake: Notify,
    idle: Notify,
    /// Bundles that the ledger calls dead.
    dead: mpsc::UnboundedSender<Uuid>,
}

/// Tickets by bundle and lane.
type Lanes = HashMap<([u8; 16], u32), Vec<Entry>>;

struct Entry {
    ticket: SignedTicket,
    at: Instant,
    /// The span that brought it forth, if it is recorded.
    span: Option<SpanContext>,
    outcome: Option<oneshot::Sender<ReportVerdict>>,
}

impl Reporter {
    /// A reporter; the receiver yields bundles that the ledger calls dead.
    pub fn new(session: Arc<Session>) -> (Arc<Self>, mpsc::UnboundedReceiver<Uuid>) {
        let (dead, receiver) = mpsc::unbounded_channel();
        let reporter = Arc::new(Self {
            session,
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            sending: Mutex::new(None),
            wake: Notify::new(),
            idle: Notify::new(),
            dead,
        });
        (reporter, receiver)
    }

    /// Reports a ticket with the next batch.
    pub fn add(&self, ticket: SignedTicket) {
        self.push(ticket, None);
    }

    /// Has a ticket's report go on with the trace of this span, if it still waits.
    pub fn trace(&self, ticket: &SignedTicket, span: &Span) {
        let Some(context) = trace::of(span) else {
            return;
        };
        let mut lanes = self.waiting.lock();
        let lane = lanes.get_mut(&(ticket.ticket.bundle, ticket.ticket.lane));
        let entry = lane.and_then(|lane| lane.iter_mut().rfind(|entry| entry.ticket == *ticket));
        if let Some(entry) = entry {
            entry.span = Some(context);
        }
    }

    /// Reports a ticket now and waits for the verdict; `None` if the agent stops.
    pub async fn add_now(&self, ticket: SignedTicket) -> Option<ReportVerdict> {
        let (outcome, verdict) = oneshot::channel();
        self.push(ticket, Some(outcome));
        self.wake.notify_one();
        verdict.await.ok()
    }

    /// Whether the ledger is so far behind that no more should be accepted: too
    /// many tickets wait, or one has waited for longer than the lease.
    pub fn is_behind(&self, lease: Duration) -> bool {
        self.count.load(Ordering::Relaxed) > MAX_WAITING_TICKETS
            || self
                .sending
                .lock()
                .is_some_and(|since| since.elapsed() > lease)
    }

    /// Tickets that the ledger has not taken yet.
    pub fn waiting(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until everything is reported, or the time is over.
    pub async fn drain(&self, within: Duration) {
        let drained = async {
            while self.count.load(Ordering::Relaxed) > 0 {
                self.wake.notify_one();
                let _ = tokio::time::timeout(Duration::from_millis(50), self.idle.notified()).await;
            }
        };
        let _ = tokio::time::timeout(within, drained).await;
    }

    /// Sends reports for ever.
    pub async fn run(self: Arc<Self>, interval: impl Fn() -> Duration + Send) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval()) => {}
                () = self.wake.notified() => {}
            }
            let taken = std::mem::take(&mut *self.waiting.lock());
            *self.sending.lock() = Some(Instant::now());
            for batch in batches(taken) {
                self.send(batch).await;
            }
            *self.sending.lock() = None;
            self.idle.notify_waiters();
        }
    }

    async fn send(&self, batch: Vec<(Chain, Vec<Entry>)>) {
        // Short, for until the ledger has them a crash of both ends loses them.
        let mut backoff = Backoff::up_to(Duration::from_millis(500));
        let since = Instant::now();
        let span = tracing::info_span!("armour.report", otel.kind = "client");
        let tickets = batch.iter().flat_map(|(_, entries)| entries);
        trace::serve_all(&span, tickets.filter_map(|entry| entry.span.clone()));
        let verdicts = loop {
            let reports = batch.iter().map(|(chain, entries)| report(chain, entries));
            let call = self.session.client().report(reports.collect());
            match call.instrument(span.clone()).await {
                Ok(verdicts) => break verdicts,
                // The enclave is gone, and so is this agent in a moment.
                Err(ClientError::Proof(_)) => return,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "tickets are not reported yet");
                    backoff.wait().await;
                }
                Err(error) => {
                    tracing::error!(%error, "the ledger refuses reports");
                    backoff.wait().await;
                }
            }
        };
        tracing::debug!(lanes = batch.len(), waiting = self.count.load(Ordering::Relaxed),
            took = ?since.elapsed(), "reported tickets");
        for ((chain, entries), verdict) in batch.into_iter().zip(verdicts) {
            self.count.fetch_sub(entries.len(), Ordering::Relaxed);
            match &verdict {
                ReportVerdict::Accepted => {}
                ReportVerdict::Collision | ReportVerdict::Disconnected => {
                    let _ = self.dead.send(Uuid::from_bytes(chain.bundle));
                }
                ReportVerdict::Gap { expected } => {
                    // The ledger forgot what it had taken: it was restored.
                    tracing::error!(bundle = %Uuid::from_bytes(chain.bundle), lane = chain.lane,
                        expected, first = chain.first, "the ledger has lost tickets");
                    let _ = self.dead.send(Uuid::from_bytes(chain.bundle));
                }
                other => tracing::warn!(verdict = ?other, lane = chain.lane, first = chain.first,
                    bundle = %Uuid::from_bytes(chain.bundle), "a report was not taken"),
            }
            for outcome in entries.into_iter().filter_map(|entry| entry.outcome) {
                let _ = outcome.send(verdict.clone());
            }
        }
    }

    fn push(&self, ticket: SignedTicket, outcome: Option<oneshot::Sender<ReportVerdict>>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.waiting
            .lock()
            .entry((ticket.ticket.bundle, ticket.ticket.lane))
            .or_default()
            .push(Entry {
                ticket,
                at: Instant::now(),
                span: trace::current(),
                outcome,
            });
    }
}

/// Joins each lane's tickets into chains. A ticket that does not follow the one
/// before it, such as a stranger's, begins a chain of its own.
fn batches(taken: Lanes) -> Vec<Vec<(Chain, Vec<Entry>)>> {
    let mut batches = vec![Vec::new()];
    let mut tickets = 0;
    for lane in taken.into_values() {
        let mut chains: Vec<(Chain, Vec<Entry>)> = Vec::new();
        for entry in lane {
            let follows = tickets < MAX_TICKETS
                && chains.last_mut().is_some_and(|(chain, entries)| {
                    entries
                        .last()
                        .is_some_and(|last| chain.push(&last.ticket.ticket, &entry.ticket))
                });
            if follows {
                if let Some((_, entries)) = chains.last_mut() {
                    entries.push(entry);
                }
            } else {
                if tickets >= MAX_TICKETS {
                    // What the ledger must see first goes first.
                    if let Some(batch) = batches.last_mut() {
                        batch.append(&mut chains);
                    }
                    batches.push(Vec::new());
                    tickets = 0;
                }
                chains.push((Chain::of(&entry.ticket), vec![entry]));
            }
            tickets += 1;
        }
        if let Some(batch) = batches.last_mut() {
            batch.append(&mut chains);
            if batch.len() >= MAX_REPORTS {
                batches.push(Vec::new());
                tickets = 0;
            }
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn report(chain: &Chain, entries: &[Entry]) -> TicketReport {
    let age = entries
        .last()
        .map_or(Duration::ZERO, |last| last.at.elapsed());
    TicketReport {
        bundle_id: Uuid::from_bytes(chain.bundle),
        lane: chain.lane,
        first: chain.first,
        previous: STANDARD.encode(chain.previous.0),
        entries: STANDARD.encode(&chain.entries),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
    }
}
