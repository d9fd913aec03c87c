//! What must hold in every state, and what must happen in some.

use std::collections::BTreeSet;

use stateright::Property;

use super::state::System;
use crate::{lanes::Who, ledger::How};

/// The properties of a model within its bounds.
pub fn of(model: &System) -> Vec<Property<System>> {
    let bounds = &model.bounds;
    let mut properties = vec![
        Property::<System>::always("no ticket's place is taken twice", |_, state| {
            !state.doubled
        }),
        Property::<System>::always("no exchange runs twice", |_, state| {
            state.ran.values().all(|times| *times == 1)
        }),
        Property::<System>::always("no false collision", |_, state| {
            // A copy at rest harms nobody.
            let spent = &state.spent;
            let acted = spent.thief_tickets + spent.thief_draws > 0 || spent.thief_lane;
            acted || state.ledger.collision.is_none()
        }),
        Property::<System>::always("no missed collision", |model, state| {
            !state.due || state.ledger.collision.is_some() || !model.is_quiet(state)
        }),
        Property::<System>::always("no missed usurpation", |_, state| {
            !state.unnoticed || state.ledger.collision.is_some()
        }),
        Property::<System>::always("the ledger holds chains", |model, state| {
            state.ledger.is_sound(&model.lanes)
        }),
        Property::<System>::always("both ends derive the same keys", |model, _| {
            model.lanes.disagreements() == 0
        }),
        Property::<System>::sometimes("an exchange of each end's is answered", |_, state| {
            !state.responses.is_empty()
        }),
    ];
    if bounds.strict {
        properties.push(Property::<System>::always(
            "nothing runs that the ledger has not",
            |_, state| {
                let bundles = state.ledger.bundles.values();
                let recorded: BTreeSet<_> = bundles
                    .flat_map(|record| record.lanes.iter().flatten())
                    .collect();
                state.spent.restores > 0 || state.ran.keys().all(|one| recorded.contains(one))
            },
        ));
    }
    if bounds.thief_tickets > 0 {
        properties.push(Property::<System>::sometimes(
            "a fork is found",
            |_, state| state.ledger.collision == Some(How::Fork),
        ));
        properties.push(Property::<System>::sometimes(
            "the thief is served",
            |model, state| {
                let mut ran = state.ran.keys();
                ran.any(|one| model.lanes.origin(*one).0 == Who::Thief)
            },
        ));
    }
    if bounds.thief_lane {
        properties.push(Property::<System>::sometimes(
            "a lane is disowned",
            |_, state| state.ledger.collision == Some(How::Disowned),
        ));
    }
    if bounds.thief_draws > 0 {
        properties.push(Property::<System>::sometimes(
            "use of a superseded bundle is found",
            |_, state| state.ledger.collision == Some(How::Superseded),
        ));
        properties.push(Property::<System>::sometimes(
            "a draw is disowned",
            |_, state| state.ledger.collision == Some(How::Usurped),
        ));
    }
    if bounds.owner_crashes + bounds.producer_crashes > 0 {
        properties.push(Property::<System>::sometimes(
            "an exchange is answered after a crash",
            |_, state| {
                let crashes = state.spent.owner_crashes + state.spent.producer_crashes;
                crashes > 0 && state.responses.len() > 1
            },
        ));
    }
    properties
}
