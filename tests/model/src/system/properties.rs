//! What must hold in every state, and what must happen in some.

use stateright::Property;

use super::state::{State, System};
use crate::{
    lanes::{Item, Who},
    ledger::{How, Side},
};

/// The properties of a model within its bounds.
pub fn of(model: &System) -> Vec<Property<System>> {
    let mut properties = always(model);
    properties.extend(sometimes(model));
    properties
}

fn always(model: &System) -> Vec<Property<System>> {
    let mut properties = vec![
        Property::<System>::always("a ticket begins at most once", |_, state| {
            state.seen.ran.values().all(|times| *times == 1)
        }),
        Property::<System>::always("a refused ticket never runs", |_, state| {
            let seen = &state.seen;
            seen.refused.iter().all(|one| !seen.ran.contains_key(one))
        }),
        Property::<System>::always("receipts tell the truth", |_, state| !state.seen.misled),
        Property::<System>::always("nothing begins after its time", |_, state| {
            !state.seen.overdue
        }),
        Property::<System>::always("a lane is opened by both ends' keys", |_, state| {
            !state.seen.strange
        }),
        Property::<System>::always("no honest run is a collision", |model, state| {
            acted(model, state, Side::Consumer)
                || acted(model, state, Side::Producer)
                || state.ledger.finding.is_none()
        }),
        Property::<System>::always("a finding is of the right side", |model, state| {
            let side = state.ledger.finding.and_then(|finding| finding.side);
            side.is_none_or(|side| acted(model, state, side))
        }),
        Property::<System>::always("no copy of the consumer is missed", |model, state| {
            !consumer_due(model, state) || state.ledger.finding.is_some() || !quiet(model, state)
        }),
        Property::<System>::always("no copy of the producer is missed", |model, state| {
            !producer_due(model, state) || state.ledger.finding.is_some() || !quiet(model, state)
        }),
        Property::<System>::always("the ledger holds runs", |model, state| {
            state.ledger.is_sound(&model.lanes)
        }),
        Property::<System>::always("each end takes the other's word", |model, _| {
            model.lanes.failures() == 0
        }),
    ];
    if model.bounds.strict {
        properties.push(Property::<System>::always(
            "nothing begins that the ledger has not",
            |_, state| {
                let bundles = state.ledger.bundles.values();
                let recorded: Vec<_> = bundles
                    .flat_map(|record| record.lanes.iter().flatten())
                    .collect();
                let mut ran = state.seen.ran.keys();
                ran.all(|one| recorded.contains(&&Item::Ticket(*one)))
            },
        ));
    }
    properties
}

fn sometimes(model: &System) -> Vec<Property<System>> {
    let bounds = &model.bounds;
    let mut properties = vec![Property::<System>::sometimes(
        "a call is answered",
        |_, state| state.seen.answered,
    )];
    if bounds.ticks > 0 {
        properties.push(Property::<System>::sometimes(
            "a call is too late",
            |_, state| !state.seen.refused.is_empty() && state.spent.refusals == 0,
        ));
    }
    if bounds.put_offs > 0 {
        properties.push(Property::<System>::sometimes(
            "a call that was put off begins",
            |_, state| {
                let mut put_off = state.seen.put_off.iter();
                put_off.any(|one| state.seen.ran.contains_key(one))
            },
        ));
    }
    if bounds.consumer_crashes + bounds.producer_crashes > 0 && bounds.draws > 1 {
        properties.push(Property::<System>::sometimes(
            "a call begins after a crash",
            |model, state| {
                let mut ran = state.seen.ran.keys();
                ran.any(|one| model.lanes.issuer(*one).1.number > 0)
            },
        ));
    }
    if bounds.stolen_tickets > 0 && !bounds.strangers {
        properties.push(Property::<System>::sometimes(
            "the thief's call begins",
            |model, state| {
                let mut ran = state.seen.ran.keys();
                ran.any(|one| model.lanes.issuer(*one).0 == Who::Copy)
            },
        ));
        properties.push(Property::<System>::sometimes(
            "two tickets are found",
            |_, state| is(state, How::ConsumerClone),
        ));
        properties.push(Property::<System>::sometimes(
            "a ticket is disowned",
            |_, state| is(state, How::Disowned),
        ));
    }
    if bounds.stolen_tickets > 0 && bounds.retires {
        properties.push(Property::<System>::sometimes(
            "a ticket after retirement is found",
            |_, state| is(state, How::AfterRetirement),
        ));
    }
    if bounds.invents {
        properties.push(Property::<System>::sometimes(
            "a made-up receipt is found",
            |_, state| is(state, How::ForeignReceipt),
        ));
    }
    if bounds.stolen_answers > 0 && !bounds.strangers {
        properties.push(Property::<System>::sometimes(
            "the copy's answer is taken",
            |_, state| !state.seen.taken.is_empty(),
        ));
        properties.push(Property::<System>::sometimes(
            "two receipts are found",
            |_, state| is(state, How::ProducerClone),
        ));
        properties.push(Property::<System>::sometimes(
            "a receipt is disowned",
            |_, state| is(state, How::Disowned),
        ));
    }
    properties
}

/// Whether somebody has signed in an end's name.
fn acted(model: &System, state: &State, side: Side) -> bool {
    let copies = match side {
        Side::Consumer => state.spent.stolen_tickets,
        Side::Producer => state.spent.stolen_answers,
    };
    copies > 0 && (!model.bounds.strangers || !model.bounds.granted.keys_are_secret)
}

/// Whether a copy of the consumer was served whose owner still lives.
fn consumer_due(model: &System, state: &State) -> bool {
    let consumer = &state.consumer;
    let mut served = state.seen.ran.keys().filter(|one| {
        let (who, bundle) = model.lanes.issuer(**one);
        who == Who::Copy && bundle.consumer == consumer.start
    });
    consumer.up && !exempt(model, state) && served.next().is_some()
}

/// Whether a copy of the producer was believed whose owner still lives.
fn producer_due(model: &System, state: &State) -> bool {
    let producer = &state.producer;
    let mut taken = state.seen.taken.iter().filter(|one| {
        let (_, bundle, _) = model.lanes.giver(**one);
        bundle.producer == producer.start
    });
    producer.up && !exempt(model, state) && taken.next().is_some()
}

/// What nobody remembers cannot be found.
fn exempt(model: &System, state: &State) -> bool {
    state.spent.restores > 0 || state.seen.forgotten && !model.bounds.due_anyway
}

/// Whether every report has got through and heartbeats tell nothing new.
fn quiet(model: &System, state: &State) -> bool {
    let nothing_due = state.consumer.reports.is_empty()
        && state.producer.reports.is_empty()
        && state.ledger.asked.is_none();
    nothing_due && {
        let mut after = state.clone();
        if state.consumer.up {
            model.consumer_beats(&mut after);
        }
        if state.producer.up {
            model.producer_beats(&mut after);
        }
        after == *state
    }
}

fn is(state: &State, how: How) -> bool {
    state
        .ledger
        .finding
        .is_some_and(|finding| finding.how == how)
}
