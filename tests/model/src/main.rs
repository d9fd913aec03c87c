//! Goes through every state of the models and prints what was found; fails if a
//! property does not hold, or one holds that needs the assumption that was dropped.

use std::process::ExitCode;

use armour_model::scenarios::{check, scenarios};
use clap::Parser;

#[derive(Parser)]
#[command(about, version)]
struct Options {
    /// So many tickets more than in the tests; each multiplies the states.
    #[arg(long, default_value_t = 1)]
    more: u8,
    /// Only scenarios whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    println!(
        "{:40} {:>10} {:>11} {:>6} {:>11} {:>9}  properties",
        "scenario", "states", "steps", "depth", "real lanes", "seconds"
    );
    let mut wrong = false;
    for scenario in scenarios(options.more) {
        if !scenario.name.contains(&options.only) {
            continue;
        }
        let mut told = 0;
        let found = check(&scenario, options.threads, |since, states| {
            if since.as_secs() / 10 > told {
                told = since.as_secs() / 10;
                eprintln!("    {}: {states} states in {told}0 s", scenario.name);
            }
        });
        let broken: Vec<&str> = found.broken.iter().map(|(name, _)| *name).collect();
        let outcome = match scenario.fails {
            None if broken.is_empty() => format!("{} of {0} hold", found.held),
            Some(expected) if broken.contains(&expected) => {
                format!("\"{expected}\" fails, as it must without the assumption")
            }
            _ => {
                wrong = true;
                format!("WRONG: {broken:?}")
            }
        };
        println!(
            "{:40} {:>10} {:>11} {:>6} {:>11} {:>9.1}  {outcome}",
            scenario.name, found.states, found.steps, found.depth, found.real.0, found.time
        );
        for (name, path) in &found.broken {
            println!("    {name}: {path}");
        }
    }
    match wrong {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
