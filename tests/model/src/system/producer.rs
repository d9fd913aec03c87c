//! What the producer's agent does.

use super::{
    consumer::push,
    state::{Action, Call, Producer, Serving, State, System},
};
use crate::{
    lanes::{Bundle, Item, Request, Who},
    ledger::{Answer, How, Life, Side, first_run},
};

impl System {
    /// Looks at the clock directly before the API's first byte.
    pub(super) fn producer_begins(
        &self,
        state: &mut State,
        bundle: Bundle,
        place: usize,
    ) -> Option<()> {
        let (who, now) = (state.producer.who, state.now);
        let serving = serving(state, bundle, place)?;
        let request = serving.seen;
        let Some(lane) = self.lanes.run(serving.lane, now) else {
            let (lane, response) = self.lanes.late(serving.lane, who, now)?;
            (serving.lane, serving.call) = (lane, Call::None);
            state.seen.refused.insert(request);
            state.responses.insert(response);
            push(&mut state.producer.reports, request, response);
            return Some(());
        };
        (serving.lane, serving.call) = (lane, Call::Frozen);
        match self.bounds.granted.never_freezes {
            true => self.producer_writes(state, bundle, place),
            false => Some(()),
        }
    }

    pub(super) fn producer_writes(
        &self,
        state: &mut State,
        bundle: Bundle,
        place: usize,
    ) -> Option<()> {
        let now = state.now;
        let serving = serving(state, bundle, place)?;
        serving.call = Call::Running;
        let request = serving.seen;
        *state.seen.ran.entry(request).or_default() += 1;
        state.seen.overdue |= self.lanes.is_overdue(request, now);
        Some(())
    }

    pub(super) fn producer_concludes(&self, state: &mut State, action: Action) -> Option<()> {
        let (who, now) = (state.producer.who, state.now);
        let (Action::ProducerRefuses(bundle, place)
        | Action::ProducerAnswers(bundle, place)
        | Action::ProducerAborts(bundle, place)) = action
        else {
            return None;
        };
        let serving = serving(state, bundle, place)?;
        let request: Request = serving.seen;
        let (lane, response) = match action {
            Action::ProducerRefuses(..) => self.lanes.refuse(serving.lane, who, now)?,
            Action::ProducerAborts(..) => self.lanes.abort(serving.lane, who, now)?,
            _ => self.lanes.answer(serving.lane, who, now)?,
        };
        (serving.lane, serving.call) = (lane, Call::None);
        match action {
            Action::ProducerRefuses(..) => {
                state.spent.refusals += 1;
                state.seen.refused.insert(request);
            }
            Action::ProducerAborts(..) => state.spent.aborts += 1,
            _ => {}
        }
        state.responses.insert(response);
        push(&mut state.producer.reports, request, response);
        Some(())
    }

    pub(super) fn producer_reports(&self, state: &mut State, answered: bool) -> Option<()> {
        let items = first_run(&self.lanes, &state.producer.reports).to_vec();
        let (bundle, ..) = self.lanes.place(*items.first()?);
        let told = state.ledger.report(&self.lanes, &items);
        if !answered {
            return Some(());
        }
        state.producer.reports.drain(..items.len());
        let Some(held) = state.producer.bundles.get_mut(&bundle) else {
            return Some(());
        };
        match told {
            Answer::Dead => held.over = true,
            Answer::Taken => {
                // Strict: now it may begin.
                for serving in held.places.iter_mut().flatten() {
                    if let Call::Accepted { cleared } = &mut serving.call {
                        *cleared |= items.contains(&Item::Ticket(serving.seen));
                    }
                }
            }
            Answer::Gap => {}
        }
        Some(())
    }

    /// A heartbeat: its answer tells which bundles have ended, and what the ledger holds in
    /// the producer's name.
    pub(super) fn producer_beats(&self, state: &mut State) {
        let start = state.producer.start;
        let looks_last = self.bounds.granted.producer_looks_last;
        for (bundle, record) in &state.ledger.bundles {
            if bundle.producer != start || record.life == Life::Disconnected {
                continue;
            }
            if record.life != Life::Active && !looks_last {
                continue;
            }
            let held = state.producer.bundles.get(bundle);
            let foreign = (0..2).any(|place| {
                let ours = held.and_then(|held| held.places[place]).map(|one| one.lane);
                let head = record.head(place, Side::Producer);
                head.is_some_and(|head| !self.lanes.owns(ours, head))
            });
            if foreign {
                state.ledger.find(Side::Producer, How::Disowned);
                return;
            }
        }
        for (bundle, held) in &mut state.producer.bundles {
            held.over |= state.ledger.life(*bundle) != Some(Life::Active);
        }
    }

    pub(super) fn producer_crashes(&self, state: &mut State) {
        state.spent.producer_crashes += 1;
        let lost = state.producer.reports.iter().any(|item| match item {
            Item::Ticket(request) => self.lanes.issuer(*request).0 == Who::Copy,
            Item::Receipt(_) => false,
        });
        let keeps = self.bounds.granted.keeps_reports;
        state.seen.forgotten |= lost && !keeps && !self.bounds.strict;
        let reports = match keeps {
            true => std::mem::take(&mut state.producer.reports),
            false => Vec::new(),
        };
        state.producer = Producer {
            start: state.producer.start + 1,
            up: false,
            reports,
            ..Producer::default()
        };
    }

    pub(super) fn producer_starts(state: &mut State) {
        state.producer.up = true;
        state.ledger.start(Side::Producer, state.producer.start);
    }

    pub(super) fn producer_resumes(state: &mut State) -> Option<()> {
        state.producer.bundles = state.producer.snapshot.take()?;
        state.producer.who = Who::Resumed;
        Some(())
    }
}

fn serving(state: &mut State, bundle: Bundle, place: usize) -> Option<&mut Serving> {
    state.producer.bundles.get_mut(&bundle)?.places[place].as_mut()
}
