//! What is checked, and what its checking gives.

use std::time::Instant;

use stateright::{Checker, Expectation, Model};

use crate::{bounds::Bounds, system::System};

/// A model with a name.
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// Its bounds and assumptions.
    pub bounds: Bounds,
    /// The property that must fail: the assumption that was dropped is needed.
    pub fails: Option<&'static str>,
}

/// What was found.
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest path without a detour.
    pub depth: usize,
    /// Real lane states, and real messages.
    pub real: (usize, usize),
    /// Properties that do not hold, each with the actions that lead there.
    pub broken: Vec<(&'static str, String)>,
    /// Properties that hold.
    pub held: usize,
    /// In seconds.
    pub time: f64,
}

/// All of them; `more` adds that many tickets, for a longer search.
pub fn scenarios(more: u8) -> Vec<Scenario> {
    let grown = |bounds: Bounds| Bounds {
        owner_tickets: bounds.owner_tickets + more,
        thief_tickets: bounds.thief_tickets + more.min(bounds.thief_tickets),
        ..bounds
    };
    let holds = |name, bounds| Scenario {
        name,
        bounds: grown(bounds),
        fails: None,
    };
    let fails = |name, bounds, property| Scenario {
        name,
        bounds,
        fails: Some(property),
    };
    vec![
        holds("crashes, no theft", Bounds::CRASHES),
        holds("a restored database, no theft", Bounds::RESTORED),
        holds("a theft at any moment", Bounds::THEFT),
        holds("the thief draws a bundle", Bounds::USURPED),
        holds("a theft and crashes", Bounds::THEFT_AND_CRASHES),
        holds("the same, strict reporting", Bounds::STRICT),
        fails(
            "a network slower than the grace",
            Bounds {
                slow_network: true,
                ..Bounds::CRASHES
            },
            "no false collision",
        ),
        fails(
            "a crash that forgets reports",
            Bounds {
                forgets_reports: true,
                keeps_accounts: true,
                ..Bounds::THEFT_AND_CRASHES
            },
            "no missed collision",
        ),
        fails(
            "a bundle given up without a last look",
            Bounds {
                looks_last: false,
                ..Bounds::STRICT
            },
            "no missed collision",
        ),
        fails(
            "a consumer that does not disown draws",
            Bounds {
                disowns_draws: false,
                ..Bounds::USURPED
            },
            "no missed usurpation",
        ),
    ]
}

/// Goes through every state of a scenario; until a property fails, if one has to.
pub fn check(scenario: &Scenario, threads: usize) -> Found {
    let since = Instant::now();
    let system = System::new(scenario.bounds);
    let lanes = system.lanes.clone();
    let properties = system.properties();
    let checker = system.checker().threads(threads).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let mut broken = Vec::new();
    for property in &properties {
        let found = discoveries.get(property.name);
        match (&property.expectation, found) {
            (Expectation::Sometimes, None) => {
                broken.push((property.name, "never happens".to_owned()));
            }
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                let actions = path.clone().into_actions();
                let actions: Vec<String> = actions.iter().map(|a| format!("{a:?}")).collect();
                broken.push((property.name, actions.join(", ")));
            }
        }
    }
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        real: lanes.met(),
        held: properties.len() - broken.len(),
        broken,
        time: since.elapsed().as_secs_f64(),
    }
}
