//! The streams of one exchange as they re-key: both ends, the network, copies of either end that
//! were taken inside the streams, and the ledger. What sub-tickets and sub-receipts are to a lane,
//! and what a report of them is to the record, is `armour_protocol`'s own decision ([`real`]).

mod ledger;
mod properties;
mod real;
mod state;

use std::sync::Arc;

use stateright::{Model, Property};

use self::{
    ledger::{Answer, Side},
    real::{Kind, Message, Standing},
};
use crate::lanes::Who;

pub use self::state::{Action, Bounds, State, Streams};

impl Model for Streams {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // The first finding ends what is looked at.
        if state.ledger.finding.is_none() {
            self.of_ends(state, actions);
            self.of_thieves(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.bounds)
    }
}

impl Streams {
    /// Streams within bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: Arc::default(),
        }
    }

    fn of_ends(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &state.spent);
        if spent.asks < bounds.asks && !spent.finished {
            actions.push(Action::ConsumerAsks);
        }
        for message in &state.sent {
            actions.push(match self.lines.of(*message).1 {
                Kind::Ticket => Action::ProducerAnswers(*message),
                Kind::Receipt(_) => Action::ConsumerTakes(*message),
                Kind::Next => Action::ProducerGoesOn(*message),
            });
        }
        if !spent.finished {
            actions.push(Action::StreamsEnd);
        } else if !spent.next {
            actions.push(Action::ConsumerGoesOn);
        }
        for answered in [true, false]
            .into_iter()
            .take(1 + usize::from(bounds.lossy_reports))
        {
            actions.push(Action::ConsumerReports { answered });
            actions.push(Action::ProducerReports { answered });
        }
        actions.extend([Action::ConsumerBeats, Action::ProducerBeats]);
        if state.ledger.asked.is_some() {
            actions.push(Action::ConsumerShows);
        }
        if bounds.resumes && state.consumer.who == Who::Owner && !spent.finished {
            actions.push(match state.consumer.snapshot {
                None => Action::ConsumerSnapshot,
                Some(_) => Action::ConsumerResumes,
            });
        }
    }

    fn of_thieves(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &state.spent);
        if bounds.stolen_asks > 0 && state.thief.is_none() && !spent.finished {
            actions.push(Action::ConsumerIsCopied);
        }
        if state.thief.is_some() && spent.stolen_asks < bounds.stolen_asks {
            actions.push(Action::ThiefAsks);
        }
        if bounds.stolen_answers > 0 && state.double.is_none() {
            actions.push(Action::ProducerIsCopied);
        }
        for message in &state.sent {
            match self.lines.of(*message).1 {
                Kind::Receipt(_) if state.thief.is_some() => {
                    actions.push(Action::ThiefTakes(*message));
                }
                Kind::Ticket
                    if state.double.is_some() && spent.stolen_answers < bounds.stolen_answers =>
                {
                    actions.push(Action::DoubleAnswers(*message));
                }
                _ => {}
            }
        }
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        let lines = &self.lines;
        match action {
            Action::ConsumerAsks => {
                let (end, ticket) = lines.ask(state.consumer.end, state.consumer.who)?;
                state.consumer.end = end;
                state.consumer.waits = Some(ticket);
                state.spent.asks += 1;
                state.sent.insert(ticket);
                self.report(state, Side::Consumer, &[ticket]);
            }
            Action::ConsumerTakes(receipt) => self.consumer_takes(state, receipt)?,
            Action::ProducerAnswers(ticket) => self.producer_answers(state, ticket)?,
            Action::StreamsEnd => {
                let (ours, theirs) = lines.finish(state.consumer.end, state.producer)?;
                (state.consumer.end, state.producer) = (ours, theirs);
                state.spent.finished = true;
            }
            Action::ConsumerGoesOn => {
                let (end, ticket) = lines.next(state.consumer.end)?;
                state.consumer.end = end;
                state.spent.next = true;
                state.sent.insert(ticket);
                self.report(state, Side::Consumer, &[ticket]);
            }
            Action::ProducerGoesOn(ticket) => {
                state.producer = lines.accept(state.producer, ticket)?;
                state.seen.went_on = true;
            }
            Action::ConsumerReports { answered } => {
                self.reports(state, Side::Consumer, answered)?;
            }
            Action::ProducerReports { answered } => {
                self.reports(state, Side::Producer, answered)?;
            }
            Action::ConsumerBeats => self.beats(state, Side::Consumer),
            Action::ProducerBeats => self.beats(state, Side::Producer),
            Action::ConsumerShows => {
                let k = state.ledger.asked?;
                let unreported = state.reports[0].iter();
                let mut kept = state.consumer.taken.iter().rev().take(1).chain(unreported);
                let shown = kept.find(|one| {
                    lines.k(**one) == k && matches!(lines.of(**one).1, Kind::Receipt(_))
                });
                let shown = shown.copied();
                state.ledger.show(lines, k, shown);
            }
            Action::ConsumerIsCopied => state.thief = Some(state.consumer.end),
            Action::ThiefAsks => {
                let (end, ticket) = lines.ask(state.thief?, Who::Copy)?;
                state.thief = Some(end);
                state.spent.stolen_asks += 1;
                state.sent.insert(ticket);
            }
            Action::ThiefTakes(receipt) => state.thief = Some(lines.take(state.thief?, receipt)?),
            Action::ProducerIsCopied => state.double = Some(state.producer),
            Action::DoubleAnswers(ticket) => {
                let (end, receipt) = lines.answer(state.double?, ticket, Who::Copy)?;
                state.double = Some(end);
                state.spent.stolen_answers += 1;
                state.sent.insert(receipt);
            }
            Action::ConsumerSnapshot => {
                state.consumer.snapshot = Some((state.consumer.end, state.consumer.waits));
            }
            Action::ConsumerResumes => {
                let (end, waits) = state.consumer.snapshot.take()?;
                state.consumer.end = end;
                state.consumer.waits = waits;
                state.consumer.who = Who::Resumed;
                state.reports[0].clear();
            }
        }
        Some(())
    }

    fn consumer_takes(&self, state: &mut State, receipt: Message) -> Option<()> {
        let (giver, Kind::Receipt(ticket)) = self.lines.of(receipt) else {
            return None;
        };
        let consumer = &mut state.consumer;
        if let Some(end) = self.lines.take(consumer.end, receipt) {
            consumer.end = end;
            consumer.waits = None;
            consumer.taken.push(receipt);
            state.seen.rekeyed += 1;
            state.seen.believed |= giver == Who::Copy;
            self.report(state, Side::Consumer, &[ticket, receipt]);
            return Some(());
        }
        let nobody_stole = state.thief.is_none() && state.double.is_none();
        if consumer.waits == Some(ticket) && nobody_stole && consumer.who == Who::Owner {
            state.seen.failed = true;
            return Some(());
        }
        // It comes late, or again; or it shows that somebody else answered, too.
        let told = state.reports[0].contains(&receipt);
        (!told && self.lines.is_clone(consumer.end, receipt))
            .then(|| state.reports[0].extend([ticket, receipt]))
    }

    fn producer_answers(&self, state: &mut State, ticket: Message) -> Option<()> {
        let who = self.lines.of(ticket).0;
        match self.lines.standing(state.producer, ticket) {
            Standing::Next => match self.lines.answer(state.producer, ticket, Who::Owner) {
                Some((end, receipt)) => {
                    state.producer = end;
                    state.seen.served |= who == Who::Copy;
                    state.sent.insert(receipt);
                    self.report(state, Side::Producer, &[ticket, receipt]);
                }
                None => state.seen.failed = true,
            },
            Standing::Repeat => return None,
            Standing::Stray => {
                // What was answered before is no stray.
                let known = state.ledger.line.contains(&ticket)
                    || state.reports[1].contains(&ticket)
                    || !state.strays.insert(ticket);
                if known {
                    return None;
                }
                self.report(state, Side::Producer, &[ticket]);
            }
        }
        Some(())
    }

    /// An end is to report these, of which it may have noted the first.
    fn report(&self, state: &mut State, side: Side, messages: &[Message]) {
        if !self.bounds.reports {
            return;
        }
        let reports = &mut state.reports[side as usize];
        let skip = usize::from(messages.len() > 1 && reports.last() == messages.first());
        reports.extend(&messages[skip..]);
    }

    fn reports(&self, state: &mut State, side: Side, answered: bool) -> Option<()> {
        let reports = &state.reports[side as usize];
        let run = reports.get(..self.lines.run_len(reports))?.to_vec();
        if run.is_empty() {
            return None;
        }
        let told = state.ledger.report(&self.lines, &run);
        match told {
            Answer::Taken if answered => drop(state.reports[side as usize].drain(..run.len())),
            Answer::Taken => {}
            // It comes again behind what the other end has yet to report.
            Answer::Gap => return None,
        }
        Some(())
    }

    /// A heartbeat: its answer tells what the ledger holds in an end's name.
    fn beats(&self, state: &mut State, side: Side) {
        let end = match side {
            Side::Consumer => state.consumer.end,
            Side::Producer => state.producer,
        };
        let head = state.ledger.head(&self.lines, side);
        if head.is_some_and(|head| !self.lines.owns(end, head)) {
            state.ledger.find(side);
        }
    }
}
