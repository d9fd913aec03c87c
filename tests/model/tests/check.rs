//! Every state of the models, within bounds that suit a test. `make model` goes further.

use armour_model::scenarios::{check, scenarios};

#[test]
fn every_property_holds_in_every_state_and_every_assumption_is_needed() {
    for scenario in scenarios(0) {
        let found = check(&scenario, 2, |_, _| ());
        println!(
            "{}: {} states, {} steps, {:.1} s",
            scenario.name, found.states, found.steps, found.time
        );
        match scenario.fails {
            None => assert!(found.broken.is_empty(), "{:?}", found.broken),
            Some(expected) => assert!(
                found.broken.iter().any(|(name, _)| *name == expected),
                "{}: \"{expected}\" holds without the assumption",
                scenario.name
            ),
        }
        assert!(found.states > 100, "{}: too little", scenario.name);
    }
}
