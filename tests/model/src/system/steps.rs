//! What each step does.

use std::sync::Arc;

use super::state::{Action, At, AtProducer, Owner, Serving, State, System, Thief};
use crate::{
    bounds::Bounds,
    lanes::{Accepted, Request, Who},
    ledger::{Entry, How, Life, Told, first_chain},
};

impl System {
    /// A system within bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: Arc::default(),
        }
    }

    pub(super) fn late(&self, state: &State, request: Request) -> Entry {
        let (_, bundle) = self.lanes.origin(request);
        Entry {
            request,
            late: state.ledger.is_over(bundle),
        }
    }

    pub(super) fn may_draw(state: &State) -> bool {
        state.ledger.collision.is_none()
    }

    pub(super) fn draw(state: &mut State) -> u8 {
        let number = state.minted;
        state.minted += 1;
        state.ledger.draw(number);
        number
    }

    pub(super) fn owner_begins(&self, state: &mut State) -> Option<()> {
        let at = state.owner.at.filter(|at| at.waiting.is_none())?;
        let (lane, request) = self.lanes.begin(at.lane, Who::Owner)?;
        let thief_acted = !state.forgotten
            && state
                .ran
                .keys()
                .any(|request| self.lanes.origin(*request) == (Who::Thief, at.bundle));
        // Nobody but the thief draws while the owner has a bundle.
        let usurped = state.ledger.is_over(at.bundle);
        state.due |= state.spent.restores == 0 && (thief_acted || usurped);
        state.spent.owner_tickets += 1;
        state.owner.at = Some(At {
            lane,
            waiting: Some(request),
            unsent: self.bounds.strict,
            ..at
        });
        let entry = self.late(state, request);
        state.owner.reports.push(entry);
        if !self.bounds.strict {
            state.requests.insert(request);
        }
        Some(())
    }

    pub(super) fn owner_reports(&self, state: &mut State, answered: bool) -> Option<()> {
        let entries = first_chain(&self.lanes, &state.owner.reports).to_vec();
        let (_, bundle) = self.lanes.origin(entries.first()?.request);
        let told = state.ledger.report(&self.lanes, &entries);
        if !answered {
            return Some(());
        }
        state.owner.reports.drain(..entries.len());
        match (told, &mut state.owner.at) {
            (Told::Dead, Some(at)) if at.bundle == bundle => state.owner.at = None,
            (Told::Taken, Some(at)) if at.unsent => {
                at.unsent = false;
                state.requests.extend(at.waiting);
            }
            _ => {}
        }
        Some(())
    }

    /// What the heartbeat's answer tells.
    pub(super) fn owner_beats(&self, state: &mut State) -> Option<()> {
        let at = state.owner.at?;
        match state.ledger.life(at.bundle) {
            Some(Life::Active) => self.look(state, at),
            Some(Life::Superseded { .. }) if self.bounds.disowns_draws => {
                state.ledger.collide(at.bundle, How::Usurped);
                state.owner.at = None;
            }
            life => {
                // It was given up without a word, though only a thief can have drawn.
                state.unnoticed |= matches!(life, Some(Life::Superseded { .. }));
                state.owner.at = None;
            }
        }
        Some(())
    }

    /// Whether the ledger holds in our name only what we did.
    pub(super) fn look(&self, state: &mut State, at: At) {
        let Some(record) = state.ledger.bundles.get(&at.bundle) else {
            return;
        };
        let lanes = record.lanes.iter().zip([Some(at.lane), None]);
        let mut heads = lanes.filter_map(|(lane, ours)| Some((*lane.last()?, ours)));
        if heads.any(|(head, ours)| !self.lanes.owns(ours, head)) {
            state.ledger.collide(at.bundle, How::Disowned);
        }
    }

    pub(super) fn deliver(&self, state: &mut State, request: Request) -> Option<()> {
        let (_, bundle) = self.lanes.origin(request);
        let ticket = self.lanes.ticket(request).ticket;
        let known =
            state
                .producer
                .entry(bundle)
                .or_insert_with(|| match state.ledger.life(bundle) {
                    Some(Life::Active) => AtProducer::Held([None; 2]),
                    Some(Life::Superseded { .. }) => AtProducer::Over,
                    _ => AtProducer::Gone,
                });
        let place = usize::from(ticket.lane == 1);
        let evidence = match known {
            AtProducer::Gone => false,
            AtProducer::Over => true,
            AtProducer::Held(lanes) => {
                let lane = match lanes[place] {
                    Some(serving) => serving.lane,
                    None => self.lanes.producer(bundle, u8::from(place == 1), 0)?,
                };
                match self.lanes.accept(lane, request) {
                    Accepted::Next(lane) => {
                        lanes[place] = Some(Serving {
                            lane,
                            answering: Some(request),
                            cleared: !self.bounds.strict,
                        });
                        let mut taken = state.accepted.iter().map(|one| self.lanes.ticket(*one));
                        state.doubled |= taken.any(|one| {
                            (one.ticket.bundle, one.ticket.lane, one.ticket.n)
                                == (ticket.bundle, ticket.lane, ticket.n)
                        });
                        state.accepted.insert(request);
                        if !self.bounds.strict {
                            *state.ran.entry(request).or_default() += 1;
                        }
                        true
                    }
                    Accepted::Conflict | Accepted::Elsewhere => true,
                    Accepted::Repeat | Accepted::Refused => false,
                }
            }
        };
        let entry = self.late(state, request);
        if evidence && !state.reports.iter().any(|held| held.request == request) {
            state.reports.push(entry);
        }
        Some(())
    }

    pub(super) fn producer_reports(&self, state: &mut State, answered: bool) -> Option<()> {
        let entries = first_chain(&self.lanes, &state.reports).to_vec();
        let (_, bundle) = self.lanes.origin(entries.first()?.request);
        let told = state.ledger.report(&self.lanes, &entries);
        if !answered {
            return Some(());
        }
        state.reports.drain(..entries.len());
        let Some(known @ AtProducer::Held(_)) = state.producer.get_mut(&bundle) else {
            return Some(());
        };
        match (told, known) {
            (Told::Dead, known) => *known = AtProducer::Gone,
            (Told::Taken, AtProducer::Held(lanes)) => {
                // Strict: now it may have an effect.
                for serving in lanes.iter_mut().flatten() {
                    let reported = serving
                        .answering
                        .filter(|request| entries.iter().any(|entry| entry.request == *request));
                    if let Some(request) = reported
                        && !serving.cleared
                    {
                        serving.cleared = true;
                        *state.ran.entry(request).or_default() += 1;
                    }
                }
            }
            _ => {}
        }
        Some(())
    }

    pub(super) fn producer_answers(
        &self,
        state: &mut State,
        bundle: u8,
        place: usize,
    ) -> Option<()> {
        let Some(AtProducer::Held(lanes)) = state.producer.get_mut(&bundle) else {
            return None;
        };
        let serving = lanes[place]
            .as_mut()
            .filter(|serving| serving.answering.is_some() && serving.cleared)?;
        let (lane, response) = self.lanes.respond(serving.lane)?;
        *serving = Serving {
            lane,
            answering: None,
            cleared: false,
        };
        state.responses.insert(response);
        Some(())
    }

    pub(super) fn producer_crashes(&self, state: &mut State) {
        state.spent.producer_crashes += 1;
        for known in state.producer.values_mut() {
            if matches!(known, AtProducer::Held(_)) {
                *known = AtProducer::Gone;
            }
        }
        if self.bounds.forgets_reports {
            state.reports.clear();
        }
    }

    /// Whether every report has got through and a heartbeat tells nothing new.
    pub(super) fn is_quiet(&self, state: &State) -> bool {
        let mut after = state.clone();
        self.owner_beats(&mut after);
        state.owner.reports.is_empty() && state.reports.is_empty() && after == *state
    }

    pub(super) fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::OwnerDraws => {
                let bundle = Self::draw(state);
                state.spent.draws += 1;
                state.owner.at = Some(At {
                    bundle,
                    lane: self.lanes.consumer(bundle, 0)?,
                    waiting: None,
                    unsent: false,
                });
            }
            Action::OwnerBegins => self.owner_begins(state)?,
            Action::OwnerSendsAgain => {
                state.requests.insert(state.owner.at?.waiting?);
            }
            Action::OwnerReceives(response) => {
                let at = state.owner.at.as_mut()?;
                at.lane = self.lanes.receive(at.lane, response)?;
                at.waiting = None;
            }
            Action::OwnerReports { answered } => self.owner_reports(state, answered)?,
            Action::OwnerBeats => self.owner_beats(state)?,
            Action::OwnerGivesUp => {
                let at = state.owner.at?;
                if self.bounds.looks_last {
                    self.look(state, at);
                }
                state.owner.at = None;
            }
            Action::OwnerCrashes => {
                state.owner = Owner::default();
                state.due = false;
                state.spent.owner_crashes += 1;
            }
            Action::Theft => {
                let at = state.owner.at?;
                state.thief = Some(Thief {
                    bundle: at.bundle,
                    lane: at.lane,
                    waiting: at.waiting,
                });
            }
            Action::ThiefBegins => {
                let thief = state.thief.as_mut()?;
                let (lane, request) = self.lanes.begin(thief.lane, Who::Thief)?;
                thief.lane = lane;
                thief.waiting = Some(request);
                state.requests.insert(request);
                state.spent.thief_tickets += 1;
            }
            Action::ThiefOpensALane => {
                let bundle = state.thief.as_ref()?.bundle;
                let lane = self.lanes.consumer(bundle, 1)?;
                state.requests.insert(self.lanes.begin(lane, Who::Thief)?.1);
                state.spent.thief_lane = true;
            }
            Action::ThiefReceives(response) => {
                let thief = state.thief.as_mut()?;
                thief.lane = self.lanes.receive(thief.lane, response)?;
                thief.waiting = None;
            }
            Action::ThiefDraws => {
                let bundle = Self::draw(state);
                state.spent.thief_draws += 1;
                state.thief = Some(Thief {
                    bundle,
                    lane: self.lanes.consumer(bundle, 0)?,
                    waiting: None,
                });
            }
            Action::Deliver(request) => self.deliver(state, request)?,
            Action::ProducerAnswers(bundle, place) => {
                self.producer_answers(state, bundle, place)?;
            }
            Action::ProducerReports { answered } => self.producer_reports(state, answered)?,
            Action::ProducerLearns(bundle) => {
                let news = match state.ledger.life(bundle) {
                    Some(Life::Active | Life::Superseded { over: false }) => return None,
                    Some(Life::Superseded { over: true }) => AtProducer::Over,
                    Some(Life::Disconnected) | None => AtProducer::Gone,
                };
                state.producer.insert(bundle, news);
            }
            Action::ProducerCrashes => self.producer_crashes(state),
            Action::GraceEnds(bundle) => {
                state.ledger.bundles.get_mut(&bundle)?.life = Life::Superseded { over: true };
                if !self.bounds.slow_network {
                    state
                        .requests
                        .retain(|one| self.lanes.origin(*one) != (Who::Owner, bundle));
                }
            }
            Action::Backup => state.backup = Some(state.ledger.clone()),
            Action::Restore => {
                state.ledger = state.backup.take()?;
                state.spent.restores += 1;
                state.fence_due = true;
                state.due = false;
            }
            Action::Fence => {
                state.fence_due = false;
                for record in state.ledger.bundles.values_mut() {
                    record.life = Life::Disconnected;
                }
            }
        }
        Some(())
    }
}
