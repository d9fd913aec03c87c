//! Reports tickets and receipts to the ledger, each lane's in the order in which they are
//! handed in, until the ledger has taken them.

mod lane;
mod lanes;
mod part;
mod shown;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use armour_api::ReportVerdict;
use armour_client::ClientError;
use armour_enclave::binding::LaneId;
use armour_protocol::v2::{context::Context, message::Evidence, rekey::SubEvidence};
use armour_telemetry::trace;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};
use tracing::{Instrument, Span};
use uuid::Uuid;

use self::{
    lane::{Entry, MAX_BODIES, Report},
    lanes::Lanes,
    part::Said,
};
use super::{dead::Dead, ended::Ended, session::Session};
use crate::backoff::Backoff;

/// Most reports of one call; the control plane takes 1000.
const MAX_REPORTS: usize = 500;
/// With more tickets and receipts waiting than this the agent refuses traffic.
const MAX_WAITING: usize = 200_000;
/// How often what a gap asks for is sent again.
const MAX_RESENDS: usize = 3;

/// Collects tickets and receipts and reports them.
pub struct Reporter {
    session: Arc<Session>,
    lanes: Mutex<Lanes>,
    count: AtomicUsize,
    /// Since when the batch under way has not been taken by the ledger.
    sending: Mutex<Option<Instant>>,
    wake: Notify,
    idle: Notify,
    rounds: watch::Sender<Rounds>,
    /// Bundles that are of no more use.
    dead: mpsc::UnboundedSender<Dead>,
}

/// How often all that waited was taken up, and how often the ledger has had it since.
#[derive(Default)]
struct Rounds {
    begun: u64,
    done: u64,
}

impl Reporter {
    /// A reporter; the receiver yields bundles that are of no more use.
    pub fn new(session: Arc<Session>) -> (Arc<Self>, mpsc::UnboundedReceiver<Dead>) {
        let (dead, receiver) = mpsc::unbounded_channel();
        let reporter = Arc::new(Self {
            session,
            lanes: Mutex::default(),
            count: AtomicUsize::new(0),
            sending: Mutex::new(None),
            wake: Notify::new(),
            idle: Notify::new(),
            rounds: watch::Sender::default(),
            dead,
        });
        (reporter, receiver)
    }

    /// Reports a ticket or a receipt with the next batch. Each lane's are handed in as they
    /// follow each other: ticket n, receipt n, ticket n + 1. What does not follow, such as
    /// a stranger's, is reported by itself.
    pub fn add(&self, context: &Arc<Context>, evidence: Evidence) {
        self.push(context, Said::Lane(evidence), None);
    }

    /// The same of a sub-ticket or sub-receipt. They are handed in after their exchange's
    /// ticket, as they follow each other, and before the next ticket.
    pub fn add_sub(&self, context: &Arc<Context>, evidence: SubEvidence) {
        self.push(context, Said::Line(evidence), None);
    }

    /// Reports now and waits for the verdict; `None` if the agent stops.
    pub async fn add_now(
        &self,
        context: &Arc<Context>,
        evidence: Evidence,
    ) -> Option<ReportVerdict> {
        let (outcome, verdict) = oneshot::channel();
        self.push(context, Said::Lane(evidence), Some(outcome));
        self.wake.notify_one();
        verdict.await.ok()
    }

    /// Has the report of a ticket or receipt go on with the trace of this span, if it still
    /// waits.
    pub fn trace(&self, evidence: &Evidence, span: &Span) {
        let Some(context) = trace::of(span) else {
            return;
        };
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get_mut(lane_of(evidence)) {
            lane.trace(evidence, context);
        }
    }

    /// A lane was given up: its last ticket may stay without a receipt.
    pub fn give_up(&self, lane: LaneId) {
        self.lanes.lock().give_up(lane);
    }

    /// A bundle was erased. What is still to be reported of it is; then nothing of it is kept.
    pub fn forget(&self, bundle: Uuid) {
        self.lanes.lock().forget(bundle.into_bytes());
    }

    /// Whether the ledger is so far behind that no more should be accepted: too
    /// much waits, or something has waited for longer than the lease.
    pub fn is_behind(&self, lease: Duration) -> bool {
        self.count.load(Ordering::Relaxed) > MAX_WAITING
            || self
                .sending
                .lock()
                .is_some_and(|since| since.elapsed() > lease)
    }

    /// Tickets and receipts that the ledger has not taken yet.
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

    /// Waits until the ledger has had all that was handed in before this, whatever is
    /// handed in meanwhile.
    pub async fn flush(&self) {
        let mut rounds = self.rounds.subscribe();
        // One that is under way may have begun before the last of it came.
        let next = rounds.borrow().begun + 1;
        self.wake.notify_one();
        // The sender is here.
        let _ = rounds.wait_for(|rounds| rounds.done >= next).await;
    }

    /// Sends reports for ever.
    pub async fn run(self: Arc<Self>, interval: impl Fn() -> Duration + Send) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval()) => {}
                () = self.wake.notified() => {}
            }
            self.rounds.send_modify(|rounds| rounds.begun += 1);
            let reports = self.lanes.lock().take();
            *self.sending.lock() = Some(Instant::now());
            for batch in batches(reports) {
                self.send(batch).await;
            }
            *self.sending.lock() = None;
            self.rounds.send_modify(|rounds| rounds.done = rounds.begun);
            self.idle.notify_waiters();
        }
    }

    fn push(
        &self,
        context: &Arc<Context>,
        said: Said,
        outcome: Option<oneshot::Sender<ReportVerdict>>,
    ) {
        let id = said.lane();
        let entry = Box::new(Entry {
            said,
            span: trace::current(),
            outcome,
        });
        let added = match context.binding().bundle == id.bundle {
            true => {
                let added = self.lanes.lock().add(id, entry);
                added.map_err(|entry| (entry, "the receipt's ticket is not known"))
            }
            false => Err((entry, "it is of another bundle")),
        };
        match added {
            Ok(()) => {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err((entry, why)) => {
                tracing::error!(bundle = %Uuid::from_bytes(id.bundle), lane = id.lane,
                    n = entry.said.n(), why, "an exchange cannot be reported");
                let detail = why.to_owned();
                answer([*entry], &ReportVerdict::Refused { detail });
            }
        }
    }

    /// Sends a batch, and what the ledger asks for besides.
    async fn send(&self, mut batch: Vec<Report>) {
        for resends in (0..=MAX_RESENDS).rev() {
            let Some(verdicts) = self.post(&batch).await else {
                return;
            };
            let mut again = Vec::new();
            for (report, verdict) in batch.into_iter().zip(verdicts) {
                again.append(&mut self.conclude(report, verdict, resends > 0));
            }
            if again.is_empty() {
                return;
            }
            batch = again;
        }
    }

    /// Sends reports until there are verdicts; none if the enclave is gone.
    async fn post(&self, batch: &[Report]) -> Option<Vec<ReportVerdict>> {
        // Short, for until the ledger has them a crash of both ends loses them.
        let mut backoff = Backoff::up_to(Duration::from_millis(500));
        let since = Instant::now();
        let span = tracing::info_span!("armour.report", otel.kind = "client");
        let entries = batch.iter().flat_map(|report| &report.entries);
        trace::serve_all(&span, entries.filter_map(|entry| entry.span.clone()));
        loop {
            let reports = batch
                .iter()
                .map(|one| one.run.wire(one.id.bundle))
                .collect();
            let call = self.session.client().report(reports);
            match call.instrument(span.clone()).await {
                Ok(verdicts) if verdicts.len() == batch.len() => {
                    tracing::debug!(lanes = batch.len(), waiting = self.waiting(),
                        took = ?since.elapsed(), "reported exchanges");
                    return Some(verdicts);
                }
                Ok(verdicts) => tracing::error!(
                    reports = batch.len(),
                    verdicts = verdicts.len(),
                    "the ledger does not say what it made of each report"
                ),
                // The enclave is gone, and so is this agent in a moment.
                Err(ClientError::Proof(_)) => return None,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "exchanges are not reported yet");
                }
                Err(error) => {
                    tracing::error!(%error, "the ledger refuses reports");
                    if Ended::of(&error).is_some() {
                        // The chain's answer is what counts.
                        self.session.heartbeat_now();
                    }
                }
            }
            backoff.wait().await;
        }
    }

    /// Takes the verdict on a report; what is to be sent again comes back.
    fn conclude(&self, report: Report, verdict: ReportVerdict, may_resend: bool) -> Vec<Report> {
        let id = report.id;
        let bundle = Uuid::from_bytes(id.bundle);
        match &verdict {
            ReportVerdict::Accepted => {
                if !report.again {
                    self.keep(&report);
                }
            }
            ReportVerdict::Collision | ReportVerdict::Disconnected => {
                self.is_dead(bundle, true);
            }
            // The report that asked for this one has a verdict of its own.
            ReportVerdict::Gap { .. } if report.again => {}
            ReportVerdict::Gap { expected, k } => {
                tracing::warn!(%bundle, lane = id.lane, expected, k, first = report.run.first(),
                    "the ledger has lost exchanges");
                let kept = may_resend.then(|| self.kept(id, *expected, *k)).flatten();
                if let Some(mut again) = kept {
                    again.push(report);
                    return again;
                }
                tracing::error!(%bundle, lane = id.lane, expected,
                    "the ledger has lost exchanges that are not kept any more");
                // A ticket alone may be a stranger's; an own one is followed by its receipt.
                if report.run.has_receipt() {
                    self.is_dead(bundle, false);
                }
            }
            ReportVerdict::ShowReceipt { n, k } => self.show_receipt(&report, *n, *k),
            other => tracing::warn!(verdict = ?other, %bundle, lane = id.lane,
                first = report.run.first(), "a report was not taken"),
        }
        self.count
            .fetch_sub(report.entries.len(), Ordering::Relaxed);
        answer(report.entries, &verdict);
        Vec::new()
    }

    fn is_dead(&self, bundle: Uuid, disconnected: bool) {
        // Nobody listens once the agent stops.
        let _ = self.dead.send(Dead {
            bundle,
            disconnected,
        });
    }

    fn keep(&self, report: &Report) {
        if let Some(lane) = self.lanes.lock().get_mut(report.id) {
            lane.keep(report.run.clone());
        }
    }

    /// Reports that the ledger has taken, from an exchange on.
    fn kept(&self, id: LaneId, expected: u64, k: u32) -> Option<Vec<Report>> {
        self.lanes.lock().get(id)?.kept_from(expected, k)
    }
}

/// The lane of a ticket or a receipt.
pub fn lane_of(evidence: &Evidence) -> LaneId {
    let header = &evidence.body.header;
    LaneId {
        bundle: header.bundle,
        lane: header.lane,
    }
}

fn answer(entries: impl IntoIterator<Item = Entry>, verdict: &ReportVerdict) {
    for outcome in entries.into_iter().filter_map(|entry| entry.outcome) {
        // Who asked may have gone.
        let _ = outcome.send(verdict.clone());
    }
}

/// Reports in calls that the control plane takes, in their order.
fn batches(reports: Vec<Report>) -> Vec<Vec<Report>> {
    let mut batches: Vec<Vec<Report>> = Vec::new();
    let mut bodies = 0;
    for report in reports {
        bodies += report.run.len();
        match batches.last_mut() {
            Some(batch) if bodies <= MAX_BODIES && batch.len() < MAX_REPORTS => batch.push(report),
            _ => {
                bodies = report.run.len();
                batches.push(vec![report]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use armour_api::{ReportExchanges, ReportedExchanges, ShowReceipt};

    use super::*;
    use crate::control_plane::testing::{Answer, Asked, ControlPlane, bundle, context, exchanges};

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A reporter that runs, and what the ledger was asked.
    async fn reporter(
        mut verdicts: impl FnMut(usize, &ReportExchanges) -> Vec<ReportVerdict> + Send + 'static,
    ) -> (Arc<Reporter>, mpsc::UnboundedReceiver<Dead>, ControlPlane) {
        let control_plane = ControlPlane::start(move |before, asked| match &asked.path[..] {
            "/v1/endpoint/reports" => Answer::json(&ReportedExchanges {
                verdicts: verdicts(before, &asked.read()),
            }),
            _ => Answer::Json(serde_json::Value::Null),
        })
        .await;
        let (reporter, dead) = Reporter::new(control_plane.session());
        tokio::spawn(reporter.clone().run(|| Duration::from_millis(200)));
        (reporter, dead, control_plane)
    }

    fn of_no_more_use(disconnected: bool) -> Option<Dead> {
        let bundle = Uuid::from_bytes(bundle());
        Some(Dead {
            bundle,
            disconnected,
        })
    }

    fn ranges(asked: &Asked) -> Vec<(u64, usize)> {
        let sent: ReportExchanges = asked.read();
        let reports = sent.reports.iter();
        reports
            .map(|one| (one.first, STANDARD.decode(&one.rests).unwrap().len() / 32))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_ledger_has_lost_is_sent_again_from_where_it_expects_it() {
        let (reporter, mut dead, control_plane) = reporter(|before, sent| {
            let gap = ReportVerdict::Gap { expected: 0, k: 0 };
            match before {
                // A standby took over that lacks the first two runs.
                2 => vec![gap],
                _ => vec![ReportVerdict::Accepted; sent.reports.len()],
            }
        })
        .await;
        let context = context();
        let [t0, r0, t1, r1, t2, r2] = exchanges();
        for (ticket, receipt) in [(t0, r0), (t1, r1), (t2, r2)] {
            reporter.add(&context, ticket);
            let verdict = reporter.add_now(&context, receipt).await;
            assert_eq!(verdict, Some(ReportVerdict::Accepted));
        }
        let sent: Vec<_> = control_plane.asked().iter().map(ranges).collect();
        assert_eq!(sent[2], [(2, 2)]);
        assert_eq!(sent[3], [(0, 2), (1, 2), (2, 2)]);
        assert_eq!(sent.len(), 4);
        assert!(dead.try_recv().is_err());
        assert_eq!(reporter.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_handed_in_while_a_batch_was_under_way_is_waited_for_as_well() {
        let (reporter, _, control_plane) =
            reporter(|_, sent| vec![ReportVerdict::Accepted; sent.reports.len()]).await;
        let context = context();
        let [t0, r0, ..] = exchanges();
        reporter.add(&context, t0);
        let first = reporter.flush();
        let second = async {
            while control_plane.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            reporter.add(&context, r0);
            reporter.flush().await;
            assert_eq!(reporter.waiting(), 0);
        };
        tokio::join!(first, second);
        let sent: Vec<_> = control_plane.asked().iter().map(ranges).collect();
        assert_eq!(sent, [[(0, 1)], [(0, 2)]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bundle_of_which_the_ledger_has_lost_too_much_is_given_up_but_not_taken_as_disconnected()
     {
        // It goes on asking for what it was sent again, or for what is nowhere any more.
        for expected in [0, 1] {
            let (reporter, mut dead, _) = reporter(move |_, sent| {
                vec![ReportVerdict::Gap { expected, k: 0 }; sent.reports.len()]
            })
            .await;
            let [_, _, t1, r1, ..] = exchanges();
            reporter.add(&context(), t1);
            let verdict = reporter.add_now(&context(), r1).await;
            assert_eq!(verdict, Some(ReportVerdict::Gap { expected, k: 0 }));
            assert_eq!(dead.recv().await, of_no_more_use(false));
            assert_eq!(reporter.waiting(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receipt_that_the_ledger_asks_for_is_shown() {
        let (reporter, _, control_plane) = reporter(|before, sent| match before {
            0 => vec![ReportVerdict::ShowReceipt { n: 0, k: 0 }],
            _ => vec![ReportVerdict::Accepted; sent.reports.len()],
        })
        .await;
        let context = context();
        let [t0, r0, t1, ..] = exchanges();
        reporter.add(&context, t0);
        reporter.add(&context, r0.clone());
        reporter.add_now(&context, t1).await.unwrap();
        let shown = async {
            loop {
                let asked = control_plane.asked();
                if let Some(shown) = asked.iter().find(|one| one.path.ends_with("receipts")) {
                    return shown.read::<ShowReceipt>();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await.unwrap();
        assert_eq!(shown.bundle_id, Uuid::from_bytes(bundle()));
        assert_eq!(shown.receipt, STANDARD.encode(r0.to_bytes()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_collision_gives_the_bundle_up_and_all_learn_the_verdict() {
        let (reporter, mut dead, _) =
            reporter(|_, sent| vec![ReportVerdict::Collision; sent.reports.len()]).await;
        let context = context();
        let [t0, r0, ..] = exchanges();
        let (ticket, receipt) = tokio::join!(
            reporter.add_now(&context, t0),
            reporter.add_now(&context, r0)
        );
        assert_eq!(
            (ticket, receipt),
            (
                Some(ReportVerdict::Collision),
                Some(ReportVerdict::Collision)
            )
        );
        assert_eq!(dead.recv().await, of_no_more_use(true));
    }

    #[tokio::test(start_paused = true)]
    async fn verdicts_that_are_missing_conclude_nothing() {
        let (reporter, _, control_plane) = reporter(|before, sent| match before {
            0 => Vec::new(),
            _ => vec![ReportVerdict::Accepted; sent.reports.len()],
        })
        .await;
        let [t0, ..] = exchanges();
        let verdict = reporter.add_now(&context(), t0).await;
        assert_eq!(verdict, Some(ReportVerdict::Accepted));
        let asked = control_plane.asked();
        assert_eq!(asked[0].body, asked[1].body);
    }
}
