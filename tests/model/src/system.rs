//! The whole system: what each party may do next.

mod properties;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stateright::{Model, Property};

use crate::{
    bounds::Bounds,
    lanes::{Accepted, Lane, Lanes, Request, Response, Who},
    ledger::{Entry, How, Ledger, Life, Told, first_chain},
};

/// The model: bounds, and the real lanes behind it.
#[derive(Clone)]
pub struct System {
    /// How much may happen.
    pub bounds: Bounds,
    /// The lanes.
    pub lanes: Arc<Lanes>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct State {
    owner: Owner,
    thief: Option<Thief>,
    producer: BTreeMap<u8, AtProducer>,
    /// What the producer has yet to report.
    reports: Vec<Entry>,
    ledger: Ledger,
    backup: Option<Ledger>,
    /// The database was restored and nobody has shown it yet.
    fence_due: bool,
    /// Sent and never taken out: loss is what is never delivered, a duplicate is what
    /// is delivered again, and any order is possible.
    requests: BTreeSet<Request>,
    responses: BTreeSet<Response>,
    /// How often the upstream ran each.
    ran: BTreeMap<Request, u8>,
    /// Tickets that the producer accepted.
    accepted: BTreeSet<Request>,
    /// Of two tickets with one place both were accepted, or one twice.
    doubled: bool,
    /// The owner has taken a ticket after the thief had acted.
    due: bool,
    /// The owner was told of the thief's draw and took it for nothing.
    unnoticed: bool,
    /// Tickets of the thief that nobody remembers any more.
    forgotten: bool,
    minted: u8,
    spent: Spent,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Owner {
    at: Option<At>,
    /// Yet to be reported.
    reports: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct At {
    bundle: u8,
    lane: Lane,
    waiting: Option<Request>,
    /// The request waits for the ledger's word.
    unsent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Thief {
    bundle: u8,
    lane: Lane,
    waiting: Option<Request>,
}

/// What the producer's agent knows of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum AtProducer {
    Held([Option<Serving>; 2]),
    /// Superseded, its grace over: its tickets are refused and reported.
    Over,
    /// Its lanes are lost, or it is disconnected.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Serving {
    lane: Lane,
    /// Accepted and not answered yet.
    answering: Option<Request>,
    /// The ledger has it, or need not have it first.
    cleared: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Spent {
    owner_tickets: u8,
    thief_tickets: u8,
    draws: u8,
    thief_draws: u8,
    thief_lane: bool,
    owner_crashes: u8,
    producer_crashes: u8,
    restores: u8,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    OwnerDraws,
    OwnerBegins,
    OwnerSendsAgain,
    OwnerReceives(Response),
    /// The answer may get lost; then the same is reported again.
    OwnerReports {
        answered: bool,
    },
    OwnerBeats,
    OwnerGivesUp,
    OwnerCrashes,
    Theft,
    ThiefBegins,
    ThiefOpensALane,
    ThiefReceives(Response),
    ThiefDraws,
    Deliver(Request),
    ProducerAnswers(u8, usize),
    ProducerReports {
        answered: bool,
    },
    ProducerLearns(u8),
    ProducerCrashes,
    GraceEnds(u8),
    Backup,
    Restore,
    Fence,
}

impl System {
    /// A system within bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: Arc::default(),
        }
    }

    fn late(&self, state: &State, request: Request) -> Entry {
        let (_, bundle) = self.lanes.origin(request);
        Entry {
            request,
            late: state.ledger.is_over(bundle),
        }
    }

    fn may_draw(state: &State) -> bool {
        state.ledger.collision.is_none()
    }

    fn draw(state: &mut State) -> u8 {
        let number = state.minted;
        state.minted += 1;
        state.ledger.draw(number);
        number
    }

    fn owner_begins(&self, state: &mut State) -> Option<()> {
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

    fn owner_reports(&self, state: &mut State, answered: bool) -> Option<()> {
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
    fn owner_beats(&self, state: &mut State) -> Option<()> {
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
    fn look(&self, state: &mut State, at: At) {
        let Some(record) = state.ledger.bundles.get(&at.bundle) else {
            return;
        };
        let lanes = record.lanes.iter().zip([Some(at.lane), None]);
        let mut heads = lanes.filter_map(|(lane, ours)| Some((*lane.last()?, ours)));
        if heads.any(|(head, ours)| !self.lanes.owns(ours, head)) {
            state.ledger.collide(at.bundle, How::Disowned);
        }
    }

    fn deliver(&self, state: &mut State, request: Request) -> Option<()> {
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

    fn producer_reports(&self, state: &mut State, answered: bool) -> Option<()> {
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

    fn producer_answers(&self, state: &mut State, bundle: u8, place: usize) -> Option<()> {
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

    fn producer_crashes(&self, state: &mut State) {
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
    fn is_quiet(&self, state: &State) -> bool {
        let mut after = state.clone();
        self.owner_beats(&mut after);
        state.owner.reports.is_empty() && state.reports.is_empty() && after == *state
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
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

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &state.spent);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        let answers = [false, true];
        let owner = state.owner.at;
        let idle = owner.is_some_and(|at| at.waiting.is_none());
        may(
            owner.is_none() && spent.draws < bounds.draws && Self::may_draw(state),
            Action::OwnerDraws,
        );
        may(
            idle && spent.owner_tickets < bounds.owner_tickets,
            Action::OwnerBegins,
        );
        let sent = owner.filter(|at| !at.unsent).and_then(|at| at.waiting);
        may(
            sent.is_some_and(|request| !state.requests.contains(&request)),
            Action::OwnerSendsAgain,
        );
        let refused = |at: At| {
            matches!(
                state.producer.get(&at.bundle),
                Some(AtProducer::Gone | AtProducer::Over)
            )
        };
        may(
            sent.is_some() && owner.is_some_and(refused),
            Action::OwnerGivesUp,
        );
        may(owner.is_some(), Action::OwnerBeats);
        may(
            owner.is_some() && spent.owner_crashes < bounds.owner_crashes,
            Action::OwnerCrashes,
        );
        for answered in answers {
            may(
                !state.owner.reports.is_empty(),
                Action::OwnerReports { answered },
            );
            may(
                !state.reports.is_empty(),
                Action::ProducerReports { answered },
            );
        }
        for response in &state.responses {
            may(
                owner.is_some_and(|at| at.waiting.is_some()),
                Action::OwnerReceives(*response),
            );
            may(
                state.thief.as_ref().is_some_and(|t| t.waiting.is_some()),
                Action::ThiefReceives(*response),
            );
        }
        let thieving = bounds.thief_tickets + bounds.thief_draws > 0;
        may(
            thieving && state.thief.is_none() && owner.is_some(),
            Action::Theft,
        );
        if let Some(thief) = &state.thief {
            may(
                thief.waiting.is_none() && spent.thief_tickets < bounds.thief_tickets,
                Action::ThiefBegins,
            );
            may(
                bounds.thief_lane && !spent.thief_lane,
                Action::ThiefOpensALane,
            );
            may(
                spent.thief_draws < bounds.thief_draws && Self::may_draw(state),
                Action::ThiefDraws,
            );
        }
        for request in &state.requests {
            may(true, Action::Deliver(*request));
        }
        for (bundle, known) in &state.producer {
            if let AtProducer::Held(lanes) = known {
                may(true, Action::ProducerLearns(*bundle));
                for (place, lane) in lanes.iter().enumerate() {
                    may(
                        lane.is_some_and(|one| one.answering.is_some() && one.cleared),
                        Action::ProducerAnswers(*bundle, place),
                    );
                }
            }
        }
        may(
            spent.producer_crashes < bounds.producer_crashes && !state.producer.is_empty(),
            Action::ProducerCrashes,
        );
        for (bundle, record) in &state.ledger.bundles {
            may(
                record.life == (Life::Superseded { over: false }),
                Action::GraceEnds(*bundle),
            );
        }
        may(
            spent.restores < bounds.restores && state.backup.is_none() && state.minted > 0,
            Action::Backup,
        );
        may(
            state.backup.is_some() && spent.restores < bounds.restores,
            Action::Restore,
        );
        may(state.fence_due, Action::Fence);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        let forgetful = self.bounds.forgets_reports && !self.bounds.keeps_accounts;
        if action == Action::ProducerCrashes && forgetful && !self.bounds.strict {
            // What a batched policy grants: both ends may forget a ticket.
            next.forgotten = true;
            next.due = false;
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}
