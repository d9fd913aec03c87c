//! An endpoint's signs of life, and what the control plane answers to them.

use std::{sync::Arc, time::Duration};

use armour_api::{ForeignCheckpoint, Heartbeat, HeartbeatAck, LaneCursor, LinkOutcome, Phase};
use armour_protocol::v2::identity::body::LinkBody;
use tokio::time::Instant;
use uuid::Uuid;

use super::{chain::LinkError, session::Session, watcher::Watcher};
use crate::backoff::Backoff;

/// How many bundles one link names: a heartbeat has as many links as it takes.
const MAX_BUNDLES: usize = 1_000;
/// How long a heartbeat is under way before it is looked why.
const LOOK_BEHIND: Duration = Duration::from_secs(3);
/// How much the control plane keeps of an error, in characters.
const MAX_ERROR: usize = 300;
/// How many checkpoints of foreign hands one heartbeat tells of.
const MAX_ALARMS: usize = 16;
/// How long a control plane that refuses to be told of calls without protection is not.
const PLAIN_CALLS_AGAIN: Duration = Duration::from_secs(300);

impl Session {
    /// Since when the control plane has not been heard of.
    pub fn silence(&self) -> Duration {
        self.contact.lock().elapsed()
    }

    /// Has the control plane told, with the next heartbeat, what went wrong.
    pub fn note(&self, error: impl std::fmt::Display) {
        let text: String = error.to_string().chars().take(MAX_ERROR).collect();
        *self.error.lock() = Some(text);
    }

    /// Has the control plane told, with the next heartbeat, of a checkpoint that its end did not
    /// sign. What is found before that is told keeps nothing back: of each bundle the first
    /// one, up to so many bundles.
    pub fn alarm(&self, alarm: ForeignCheckpoint) {
        let mut alarms = self.alarms.lock();
        let is_known = alarms.iter().any(|one| one.bundle_id == alarm.bundle_id);
        if !is_known && alarms.len() < MAX_ALARMS {
            alarms.push(alarm);
        }
    }

    /// Has the control plane told, with each heartbeat, how many calls a permissive agent has
    /// passed on without protection.
    pub fn set_plain_calls(&self, calls: u64) {
        *self.plain_calls.lock() = Some(calls);
    }

    /// Tells what a producer is for callers from now on, at once if that is news.
    pub fn set_phase(&self, phase: Phase) {
        let before = std::mem::replace(&mut *self.phase.lock(), phase);
        if before != phase {
            self.heartbeat_now();
        }
    }

    /// Sends the next heartbeat now.
    pub fn heartbeat_now(&self) {
        self.heartbeat_due.notify_one();
    }

    /// Sends heartbeats until the endpoint's start has ended.
    pub async fn send_heartbeats(self: Arc<Self>, watcher: Arc<impl Watcher>) {
        let mut backoff = Backoff::default();
        loop {
            match self.beat(watcher.bundles()).await {
                Ok(ack) => {
                    backoff = Backoff::default();
                    if ack.log_behind
                        && let Err(error) = self.log.restart(self.client()).await
                    {
                        tracing::error!(%error, "the control plane's log has lost entries");
                        self.note(&error);
                    }
                    watcher.assignments(ack.assignments);
                    for status in ack.bundles {
                        watcher.status(status).await;
                    }
                    let interval = watcher.heartbeat_interval();
                    if self.silence() > interval {
                        // This one was long under way: another renews the lease.
                        continue;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(interval) => {}
                        () = self.heartbeat_due.notified() => {}
                    }
                }
                // This agent ends in a moment.
                Err(LinkError::Ended(_)) => return,
                Err(error) => {
                    tracing::warn!(%error, silent_for = ?self.silence(), "no heartbeat");
                    backoff.wait().await;
                }
            }
        }
    }

    /// Sends one heartbeat. While it is not taken it is looked whether the control plane has
    /// lost what it knew: it takes no links after a gap before it knows that.
    async fn beat(&self, bundles: Vec<Uuid>) -> Result<HeartbeatAck, LinkError> {
        // Nobody goes on with it while the log is looked at below, so it must not wait for
        // the log itself: it would be given it, and keep it.
        let log_size = self.log.size().await;
        let sent = self.heartbeat_of(bundles, log_size);
        tokio::pin!(sent);
        loop {
            tokio::select! {
                done = &mut sent => return done,
                () = tokio::time::sleep(LOOK_BEHIND) => {}
            }
            if let Err(error) = self.log.look_behind(self.client()).await {
                tracing::debug!(%error, "the log's head cannot be compared");
            }
        }
    }

    /// Sends one heartbeat, which names these bundles, in as many links as hold them.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn heartbeat(&self, bundles: Vec<Uuid>) -> Result<HeartbeatAck, LinkError> {
        let log_size = self.log.size().await;
        self.heartbeat_of(bundles, log_size).await
    }

    async fn heartbeat_of(
        &self,
        mut bundles: Vec<Uuid>,
        log_size: Option<u64>,
    ) -> Result<HeartbeatAck, LinkError> {
        // In order: each link says between which ids it names all that there are.
        bundles.sort_unstable();
        bundles.dedup();
        let mut whole: Option<HeartbeatAck> = None;
        let (mut first, mut after) = (0, None);
        loop {
            let end = bundles.len().min(first + MAX_BUNDLES);
            let named = &bundles[first..end];
            let heartbeat = Heartbeat {
                bundles: named.to_vec(),
                from: (first > 0).then(|| bundles[first]),
                to: bundles.get(end).copied(),
                after,
                error: self.error.lock().take(),
                log_size,
                // Serving is what a control plane takes it for that knows of no phases.
                phase: Some(*self.phase.lock()).filter(|phase| *phase != Phase::Serving),
                zone: self.zone().map(str::to_owned),
                foreign_checkpoints: std::mem::take(&mut *self.alarms.lock()),
                plain_calls: self
                    .plain_calls
                    .lock()
                    .filter(|_| self.may_tell_plain_calls()),
            };
            let page = self.page(heartbeat).await?;
            let next = match page.more {
                Some(last) => {
                    let place = place_of(named, after, last).ok_or(LinkError::Untold)?;
                    Some((first + place, Some(last)))
                }
                None => (end < bundles.len()).then_some((end, None)),
            };
            let ack = match whole.take() {
                None => page,
                Some(before) => joined(before, page),
            };
            match next {
                None => return Ok(ack),
                Some(next) => (first, after) = next,
            }
            whole = Some(ack);
        }
    }

    fn may_tell_plain_calls(&self) -> bool {
        let refused = *self.plain_calls_refused.lock();
        refused.is_none_or(|at| at.elapsed() >= PLAIN_CALLS_AGAIN)
    }

    async fn page(&self, heartbeat: Heartbeat) -> Result<HeartbeatAck, LinkError> {
        // It has no maps whose keys are no text.
        let body = serde_json::to_vec(&heartbeat)
            .map_err(|error| LinkError::Unsigned(error.to_string()))?;
        let answer = self.chain.link(LinkBody::Heartbeat(body)).await;
        // A control plane of before the field refuses the whole heartbeat for it.
        let for_plain_calls = heartbeat.plain_calls.is_some()
            && answer
                .as_ref()
                .is_ok_and(|answered| matches!(answered.outcome, LinkOutcome::Items { .. }));
        if for_plain_calls {
            *self.plain_calls_refused.lock() = Some(Instant::now());
            self.heartbeat_due.notify_one();
        }
        if answer.is_err() || for_plain_calls {
            if let Some(untold) = heartbeat.error {
                self.error.lock().get_or_insert(untold);
            }
            for untold in heartbeat.foreign_checkpoints {
                self.alarm(untold);
            }
        }
        let answered = answer?;
        match answered.outcome {
            LinkOutcome::Heartbeat(ack) => {
                // The lease runs from when the link was sent first: what the answer says
                // may be as old.
                self.heard(answered.sent);
                Ok(ack)
            }
            LinkOutcome::Items { items } => {
                let problem = items.into_iter().find_map(|item| item.problem);
                let why = problem.map(|problem| LinkError::Refused(problem.detail));
                Err(why.unwrap_or(LinkError::Untold))
            }
            _ => Err(LinkError::Untold),
        }
    }

    /// The control plane was heard of, at this time or later.
    pub(crate) fn heard(&self, at: Instant) {
        let mut contact = self.contact.lock();
        *contact = at.max(*contact);
    }
}

/// Where among the bundles that were named the last one is whose heads were told; none if it is
/// not further on than what was asked after: that would go round for ever.
fn place_of(named: &[Uuid], after: Option<LaneCursor>, last: LaneCursor) -> Option<usize> {
    let place = named.iter().position(|id| *id == last.bundle_id)?;
    let further = place > 0 || after.is_none_or(|after| after.lane < last.lane);
    further.then_some(place)
}

/// An answer with the one that goes on where it broke off.
fn joined(mut before: HeartbeatAck, next: HeartbeatAck) -> HeartbeatAck {
    if let Some(last) = before.more {
        // Those after it are told of again.
        let told = before
            .bundles
            .iter()
            .position(|one| one.id == last.bundle_id);
        before.bundles.truncate(told.map_or(0, |place| place + 1));
    }
    for status in next.bundles {
        match before.bundles.last_mut() {
            Some(begun) if begun.id == status.id => {
                begun.state = status.state;
                begun.lanes.extend(status.lanes);
            }
            _ => before.bundles.push(status),
        }
    }
    HeartbeatAck {
        server_time: next.server_time,
        bundles: before.bundles,
        more: next.more,
        log_behind: before.log_behind || next.log_behind,
        assignments: next.assignments,
    }
}

#[cfg(test)]
mod tests {
    use armour_api::{BundleState, BundleStatus, ItemOutcome, LaneHead, Problem};
    use chrono::DateTime;

    use super::*;
    use crate::control_plane::testing::{Answer, Asked, ControlPlane, taken};

    fn ack(asked: &Asked) -> Answer {
        let ack = HeartbeatAck {
            server_time: DateTime::UNIX_EPOCH,
            bundles: Vec::new(),
            more: None,
            log_behind: false,
            assignments: 0,
        };
        Answer::json(&taken(&asked.link(), LinkOutcome::Heartbeat(ack)))
    }

    fn told(asked: &Asked) -> Heartbeat {
        match asked.link().body() {
            LinkBody::Heartbeat(body) => serde_json::from_slice(body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_is_sent_though_the_log_was_in_use_for_longer_than_it_waits() {
        let control_plane = ControlPlane::start(|_, asked| ack(asked)).await;
        let session = control_plane.session();
        let in_use = async {
            let _held = session.log.0.lock().await;
            tokio::time::sleep(LOOK_BEHIND * 2).await;
        };
        let beat = tokio::time::timeout(Duration::from_secs(60), session.beat(Vec::new()));
        let ((), sent) = tokio::join!(in_use, beat);
        sent.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_runs_from_when_a_heartbeat_was_sent_first() {
        let control_plane = ControlPlane::start(|before, asked| match before {
            0..8 => Answer::Lost,
            _ => ack(asked),
        })
        .await;
        let session = control_plane.session();
        tokio::time::advance(Duration::from_secs(100)).await;
        let begun = Instant::now();
        session.heartbeat(Vec::new()).await.unwrap();
        assert!(
            begun.elapsed() > Duration::from_secs(3),
            "it was sent for a while"
        );
        assert_eq!(session.silence(), begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_wrong_is_told_once_and_in_bounds() {
        let control_plane = ControlPlane::start(|before, asked| match before {
            2 => Answer::Problem("start-ended", 409),
            _ => ack(asked),
        })
        .await;
        let session = control_plane.session();
        session.note("é".repeat(1_000));
        session.heartbeat(Vec::new()).await.unwrap();
        session.heartbeat(Vec::new()).await.unwrap();
        session.note("not told");
        session.heartbeat(Vec::new()).await.unwrap_err();
        let asked = control_plane.asked();
        let error = told(&asked[0]).error.unwrap();
        assert_eq!(error.chars().count(), MAX_ERROR);
        assert_eq!(told(&asked[1]).error, None);
        assert_eq!(session.error.lock().as_deref(), Some("not told"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_does_not_hide_that_an_agent_is_permissive() {
        let control_plane = ControlPlane::start(|_, asked| ack(asked)).await;
        let session = control_plane.session();
        session.heartbeat(Vec::new()).await.unwrap();
        session.set_plain_calls(7);
        session.note("the upstream failed");
        for _ in 0..2 {
            session.heartbeat(Vec::new()).await.unwrap();
        }
        let asked = control_plane.asked();
        let plain: Vec<_> = asked.iter().map(|one| told(one).plain_calls).collect();
        assert_eq!(plain, [None, Some(7), Some(7)]);
        assert!(told(&asked[1]).error.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_control_plane_of_before_still_hears_a_permissive_agent_and_what_it_told() {
        let control_plane = ControlPlane::start(|_, asked| {
            if told(asked).plain_calls.is_none() {
                return ack(asked);
            }
            let problem = Problem::new("invalid-request", 400, "the heartbeat is malformed");
            let items = vec![ItemOutcome {
                problem: Some(problem),
            }];
            Answer::json(&taken(&asked.link(), LinkOutcome::Items { items }))
        })
        .await;
        let session = control_plane.session();
        session.set_plain_calls(7);
        session.note("the upstream failed");
        session.heartbeat(Vec::new()).await.unwrap_err();
        session.heartbeat(Vec::new()).await.unwrap();
        let asked = control_plane.asked();
        assert!(told(&asked[1]).error.is_some());
        // It may have been upgraded since.
        tokio::time::advance(PLAIN_CALLS_AGAIN).await;
        session.heartbeat(Vec::new()).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn why_a_control_plane_refuses_a_heartbeat_is_said() {
        let control_plane = ControlPlane::start(|_, asked| {
            let problem = Problem::new("invalid-request", 400, "upgrade the control plane");
            let items = vec![ItemOutcome {
                problem: Some(problem),
            }];
            Answer::json(&taken(&asked.link(), LinkOutcome::Items { items }))
        })
        .await;
        let session = control_plane.session();
        let refused = session.heartbeat(Vec::new()).await.unwrap_err();
        assert!(
            refused.to_string().ends_with("upgrade the control plane"),
            "{refused}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_wrong_after_an_alarm_does_not_take_its_place() {
        let control_plane = ControlPlane::start(|before, asked| match before {
            1 => Answer::Problem("start-ended", 409),
            _ => ack(asked),
        })
        .await;
        let session = control_plane.session();
        let alarm = |bundle: u128, lane| ForeignCheckpoint {
            bundle_id: Uuid::from_u128(bundle),
            lane,
            checkpoint: None,
        };
        for (bundle, lane) in [(1, 1), (2, 2), (1, 3)] {
            session.alarm(alarm(bundle, lane));
        }
        session.note("no bundle yet");
        session.heartbeat(Vec::new()).await.unwrap();
        session.alarm(alarm(3, 3));
        session.heartbeat(Vec::new()).await.unwrap_err();
        let asked = control_plane.asked();
        let said = |at: usize| -> Vec<u32> {
            let alarms = told(&asked[at]).foreign_checkpoints;
            alarms.iter().map(|one| one.lane).collect()
        };
        assert_eq!((said(0), said(1)), (vec![1, 2], vec![3]));
        assert_eq!(session.alarms.lock().len(), 1, "it was not told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_phase_is_told_at_once_and_serving_by_silence() {
        let control_plane = ControlPlane::start(|_, asked| ack(asked)).await;
        let session = control_plane.session();
        session.heartbeat(Vec::new()).await.unwrap();
        session.set_phase(Phase::NotServing);
        // Whoever waits for the next heartbeat's time is woken.
        session.heartbeat_due.notified().await;
        session.heartbeat(Vec::new()).await.unwrap();
        session.set_phase(Phase::Draining);
        session.set_phase(Phase::Draining);
        session.heartbeat(Vec::new()).await.unwrap();
        let asked = control_plane.asked();
        let phases: Vec<_> = asked.iter().map(|one| told(one).phase).collect();
        let (down, draining) = (Phase::NotServing, Phase::Draining);
        assert_eq!(phases, [None, Some(down), Some(draining)]);
    }

    /// Control planes may be a release ahead of their agents.
    #[tokio::test(start_paused = true)]
    async fn what_a_newer_control_plane_adds_to_an_answer_is_passed_over() {
        let control_plane = ControlPlane::start(|_, asked| match ack(asked) {
            Answer::Json(mut answer) => {
                answer["news"] = serde_json::json!({ "of": ["a", "later", "release"] });
                answer["outcome"]["news"] = serde_json::json!(7);
                answer["head"]["news"] = serde_json::json!(null);
                Answer::Json(answer)
            }
            other => other,
        })
        .await;
        let session = control_plane.session();
        let ack = session.heartbeat(Vec::new()).await.unwrap();
        assert_eq!(ack.server_time, DateTime::UNIX_EPOCH);
    }

    #[tokio::test(start_paused = true)]
    async fn no_bundle_is_forgotten_of_more_than_one_link_names() {
        let control_plane = ControlPlane::start(|_, asked| ack(asked)).await;
        let session = control_plane.session();
        let held: Vec<Uuid> = (0..2_500).map(Uuid::from_u128).collect();
        session.note("told once");
        session.heartbeat(held.clone()).await.unwrap();
        let asked = control_plane.asked();
        let told: Vec<Heartbeat> = asked.iter().map(told).collect();
        let sizes: Vec<usize> = told.iter().map(|one| one.bundles.len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
        assert!(
            asked
                .iter()
                .all(|one| one.link().body().to_bytes().len() <= 65_536)
        );
        let errors = told.iter().filter(|one| one.error.is_some());
        assert_eq!(errors.count(), 1);
        let named: Vec<Uuid> = told.into_iter().flat_map(|one| one.bundles).collect();
        assert_eq!(named, held);
    }

    #[tokio::test(start_paused = true)]
    async fn heads_that_come_in_several_answers_are_one_to_whoever_compares_them() {
        const LANES: u32 = 5;
        const EACH: usize = 3;
        let control_plane = ControlPlane::start(|_, asked| {
            let told = told(asked);
            let heads = told.bundles.iter().flat_map(|id| {
                let low = told.after.filter(|after| after.bundle_id == *id);
                let lanes = low.map_or(0, |after| after.lane + 1)..LANES;
                lanes.map(|lane| LaneCursor {
                    bundle_id: *id,
                    lane,
                })
            });
            let heads: Vec<LaneCursor> = heads.take(EACH).collect();
            let bundles = told.bundles.iter().map(|id| BundleStatus {
                id: *id,
                state: BundleState::Active,
                lanes: heads
                    .iter()
                    .filter(|head| head.bundle_id == *id)
                    .map(|head| LaneHead {
                        lane: head.lane,
                        n: 0,
                        k: 0,
                        hash: String::new(),
                    })
                    .collect(),
            });
            let ack = HeartbeatAck {
                server_time: DateTime::UNIX_EPOCH,
                bundles: bundles.collect(),
                more: heads.last().filter(|_| heads.len() == EACH).copied(),
                log_behind: false,
                assignments: 0,
            };
            Answer::json(&taken(&asked.link(), LinkOutcome::Heartbeat(ack)))
        })
        .await;
        let session = control_plane.session();
        let held: Vec<Uuid> = (0..1_001).map(Uuid::from_u128).collect();
        let ack = session.heartbeat(held[998..].to_vec()).await.unwrap();
        let told: Vec<(Uuid, Vec<u32>)> = ack
            .bundles
            .into_iter()
            .map(|one| (one.id, one.lanes.iter().map(|head| head.lane).collect()))
            .collect();
        let all: Vec<u32> = (0..LANES).collect();
        let expected: Vec<_> = held[998..].iter().map(|id| (*id, all.clone())).collect();
        assert_eq!(told, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_says_more_and_goes_nowhere_is_not_followed_for_ever() {
        let control_plane = ControlPlane::start(|_, asked| {
            let ack = HeartbeatAck {
                server_time: DateTime::UNIX_EPOCH,
                bundles: Vec::new(),
                more: Some(LaneCursor {
                    bundle_id: Uuid::from_u128(1),
                    lane: 7,
                }),
                log_behind: false,
                assignments: 0,
            };
            Answer::json(&taken(&asked.link(), LinkOutcome::Heartbeat(ack)))
        })
        .await;
        let session = control_plane.session();
        let error = session.heartbeat(vec![Uuid::from_u128(1)]).await;
        assert_eq!(error.unwrap_err(), LinkError::Untold);
        assert_eq!(control_plane.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_link_says_between_which_ids_it_names_all_bundles() {
        let control_plane = ControlPlane::start(|_, asked| ack(asked)).await;
        let session = control_plane.session();
        let mut held: Vec<Uuid> = (0..1_500).map(Uuid::from_u128).collect();
        held.reverse();
        held.push(held[3]);
        session.heartbeat(held).await.unwrap();
        let asked = control_plane.asked();
        let told: Vec<Heartbeat> = asked.iter().map(told).collect();
        let between: Vec<_> = told.iter().map(|one| (one.from, one.to)).collect();
        let border = Some(Uuid::from_u128(1_000));
        assert_eq!(between, [(None, border), (border, None)]);
        assert_eq!(told[1].bundles.len(), 500, "each once");
    }
}
