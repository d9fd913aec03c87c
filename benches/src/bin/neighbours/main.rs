//! What one tenant can do to another: a tenant with a steady load, alone and beside one that
//! floods the control plane with calls, heartbeats and event streams, has a webhook's receiver
//! that hangs, and asks for long lists. The last line is JSON. Endpoints are simulated; sockets,
//! tokens, streams and deliveries are real. Load comes from a process of its own at the lowest
//! priority, so that what is measured is the service and not what attackers take of its machine.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

mod flood;
mod hostile;
mod load;
mod probes;
mod quiet;
mod receiver;
mod why;

use std::{os::unix::fs::PermissionsExt as _, process::ExitCode, time::Duration};

use armour_benches::service::{PLATFORM, control_plane_with};
use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use armour_e2e::process::free_port;
use clap::Parser;

use crate::{
    hostile::Hostile,
    load::{Generator, Load},
    probes::Probes,
    quiet::{Quiet, Seen},
};

#[derive(Parser)]
#[command(
    about = "One tenant beside a hostile one",
    after_long_help = "\
The last line is one JSON object, and the benchmark fails if a limit does not hold:
  p99_beside_of_alone  the p99 of the steady tenant's calls beside the hostile one, of its p99
                       alone: at most 2
  agents_refused       calls of its agents that failed beside the hostile one, or beside a flood of
                       30,000 calls a second without right credentials: 0
  probes_failed        probes of health and readiness that were not answered with 200 in a second: 0
  disconnect_ms        a disconnect by hand, once the hostile tenant has gone, with the superseded
                       bundles behind its pair; the median: below 100"
)]
struct Options {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Agents of the steady tenant; each makes two calls a second.
    #[arg(long, default_value_t = 60)]
    agents: usize,
    /// Superseded bundles of the steady tenant's pair.
    #[arg(long, default_value_t = 1_000_000)]
    superseded: usize,
    #[command(flatten)]
    hostile: hostile::Plan,
    #[command(flatten)]
    flood: flood::Rate,
    /// Be the process that load comes from.
    #[arg(long, hide = true)]
    generate: bool,
}

const RATIO: f64 = 2.0;
const DISCONNECT_MS: f64 = 100.0;
/// Before each phase.
const BEFORE: Duration = Duration::from_secs(2);
/// How often a disconnect is measured.
const ROUNDS: usize = 20;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if options.generate {
        load::generate().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = tempfile::Builder::new().prefix("armour-bench").tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
    let postgres = Postgres::start(&dir.path().join("postgres"), free_port()?).await?;
    // All limits are the default ones: they are what is measured.
    let environment = vec![("ARMOUR_EGRESS_ALLOW_WEBHOOKS", "127.0.0.0/8".to_owned())];
    let (_process, base) =
        control_plane_with(dir.path(), "log", &postgres.urls(), environment).await?;
    let platform = Client::new(&base, PLATFORM)?;
    eprintln!("enrols {} agents", options.agents);
    let mut quiet = Quiet::begin(&base, &platform, options.agents).await?;
    quiet.supersede(&postgres, options.superseded).await?;
    let hostile = Hostile::begin(&base, &platform, &postgres, &options.hostile).await?;
    let mut attack = Generator::start(&Load::Hostile(hostile.orders)).await?;
    let phase = Duration::from_secs(options.seconds);

    // What is first asked for is not in any memory yet, nor has PostgreSQL counted any rows, which
    // it does each minute.
    quiet.live(BEFORE).await;
    postgres.sql_in("armour", "ANALYZE").await?;
    eprintln!("alone, {} s", options.seconds);
    let alone = quiet.live(phase).await;
    eprintln!("beside the hostile tenant, {} s", options.seconds);
    let probes = Probes::start(&base)?;
    attack.begin().await?;
    // What is to be seen is not how it begins.
    tokio::time::sleep(BEFORE).await;
    let beside = quiet.live(phase).await;
    let hostile: hostile::Outcome = attack.end().await?;
    let mut probes_failed = probes.end().await;
    let (mut flooded, mut flood) = (Seen::default(), None);
    if options.flood.is_any() {
        eprintln!("beside a flood, {} s", options.seconds);
        let probes = Probes::start(&base)?;
        let mut calls = Generator::start(&Load::Flood(flood::Orders {
            base: base.clone(),
            rate: options.flood.clone(),
        }))
        .await?;
        calls.begin().await?;
        tokio::time::sleep(BEFORE).await;
        flooded = quiet.live(phase).await;
        flood = Some(calls.end::<flood::Outcome>().await?);
        probes_failed += probes.end().await;
    }
    eprintln!("disconnects by hand");
    let disconnect_ms = quiet.disconnect_ms(ROUNDS).await?;

    let ratio = beside.p99() / alone.p99();
    let rows = [
        ("calls alone", alone.count().to_string()),
        ("failed alone", alone.failed.to_string()),
        ("calls beside", beside.count().to_string()),
        (
            "agents' calls that failed beside",
            beside.failed.to_string(),
        ),
        ("webhooks told alone", alone.told()),
        ("webhooks told beside", beside.told()),
        (
            "the hostile one's calls, served",
            hostile.served.to_string(),
        ),
        (
            "the hostile one's calls, refused",
            hostile.refused.values().sum::<u64>().to_string(),
        ),
        ("its event streams, at most", hostile.streams.to_string()),
    ];
    for (name, value) in rows {
        println!("{name:34} {value:>26}");
    }
    for (why, count) in &hostile.refused {
        println!("  {why}: {count}");
    }
    if let Some(flood) = flood {
        let rows = [
            ("calls of the flood, offered", flood.offered.to_string()),
            ("of them answered", flood.answered.to_string()),
            ("of them with 429", flood.refused.to_string()),
            ("calls beside the flood", flooded.count().to_string()),
            ("agents' calls that failed", flooded.failed.to_string()),
        ];
        for (name, value) in rows {
            println!("{name:34} {value:>26}");
        }
    }
    for (when, seen) in [
        ("alone", &alone),
        ("beside", &beside),
        ("beside the flood", &flooded),
    ] {
        for (kind, times) in seen.percentiles() {
            println!("{:34} {times:>26}", format!("p50, p99 {when}, {kind}"));
        }
    }
    let agents_refused = beside.failed + flooded.failed;
    for (why, count) in beside.why.iter().chain(&alone.why).chain(&flooded.why) {
        println!("  {why}: {count}");
    }
    println!(
        "{}",
        serde_json::json!({
            "p99_beside_of_alone": ratio,
            "agents_refused": agents_refused,
            "probes_failed": probes_failed,
            "disconnect_ms": disconnect_ms,
            "superseded": options.superseded,
        })
    );
    let holds = ratio <= RATIO
        && agents_refused == 0
        && probes_failed == 0
        && disconnect_ms < DISCONNECT_MS
        && beside.all_told();
    Ok(match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
