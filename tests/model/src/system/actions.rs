//! What may happen next, within the bounds.

use super::state::{Action, At, Call, State, System};
use crate::{lanes::Who, ledger::Life};

impl System {
    pub(super) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        self.at_consumer(state, actions);
        self.at_producer(state, actions);
        self.of_thieves(state, actions);
        let (bounds, spent) = (&self.bounds, &state.spent);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        may(state.now < bounds.ticks, Action::Tick);
        let restorable = spent.restores < bounds.restores;
        may(
            restorable && state.backup.is_none() && spent.draws > 0,
            Action::Backup,
        );
        may(restorable && state.backup.is_some(), Action::Restore);
        may(state.fence_due, Action::Fence);
    }

    fn at_consumer(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent, consumer) = (&self.bounds, &state.spent, &state.consumer);
        let at = consumer.at.filter(|_| consumer.up);
        let idle = at.filter(|at| at.waiting.is_none());
        let waiting = at.filter(|at| at.waiting.is_some() && !at.unsent);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        let heard_of = state.ledger.consumer == consumer.start;
        may(
            consumer.up && heard_of && consumer.at.is_none() && spent.draws < bounds.draws,
            Action::ConsumerDraws,
        );
        let more = spent.tickets < bounds.tickets;
        may(idle.is_some() && more, Action::ConsumerBegins);
        may(
            idle.is_some_and(|at| !at.fresh) && more && spent.refreshes < bounds.refreshes,
            Action::ConsumerRefreshes,
        );
        for response in &state.responses {
            may(
                at.is_some_and(|at| !at.fresh && !at.unsent),
                Action::ConsumerReceives(*response),
            );
        }
        for answered in answers(bounds.lossy_reports) {
            may(
                consumer.up && !consumer.reports.is_empty(),
                Action::ConsumerReports { answered },
            );
        }
        may(consumer.up, Action::ConsumerBeats);
        may(
            consumer.up && state.ledger.asked.is_some(),
            Action::ConsumerShows,
        );
        let hopeless = |at: At| at.number == 0 && self.lanes.is_past(at.lane, state.now);
        may(
            bounds.ticks > 0 && waiting.is_some_and(hopeless),
            Action::ConsumerGivesUpALane,
        );
        may(bounds.retires && at.is_some(), Action::ConsumerRetires);
        may(
            consumer.up && spent.consumer_crashes < bounds.consumer_crashes && spent.draws > 0,
            Action::ConsumerCrashes,
        );
        may(!consumer.up, Action::ConsumerStarts);
        let resumes = !bounds.granted.never_resumes && consumer.who == Who::Owner;
        may(
            resumes && at.is_some() && consumer.snapshot.is_none(),
            Action::ConsumerSnapshot,
        );
        may(
            resumes && consumer.snapshot.is_some(),
            Action::ConsumerResumes,
        );
    }

    fn at_producer(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent, producer) = (&self.bounds, &state.spent, &state.producer);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        for request in &state.requests {
            may(producer.up, Action::Deliver(*request));
            may(
                producer.up
                    && spent.put_offs < bounds.put_offs
                    && !state.seen.put_off.contains(request),
                Action::ProducerPutsOff(*request),
            );
        }
        for (bundle, held) in &producer.bundles {
            for (place, serving) in held.places.iter().enumerate() {
                let Some(serving) = serving.filter(|one| !one.replaced && !held.over) else {
                    continue;
                };
                match serving.call {
                    Call::None => {}
                    Call::Accepted { cleared } => {
                        may(cleared, Action::ProducerBegins(*bundle, place));
                        may(
                            spent.refusals < bounds.refusals,
                            Action::ProducerRefuses(*bundle, place),
                        );
                    }
                    Call::Frozen => may(true, Action::ProducerWrites(*bundle, place)),
                    Call::Running => {
                        may(true, Action::ProducerAnswers(*bundle, place));
                        may(
                            spent.aborts < bounds.aborts,
                            Action::ProducerAborts(*bundle, place),
                        );
                    }
                }
            }
        }
        for answered in answers(bounds.lossy_reports) {
            may(
                producer.up && !producer.reports.is_empty(),
                Action::ProducerReports { answered },
            );
        }
        may(producer.up, Action::ProducerBeats);
        may(
            producer.up
                && spent.producer_crashes < bounds.producer_crashes
                && !producer.bundles.is_empty(),
            Action::ProducerCrashes,
        );
        may(!producer.up, Action::ProducerStarts);
        let resumes = !bounds.granted.never_resumes && producer.who == Who::Owner;
        may(
            resumes && !producer.bundles.is_empty() && producer.snapshot.is_none(),
            Action::ProducerSnapshot,
        );
        may(
            resumes && producer.snapshot.is_some(),
            Action::ProducerResumes,
        );
    }

    fn of_thieves(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &state.spent);
        let mut may = |allowed: bool, action| {
            if allowed {
                actions.push(action);
            }
        };
        may(
            bounds.stolen_tickets > 0 && state.thief.is_none() && state.consumer.at.is_some(),
            Action::ConsumerIsCopied,
        );
        if let Some(thief) = &state.thief {
            let more = spent.stolen_tickets < bounds.stolen_tickets;
            may(more && !thief.waiting, Action::ThiefBegins);
            may(
                more && bounds.stolen_lane && !spent.stolen_lane,
                Action::ThiefOpensALane,
            );
            may(
                more && bounds.invents && !thief.invented && !thief.waiting,
                Action::ThiefInvents,
            );
            for response in &state.responses {
                may(thief.waiting, Action::ThiefReceives(*response));
            }
        }
        if bounds.stolen_answers > 0 && state.double.is_none() {
            for (bundle, record) in &state.ledger.bundles {
                may(
                    record.life == Life::Active
                        && state.producer.up
                        && bundle.producer == state.producer.start,
                    Action::ProducerIsCopied(*bundle),
                );
            }
        }
        if state.double.is_some() && spent.stolen_answers < bounds.stolen_answers {
            for request in &state.requests {
                may(true, Action::DoubleAnswers(*request));
            }
        }
    }
}

/// Whether the answer to a report arrives.
fn answers(lossy: bool) -> impl Iterator<Item = bool> {
    [true, false].into_iter().take(1 + usize::from(lossy))
}
