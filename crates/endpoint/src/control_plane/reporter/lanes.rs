//! What is to be reported, by bundle and lane. A round costs the lanes that have something to
//! report, however many others there are.

use std::collections::{HashMap, VecDeque};

use armour_enclave::binding::LaneId;
use tokio::time::Instant;

use super::lane::{Entry, KEPT, Lane, Report};

/// The lanes of all bundles.
#[derive(Default)]
pub(super) struct Lanes {
    bundles: HashMap<[u8; 16], HashMap<u16, Lane>>,
    /// Those that have something to report, in the order in which it came.
    waiting: Vec<LaneId>,
    /// When each is next looked at, whether it is over; the first comes first.
    looks: VecDeque<(Instant, LaneId)>,
}

impl Lanes {
    pub fn get(&self, id: LaneId) -> Option<&Lane> {
        self.bundles.get(&id.bundle)?.get(&id.lane)
    }

    pub fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.bundles.get_mut(&id.bundle)?.get_mut(&id.lane)
    }

    /// Adds what is to be reported. A receipt whose ticket is not known comes back.
    pub fn add(&mut self, id: LaneId, entry: Box<Entry>) -> Result<(), Box<Entry>> {
        let lanes = self.bundles.entry(id.bundle).or_default();
        let lane = lanes.entry(id.lane).or_insert_with(|| {
            self.looks.push_back((Instant::now() + KEPT, id));
            Lane::new(id)
        });
        let waits = lane.is_waiting();
        lane.add(entry)?;
        if !waits {
            self.waiting.push(id);
        }
        Ok(())
    }

    /// All that is to be reported.
    pub fn take(&mut self) -> Vec<Report> {
        self.look();
        let mut reports = Vec::new();
        for id in std::mem::take(&mut self.waiting) {
            if let Some(lane) = self.get_mut(id) {
                reports.append(&mut lane.take());
            }
        }
        reports
    }

    /// A lane was given up: what its last ticket waits for may never come.
    pub fn give_up(&mut self, id: LaneId) {
        if let Some(lane) = self.get_mut(id) {
            lane.give_up();
        }
    }

    /// A bundle has ended, and all its lanes with it.
    pub fn forget(&mut self, bundle: [u8; 16]) {
        let lanes = self.bundles.get_mut(&bundle).into_iter();
        lanes.flat_map(HashMap::values_mut).for_each(Lane::give_up);
    }

    /// Drops lanes that are over, of those whose turn it is.
    fn look(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.looks.front().copied()
            && at <= now
        {
            self.looks.pop_front();
            if !self.get_mut(id).is_none_or(Lane::is_over) {
                self.looks.push_back((now + KEPT, id));
                continue;
            }
            if let Some(lanes) = self.bundles.get_mut(&id.bundle) {
                lanes.remove(&id.lane);
                if lanes.is_empty() {
                    self.bundles.remove(&id.bundle);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use armour_protocol::v2::message::Evidence;

    use super::*;
    use crate::control_plane::testing::{bundle, exchanges, receipt_for};

    const MANY: u16 = 1_000;

    fn id(lane: u16) -> LaneId {
        LaneId {
            bundle: bundle(),
            lane,
        }
    }

    fn add(lanes: &mut Lanes, lane: u16, evidence: &Evidence) {
        let entry = Box::new(Entry {
            said: crate::control_plane::reporter::part::Said::Lane(evidence.clone()),
            span: None,
            outcome: None,
        });
        assert!(lanes.add(id(lane), entry).is_ok());
    }

    /// Lanes whose last ticket the ledger has, and no receipt.
    fn unanswered() -> Lanes {
        let [ticket, ..] = exchanges();
        let mut lanes = Lanes::default();
        (0..MANY).for_each(|lane| add(&mut lanes, lane, &ticket));
        for report in lanes.take() {
            lanes.get_mut(report.id).unwrap().keep(report.run);
        }
        lanes
    }

    fn len(lanes: &Lanes) -> usize {
        lanes.bundles.values().map(HashMap::len).sum()
    }

    async fn rounds(lanes: &mut Lanes, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(lanes.take().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bundles_end_leaves_no_lane_behind_though_receipts_never_came() {
        let mut lanes = unanswered();
        rounds(&mut lanes, KEPT * 3).await;
        assert_eq!(len(&lanes), usize::from(MANY), "their receipts may come");
        lanes.forget(bundle());
        rounds(&mut lanes, KEPT * 2).await;
        assert_eq!((len(&lanes), lanes.looks.len()), (0, 0));
        assert!(lanes.bundles.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_was_given_up_is_not_kept_until_its_bundle_ends() {
        let mut lanes = unanswered();
        lanes.give_up(id(7));
        // What was signed before is reported all the same.
        let [ticket, ..] = exchanges();
        add(&mut lanes, 7, &receipt_for(&ticket, 1));
        assert_eq!(lanes.take().len(), 1);
        lanes.give_up(id(8));
        rounds(&mut lanes, KEPT * 3).await;
        assert!(lanes.get(id(7)).is_none() && lanes.get(id(8)).is_none());
        assert_eq!(len(&lanes), usize::from(MANY) - 2);
    }

    /// Requests wait for the lock that a round takes.
    #[tokio::test(start_paused = true)]
    async fn a_round_visits_no_lane_that_has_nothing_to_report() {
        let mut lanes = unanswered();
        assert!(lanes.waiting.is_empty());
        let [ticket, ..] = exchanges();
        add(&mut lanes, 7, &receipt_for(&ticket, 1));
        add(&mut lanes, 7, &receipt_for(&ticket, 2));
        assert_eq!(lanes.waiting, [id(7)]);
        assert_eq!(lanes.take().len(), 2);
        assert!(lanes.waiting.is_empty());
        assert!(lanes.looks.iter().all(|(at, _)| *at > Instant::now()));
    }
}
