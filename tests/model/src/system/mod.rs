//! The whole system: what each party may do next.

mod actions;
mod consumer;
mod network;
mod producer;
mod properties;
mod state;
mod thieves;

use std::sync::Arc;

use stateright::{Model, Property};

pub use self::state::{Action, State, System};
use crate::{bounds::Bounds, lanes::Lanes, ledger::Life};

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // The first finding ends what is looked at.
        if state.ledger.finding.is_none() {
            self.possible(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

impl System {
    /// A system within bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: Arc::new(Lanes::new(!bounds.granted.keys_are_secret)),
        }
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick => state.now += 1,
            Action::ConsumerDraws => self.consumer_draws(state)?,
            Action::ConsumerBegins => self.consumer_begins(state, false)?,
            Action::ConsumerRefreshes => self.consumer_begins(state, true)?,
            Action::ConsumerReceives(response) => self.consumer_receives(state, response)?,
            Action::ConsumerReports { answered } => self.consumer_reports(state, answered)?,
            Action::ConsumerBeats => self.consumer_beats(state),
            Action::ConsumerShows => self.consumer_shows(state)?,
            Action::ConsumerGivesUpALane => self.consumer_gives_up_a_lane(state)?,
            Action::ConsumerRetires => self.consumer_retires(state)?,
            Action::ConsumerCrashes => self.consumer_crashes(state),
            Action::ConsumerStarts => Self::consumer_starts(state),
            Action::Deliver(request) => self.deliver(state, request)?,
            Action::ProducerPutsOff(request) => self.puts_off(state, request)?,
            Action::ProducerBegins(bundle, place) => self.producer_begins(state, bundle, place)?,
            Action::ProducerWrites(bundle, place) => self.producer_writes(state, bundle, place)?,
            Action::ProducerRefuses(..)
            | Action::ProducerAnswers(..)
            | Action::ProducerAborts(..) => self.producer_concludes(state, action)?,
            Action::ProducerReports { answered } => self.producer_reports(state, answered)?,
            Action::ProducerBeats => self.producer_beats(state),
            Action::ProducerCrashes => self.producer_crashes(state),
            Action::ProducerStarts => Self::producer_starts(state),
            Action::ConsumerIsCopied => self.consumer_is_copied(state)?,
            Action::ThiefBegins => self.thief_begins(state)?,
            Action::ThiefOpensALane => self.thief_opens_a_lane(state)?,
            Action::ThiefReceives(response) => self.thief_receives(state, response)?,
            Action::ThiefInvents => self.thief_invents(state)?,
            Action::ProducerIsCopied(bundle) => self.producer_is_copied(state, bundle)?,
            Action::DoubleAnswers(request) => self.double_answers(state, request)?,
            Action::Backup => state.backup = Some(Box::new(state.ledger.clone())),
            Action::Restore => {
                state.ledger = *state.backup.take()?;
                state.spent.restores += 1;
                state.fence_due = true;
            }
            Action::Fence => {
                state.fence_due = false;
                // Ends announce themselves again.
                state.ledger.consumer = state.consumer.start;
                state.ledger.producer = state.producer.start;
                for record in state.ledger.bundles.values_mut() {
                    record.life = Life::Disconnected;
                }
            }
            Action::ConsumerSnapshot => state.consumer.snapshot = state.consumer.at,
            Action::ConsumerResumes => Self::consumer_resumes(state)?,
            Action::ProducerSnapshot => {
                state.producer.snapshot = Some(state.producer.bundles.clone());
            }
            Action::ProducerResumes => Self::producer_resumes(state)?,
        }
        Some(())
    }
}
