//! What must hold in every state, and what must happen in some.

use stateright::Property;

use super::{
    ledger::Side,
    state::{Bounds, State, Streams},
};

/// The properties of a model within its bounds.
pub fn of(bounds: &Bounds) -> Vec<Property<Streams>> {
    let mut properties = vec![
        Property::<Streams>::always("no honest run is a collision", |_, state| {
            acted(state, Side::Consumer)
                || acted(state, Side::Producer)
                || state.ledger.finding.is_none()
        }),
        Property::<Streams>::always("a finding is of the right side", |_, state| {
            state.ledger.finding.is_none_or(|side| acted(state, side))
        }),
        Property::<Streams>::always("no copy inside a stream is missed", |model, state| {
            let due = state.seen.served || state.seen.believed;
            !due || state.ledger.finding.is_some() || !quiet(model, state)
        }),
        Property::<Streams>::always("the ledger holds one line", |model, state| {
            state.ledger.is_sound(&model.lines)
        }),
        Property::<Streams>::always("each end takes the other's word", |_, state| {
            !state.seen.failed
        }),
        Property::<Streams>::sometimes("streams re-key twice", |_, state| state.seen.rekeyed > 1),
        Property::<Streams>::sometimes("the lane goes on", |_, state| state.seen.went_on),
    ];
    if bounds.stolen_asks > 0 {
        properties.push(Property::<Streams>::sometimes(
            "a copy of the consumer is served",
            |_, state| state.seen.served,
        ));
        properties.push(Property::<Streams>::sometimes(
            "a copy of the consumer is found",
            |_, state| state.ledger.finding == Some(Side::Consumer),
        ));
    }
    if bounds.stolen_answers > 0 {
        properties.push(Property::<Streams>::sometimes(
            "a copy of the producer is believed",
            |_, state| state.seen.believed,
        ));
        properties.push(Property::<Streams>::sometimes(
            "a copy of the producer is found",
            |_, state| state.ledger.finding == Some(Side::Producer),
        ));
    }
    properties
}

/// Whether a copy has signed in an end's name.
fn acted(state: &State, side: Side) -> bool {
    match side {
        Side::Consumer => state.spent.stolen_asks > 0,
        Side::Producer => state.spent.stolen_answers > 0,
    }
}

/// Whether every report has got through and heartbeats tell nothing new.
fn quiet(model: &Streams, state: &State) -> bool {
    let reported = state.reports.iter().all(Vec::is_empty) && state.ledger.asked.is_none();
    reported && {
        let mut after = state.clone();
        model.beats(&mut after, Side::Consumer);
        model.beats(&mut after, Side::Producer);
        after == *state
    }
}
