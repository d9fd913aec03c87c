//! What is checked, and what its checking gives.

use std::{
    fmt::Debug,
    hash::Hash,
    time::{Duration, Instant},
};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::{
    bounds::{Bounds, Granted},
    identity::{self, Identity},
    line::{self, Streams},
    system::System,
};

/// A model with a name.
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// What it is about, its bounds and assumptions.
    pub subject: Subject,
    /// The property that must fail: the assumption that was dropped is needed.
    pub fails: Option<&'static str>,
}

/// What a model is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    /// Two endpoints, their lanes and the ledger.
    Lanes(Bounds),
    /// One endpoint's starts and links.
    Identity(identity::Bounds),
    /// The streams of one exchange, which re-key.
    Streams(line::Bounds),
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
    let holds = |name, bounds: Bounds| Scenario {
        name,
        subject: Subject::Lanes(Bounds {
            tickets: bounds.tickets + more,
            ..bounds
        }),
        fails: None,
    };
    let identity = |name, bounds: identity::Bounds| Scenario {
        name,
        subject: Subject::Identity(identity::Bounds {
            links: bounds.links + more,
            ..bounds
        }),
        fails: None,
    };
    let mut all = vec![
        holds("crashes, nobody steals", Bounds::CRASHES),
        holds("a restored database, nobody steals", Bounds::RESTORED),
        holds("late and refused calls, nobody steals", Bounds::DEADLINES),
        holds("strangers with secrets and roots", Bounds::STRANGERS),
        holds("the consumer is copied", Bounds::CONSUMER_COPIED),
        holds("the producer is copied", Bounds::PRODUCER_COPIED),
        holds(
            "the consumer is copied, and crashes",
            Bounds::CONSUMER_COPIED_AND_CRASHES,
        ),
        holds(
            "the producer is copied, and lanes are late",
            Bounds::PRODUCER_COPIED_AND_LATE,
        ),
        holds(
            "the producer is copied, and crashes",
            Bounds::PRODUCER_COPIED_AND_CRASHES,
        ),
        holds("the consumer is copied, strict reporting", Bounds::STRICT),
    ];
    all.extend([
        identity("starts and links, nobody steals", identity::Bounds::HONEST),
        identity(
            "the same, and a standby takes over",
            identity::Bounds::TAKEN_OVER,
        ),
        identity("an incarnation key is copied", identity::Bounds::KEY_COPIED),
        identity(
            "an incarnation key is copied, long after a standby took over",
            identity::Bounds::KEY_COPIED_AFTER_A_FENCE,
        ),
        identity("a folder is copied", identity::Bounds::FOLDER_COPIED),
    ]);
    let streams = |name, bounds: line::Bounds| Scenario {
        name,
        subject: Subject::Streams(line::Bounds {
            asks: bounds.asks + more,
            ..bounds
        }),
        fails: None,
    };
    all.extend([
        streams("streams re-key, nobody steals", line::Bounds::HONEST),
        streams(
            "the consumer is copied inside a stream",
            line::Bounds::CONSUMER_COPIED,
        ),
        streams(
            "the producer is copied inside a stream",
            line::Bounds::PRODUCER_COPIED,
        ),
    ]);
    all.extend(controls());
    all.extend(stream_controls());
    all
}

/// The same of streams that re-key.
fn stream_controls() -> Vec<Scenario> {
    let streams = |name, bounds, fails| Scenario {
        name,
        subject: Subject::Streams(bounds),
        fails: Some(fails),
    };
    let silent = |bounds| line::Bounds {
        reports: false,
        ..bounds
    };
    vec![
        streams(
            "a copied consumer whose sub-tickets nobody reports",
            silent(line::Bounds::CONSUMER_COPIED),
            "no copy inside a stream is missed",
        ),
        streams(
            "a copied producer whose sub-receipts nobody reports",
            silent(line::Bounds::PRODUCER_COPIED),
            "no copy inside a stream is missed",
        ),
        streams(
            "a consumer's machine is put back inside a stream",
            line::Bounds {
                resumes: true,
                lossy_reports: false,
                ..line::Bounds::HONEST
            },
            "no honest run is a collision",
        ),
    ]
}

/// Each drops what is taken for granted, or plays out what must be found.
fn controls() -> Vec<Scenario> {
    let without = |name, bounds: Bounds, granted, fails| Scenario {
        name,
        subject: Subject::Lanes(Bounds { granted, ..bounds }),
        fails: Some(fails),
    };
    let identity = |name, bounds, fails| Scenario {
        name,
        subject: Subject::Identity(bounds),
        fails: Some(fails),
    };
    let resumes = Granted {
        never_resumes: false,
        ..Granted::ALL
    };
    let forgets = Granted {
        keeps_reports: false,
        ..Granted::ALL
    };
    let calm = Bounds {
        draws: 1,
        consumer_crashes: 0,
        producer_crashes: 0,
        lossy_reports: false,
        retires: false,
        ticks: 0,
        refusals: 0,
        ..Bounds::CRASHES
    };
    let refusing = Bounds {
        refusals: 1,
        ..calm
    };
    vec![
        without(
            "a producer's machine is put back",
            calm,
            resumes,
            "a ticket begins at most once",
        ),
        without(
            "the same, and it refuses",
            refusing,
            resumes,
            "a refused ticket never runs",
        ),
        without(
            "the same, and its receipt arrives",
            refusing,
            resumes,
            "receipts tell the truth",
        ),
        without(
            "a consumer's machine is put back",
            calm,
            resumes,
            "no honest run is a collision",
        ),
        without(
            "a freeze before the first byte",
            Bounds { ticks: 1, ..calm },
            Granted {
                never_freezes: false,
                ..Granted::ALL
            },
            "nothing begins after its time",
        ),
        without(
            "strangers that do hold the keys",
            Bounds::STRANGERS,
            Granted {
                keys_are_secret: false,
                ..Granted::ALL
            },
            "a lane is opened by both ends' keys",
        ),
        without(
            "a bundle given up without a last look",
            Bounds::STRICT,
            Granted {
                looks_last: false,
                ..Bounds::STRICT.granted
            },
            "no copy of the consumer is missed",
        ),
        without(
            "a bundle of a producer's that ends without a last look",
            Bounds::PRODUCER_COPIED,
            Granted {
                producer_looks_last: false,
                ..Granted::ALL
            },
            "no copy of the producer is missed",
        ),
        without(
            "a consumer that shows no receipt",
            Bounds::PRODUCER_COPIED,
            Granted {
                shows_receipts: false,
                ..Granted::ALL
            },
            "a finding is of the right side",
        ),
        without(
            "a producer's crash that forgets reports",
            Bounds {
                due_anyway: true,
                ..Bounds::CONSUMER_COPIED_AND_CRASHES
            },
            forgets,
            "no copy of the consumer is missed",
        ),
        without(
            "a consumer's crash that forgets reports",
            Bounds {
                due_anyway: true,
                ..Bounds::PRODUCER_COPIED_AND_CRASHES
            },
            forgets,
            "no copy of the producer is missed",
        ),
        identity(
            "a folder is put back",
            identity::Bounds {
                restores: true,
                ..identity::Bounds::HONEST
            },
            "no honest endpoint is accused",
        ),
        identity(
            "a key is copied, and a standby takes over",
            identity::Bounds {
                take_overs: 1,
                ..identity::Bounds::KEY_COPIED
            },
            "a chain is one holder's",
        ),
        identity(
            "the same, and its owner goes on",
            identity::Bounds {
                take_overs: 1,
                ..identity::Bounds::KEY_COPIED
            },
            "no copied key or folder is missed",
        ),
    ]
}

/// Goes through every state of a scenario; until a property fails, if one has to.
/// `progress` hears ten times a second how many there were so far.
pub fn check(scenario: &Scenario, threads: usize, progress: impl FnMut(Duration, usize)) -> Found {
    match scenario.subject {
        Subject::Lanes(bounds) => {
            let system = System::new(bounds);
            let lanes = system.lanes.clone();
            let found = explore(system, scenario.fails, threads, progress);
            Found {
                real: lanes.met(),
                ..found
            }
        }
        Subject::Streams(bounds) => {
            let streams = Streams::new(bounds);
            let lines = streams.lines.clone();
            let found = explore(streams, scenario.fails, threads, progress);
            Found {
                real: lines.met(),
                ..found
            }
        }
        Subject::Identity(bounds) => {
            let identity = Identity::new(bounds);
            let endpoints = identity.endpoints.clone();
            let found = explore(identity, scenario.fails, threads, progress);
            Found {
                real: endpoints.met(),
                ..found
            }
        }
    }
}

fn explore<M>(
    model: M,
    fails: Option<&'static str>,
    threads: usize,
    mut progress: impl FnMut(Duration, usize),
) -> Found
where
    M: Model<
            State: Clone + Debug + Eq + Hash + Send + Sync,
            Action: Clone + Debug + PartialEq + Send,
        > + Send
        + Sync
        + 'static,
    M::State: 'static,
{
    let since = Instant::now();
    let properties = model.properties();
    let enough = match fails {
        None => HasDiscoveries::AllFailures,
        Some(property) => HasDiscoveries::AllOf([property].into()),
    };
    let checker = model.checker().threads(threads).finish_when(enough);
    let checker = checker.spawn_bfs();
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(100));
        progress(since.elapsed(), checker.unique_state_count());
    }
    let checker = checker.join();
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
        real: (0, 0),
        held: properties.len() - broken.len(),
        broken,
        time: since.elapsed().as_secs_f64(),
    }
}
