//! What the control plane has assigned to this endpoint: how many bundles of each pair it should
//! hold, and what their producers are. Asked for whenever that may have changed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use armour_api::{PairAssignment, ProducerPhase};
use uuid::Uuid;

use super::{pair::ConsumerPair, pair_manager::PairManager, standing::Phase};
use crate::backoff::Backoff;

/// They are asked for no more often.
const INTERVAL: Duration = Duration::from_secs(2);
/// A control plane that has no assignments, as one of the release before, is asked again after
/// this time.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Asks whenever it is due, for ever.
pub async fn follow(pairs: Arc<PairManager>) {
    let mut backoff = Backoff::default();
    loop {
        pairs.assigned.due.notified().await;
        tokio::time::sleep(pairs.assigned.pause(&pairs.shared.random)).await;
        match pairs.shared.session.client().assignments().await {
            Ok(assignments) => {
                backoff = Backoff::default();
                for consumer in pairs.all() {
                    for assigned in &assignments.pairs {
                        consumer.assigned(assigned);
                    }
                }
                *pairs.assigned.seen.lock() = Some(assignments.version);
                tokio::time::sleep(INTERVAL).await;
            }
            Err(error) if error.is_not_found() => {
                tracing::debug!(%error, "the control plane has no assignments");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask for the assignments");
                if error.is_passing() {
                    pairs.assigned.changed();
                }
                backoff.wait().await;
            }
        }
    }
}

impl ConsumerPair {
    /// What is assigned to this pair, or to another.
    fn assigned(self: &Arc<Self>, assigned: &PairAssignment) {
        if self.pair.lock().id != assigned.pair_id {
            return;
        }
        let serving = self.serving();
        for told in &assigned.bundles {
            let bundle = serving.iter().find(|bundle| bundle.id == told.bundle_id);
            let Some(bundle) = bundle else { continue };
            let standing = &bundle.standing;
            match (told.phase, standing.phase()) {
                // What it has signed itself may be newer.
                (_, Phase::Stopped) => {}
                (ProducerPhase::Serving | ProducerPhase::NotServing, Phase::Leaving) => {}
                (ProducerPhase::Serving, _) => standing.set_phase(Phase::Serving),
                (ProducerPhase::NotServing, _) => standing.set_phase(Phase::NotServing),
                (ProducerPhase::Draining | ProducerPhase::Gone, _) => {
                    bundle.producer_leaves(Phase::Leaving);
                }
            }
            let before = bundle
                .is_one_too_many
                .swap(told.rebalance, Ordering::Relaxed);
            if told.rebalance && !before {
                bundle.rebalance.notify_one();
            }
        }
        let before = self.assignment.lock().replace(assigned.clone());
        let are_news = before.as_ref() != Some(assigned);
        // Those whose APIs fail for now are not counted in what is wanted: none that serves is given
        // up for them.
        let wanted = assigned.wanted.saturating_add(self.not_serving());
        self.slots.assigned(wanted, are_news);
        let told = assigned.bundles.iter().map(|told| told.bundle_id);
        let strange = self.strange(told.collect());
        if !strange.is_empty() {
            let consumer = self.clone();
            self.giving_up.spawn(async move {
                tokio::select! {
                    () = consumer.retire_strays(strange) => {}
                    () = consumer.closing.cancelled() => {}
                }
            });
        }
    }

    /// Those of these bundles that were never taken here.
    fn strange(&self, mut bundles: Vec<Uuid>) -> Vec<Uuid> {
        let taken = self.taken.lock();
        bundles.retain(|id| !taken.contains(id));
        bundles
    }

    /// Retires those of these bundles that were granted and never came into use. They have no
    /// lanes: by an empty list whatever anybody did with them is found out.
    async fn retire_strays(&self, bundles: Vec<Uuid>) {
        // One that is being drawn is not taken yet.
        let strays = {
            let _none = self.drawing.lock().await;
            self.strange(bundles)
        };
        for id in strays {
            // It is told of once.
            self.taken.lock().insert(id);
            tracing::warn!(bundle = %id, "a bundle was granted that never came into use here: it \
                is retired");
            self.session
                .note("a bundle was granted that never came into use");
            let retired = self.session.retire(vec![(id, Vec::new())], false);
            if let Err(error) = retired.await {
                tracing::warn!(%error, bundle = %id, "a bundle is not retired");
            }
        }
    }

    /// How many bundles are held whose producers' APIs fail for now.
    pub(super) fn not_serving(&self) -> u32 {
        let serving = self.serving();
        let failing = serving
            .iter()
            .filter(|bundle| bundle.standing.phase() == Phase::NotServing);
        u32::try_from(failing.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use armour_api::{AssignedBundle, ItemOutcome, LinkOutcome, Policy};
    use armour_protocol::v2::identity::body::LinkBody;

    use super::*;
    use crate::{
        consumer::{bundle::Kind, testing::consumer_of},
        control_plane::testing::{Answer, Asked, ControlPlane, taken},
        testing::ends::Ends,
    };

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A consumer of two producers, whose control plane takes all links and knows nothing else.
    async fn consumer() -> (Arc<ConsumerPair>, ControlPlane) {
        let control_plane = ControlPlane::start(|_, asked| match &asked.path[..] {
            "/v1/endpoint/links" => {
                let items = vec![ItemOutcome { problem: None }];
                Answer::json(&taken(&asked.link(), LinkOutcome::Items { items }))
            }
            _ => Answer::Problem("not-found", 404),
        })
        .await;
        let ends = Ends::several(2, 4).await;
        let nowhere = "http://127.0.0.1:9".to_owned();
        let producers: Vec<_> = ends.iter().map(|ends| (ends, nowhere.clone())).collect();
        let consumer = consumer_of(&producers, Policy::default(), &control_plane);
        (consumer, control_plane)
    }

    /// What is assigned to it: its bundles, whose producers are this.
    fn assignment(consumer: &ConsumerPair, phases: [ProducerPhase; 2]) -> PairAssignment {
        let bundles = consumer.serving().into_iter().zip(phases);
        let bundles = bundles.map(|(bundle, phase)| AssignedBundle {
            bundle_id: bundle.id,
            producer_endpoint_id: bundle.standing.producer,
            phase,
            rebalance: false,
        });
        PairAssignment {
            pair_id: Uuid::from_bytes([2; 16]),
            wanted: 2,
            bundles: bundles.collect(),
        }
    }

    /// What each of two bundles' producers is, and what becomes of them.
    async fn told(phases: [ProducerPhase; 2]) -> Arc<ConsumerPair> {
        let (consumer, _) = consumer().await;
        consumer.assigned(&assignment(&consumer, phases));
        consumer
    }

    async fn until(is: impl Fn() -> bool) {
        let waiting = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// The bundles that were retired, and with how many lanes.
    fn retired(asked: &[Asked]) -> Vec<(Uuid, usize)> {
        let links = asked.iter().filter(|one| one.path == "/v1/endpoint/links");
        let retired = links.flat_map(|one| match one.link().body() {
            LinkBody::Retire(retirement) => retirement.bundles.clone(),
            _ => Vec::new(),
        });
        let retired = retired.map(|one| (Uuid::from_bytes(one.bundle), one.lanes.len()));
        retired.collect()
    }

    /// Whoever took it in this endpoint's name would use it unseen.
    #[tokio::test]
    async fn a_bundle_that_is_assigned_and_was_never_taken_is_retired_without_lanes() {
        let (consumer, control_plane) = consumer().await;
        let [given_up, stray] = [Uuid::from_u128(8), Uuid::from_u128(9)];
        consumer.taken.lock().insert(given_up);
        let mut assignment = assignment(&consumer, [ProducerPhase::Serving; 2]);
        for bundle_id in [given_up, stray] {
            assignment.bundles.push(AssignedBundle {
                bundle_id,
                ..assignment.bundles[0].clone()
            });
        }
        let drawing = consumer.drawing.lock().await;
        consumer.assigned(&assignment);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(
            retired(&control_plane.asked()),
            [],
            "it may be drawn just now"
        );
        drop(drawing);
        until(|| !retired(&control_plane.asked()).is_empty()).await;
        consumer.assigned(&assignment);
        consumer.giving_up.close();
        consumer.giving_up.wait().await;
        assert_eq!(retired(&control_plane.asked()), [(stray, 0)]);
    }

    /// At each heartbeat, for ever, it would be asked in vain.
    #[tokio::test]
    async fn a_control_plane_without_assignments_is_not_asked_at_each_heartbeat() {
        let (consumer, control_plane) = consumer().await;
        let pairs = PairManager::new(consumer.shared.clone());
        let following = tokio::spawn(follow(pairs.clone()));
        let asked = || control_plane.asked().len();
        pairs.assigned.is_now(0);
        until(|| asked() == 1).await;
        for _ in 0..3 {
            pairs.assigned.is_now(0);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(asked(), 1);
        following.abort();
    }

    #[tokio::test]
    async fn only_news_have_more_be_asked_for() {
        let (consumer, _) = consumer().await;
        let slots = &consumer.slots;
        assert_eq!(slots.begin(), 1);
        let told = assignment(&consumer, [ProducerPhase::Serving; 2]);
        consumer.assigned(&told);
        assert_eq!(slots.begin(), 1);
        assert!(slots.has_enough());
        consumer.assigned(&told);
        assert_eq!(slots.begin(), 0);
        let news = [ProducerPhase::Serving, ProducerPhase::Draining];
        consumer.assigned(&assignment(&consumer, news));
        assert_eq!(slots.begin(), 1);
    }

    /// Which of them calls go to.
    fn called(consumer: &ConsumerPair) -> Vec<bool> {
        let serving = consumer.serving();
        let chosen: Vec<_> = (0..50)
            .map(|_| consumer.choose(&serving, &[], Kind::Call).unwrap().id)
            .collect();
        let is_called = |id| chosen.contains(&id);
        serving.iter().map(|bundle| is_called(bundle.id)).collect()
    }

    #[tokio::test]
    async fn calls_leave_whose_producer_drains_or_has_no_api() {
        use ProducerPhase::{Draining, Gone, NotServing, Serving};
        for (phases, expected) in [
            ([Serving, Serving], [true, true]),
            ([Draining, Serving], [false, true]),
            ([Serving, Gone], [true, false]),
            ([NotServing, Serving], [false, true]),
            ([Draining, NotServing], [false, true]),
            ([Draining, Gone], [true, true]),
        ] {
            let consumer = told(phases).await;
            assert_eq!(called(&consumer), expected, "{phases:?}");
            for (bundle, phase) in consumer.serving().iter().zip(phases) {
                let moves = matches!(phase, Draining | Gone);
                assert_eq!(bundle.moves.is_cancelled(), moves);
            }
        }
    }
}
