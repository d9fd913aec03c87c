//! The whole system: what each party may do next.

mod properties;
mod state;
mod steps;

use stateright::{Model, Property};

pub use self::state::{Action, State, System};
use self::state::{At, AtProducer};
use crate::ledger::Life;

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
