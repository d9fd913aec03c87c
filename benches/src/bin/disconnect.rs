//! How soon everybody refuses: a thousand endpoints of one pair hold their event
//! streams open at two replicas, and from the moment that a second successor of a
//! ticket is reported to one of them it is measured when each has heard that the pair
//! is disconnected. Endpoints are simulated; sockets, tokens and streams are real.
//!
//! Then the pair is disconnected by hand, with as many superseded bundles behind it as a large
//! tenant has after years: it must cost no more than without them. The last line is JSON.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use armour_api::{NewPair, Policy, ReportVerdict, Role};
use armour_benches::{
    by_hand::ByHand,
    service::{Endpoint, PLATFORM, control_plane, enrol, report, serving_producer},
};
use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use armour_e2e::process::free_port;
use armour_protocol::v2::{body::BodyHash, ledger::Run};
use clap::Parser;
use futures::StreamExt;
use tokio::sync::mpsc;
use uuid::Uuid;

#[derive(Parser)]
#[command(about = "From the second ticket's arrival to the last endpoint's refusal")]
struct Options {
    /// Endpoints that listen.
    #[arg(long, default_value_t = 1000)]
    endpoints: usize,
    /// How often the pair is re-armed and disconnected again.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Superseded bundles of the pair, of a year.
    #[arg(long, default_value_t = 1_000_000)]
    superseded: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let dir = tempfile::Builder::new().prefix("armour-bench").tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
    let postgres = Postgres::start(&dir.path().join("postgres"), free_port()?).await?;
    let (first, here) = control_plane(dir.path(), "log-1", &postgres.urls()).await?;
    let (second, there) = control_plane(dir.path(), "log-2", &postgres.urls()).await?;
    let operator = Client::new(&here, PLATFORM)?;
    let operator = operator.with_token(operator.create_tenant("bench").await?.token);
    let consumer = operator.create_party(Role::Consumer, "consumer").await?;
    let producer = operator.create_party(Role::Producer, "producer").await?;
    let pair = operator
        .create_pair(&NewPair {
            consumer_id: consumer.id,
            producer_id: producer.id,
            policy: Policy::default(),
        })
        .await?;
    let _serves = serving_producer(&here, &operator, producer.id).await?;
    let mut endpoints = Vec::new();
    for place in 0..options.endpoints {
        let base = if place % 2 == 0 { &here } else { &there };
        endpoints.push(enrol(base, &operator, Role::Consumer, consumer.id).await?);
        progress("enrolled", place + 1, options.endpoints);
    }
    let before = (first.memory()?, second.memory()?);
    let (heard, mut hears) = mpsc::unbounded_channel();
    for (place, endpoint) in endpoints.iter().enumerate() {
        let mut events = endpoint.client.events("/v1/endpoint/events", None).await?;
        let heard = heard.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // What makes an agent refuse (its pair's end is its bundle's).
                if event.kind == "pair.disconnected" {
                    let _over = heard.send((place, Instant::now()));
                }
            }
        });
        progress("connected", place + 1, options.endpoints);
    }
    let streams = (first.memory()? + second.memory()?) as f64 - (before.0 + before.1) as f64;
    println!(
        "{} streams at two replicas, {:.1} KiB of memory each",
        endpoints.len(),
        streams / endpoints.len() as f64 / 1024.0
    );
    let mut lasts = Vec::new();
    let mut all = Vec::new();
    for round in 0..options.rounds {
        // A collision ends its identity, so each round has another.
        let mut thief = enrol(&here, &operator, Role::Consumer, consumer.id).await?;
        let since = fork(&mut thief, pair.id).await?;
        let mut latest = since;
        for _ in 0..endpoints.len() {
            let wait = tokio::time::timeout(Duration::from_secs(20), hears.recv());
            let (_, at) = wait
                .await
                .context("an endpoint has not heard")?
                .context("streams")?;
            all.push(at - since);
            latest = latest.max(at);
        }
        lasts.push(latest - since);
        operator.re_arm(pair.id, "the benchmark").await?;
        // Whatever still goes on after a round is not part of the next.
        tokio::time::sleep(Duration::from_millis(500)).await;
        progress("disconnected", round + 1, options.rounds);
    }
    let line = |name: &str, times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |share: f64| {
            times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3
        };
        println!(
            "{name:18} p50 {:>4.0} ms, p99 {:>4.0} ms, most {:>4.0} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    };
    println!("from the second ticket on, {} rounds:", options.rounds);
    line("an endpoint hears", &mut all);
    line("the last hears", &mut lasts);
    println!("(goal: p99 of the last at most 250 ms)");
    let mut by_hand = ByHand {
        operator: operator.clone(),
        endpoint: enrol(&here, &operator, Role::Consumer, consumer.id).await?,
        pair: pair.id,
    };
    let alone = by_hand.median(options.rounds).await?;
    by_hand.supersede(&postgres, options.superseded).await?;
    let after = by_hand.median(options.rounds).await?;
    println!(
        "by hand, {} superseded bundles behind the pair: {after:.1} ms",
        options.superseded
    );
    println!(
        "{}",
        serde_json::json!({
            "superseded": options.superseded,
            "disconnect_ms": after,
            "disconnect_without_ms": alone,
            "ratio": after / alone,
        })
    );
    Ok(())
}

/// Has an endpoint of its own report two tickets in one place: when the second was sent.
async fn fork(thief: &mut Endpoint, pair: Uuid) -> anyhow::Result<Instant> {
    let drawn = thief.draw(pair).await?;
    let key = thief.signer()?;
    let opening = BodyHash::opening(&drawn.context, 0);
    let mut since = Instant::now();
    for (rest, expected) in [
        ([1; 32], ReportVerdict::Accepted),
        ([2; 32], ReportVerdict::Collision),
    ] {
        let run = Run::signed(&drawn.context, 0, 0, opening, vec![rest], (&*key, &*key));
        let report = report(drawn.id, &run.context("a run")?);
        since = Instant::now();
        let verdicts = thief.client.report(vec![report]).await?;
        ensure!(verdicts == [expected], "{verdicts:?}");
    }
    Ok(since)
}

/// On a terminal only.
fn progress(what: &str, done: usize, of: usize) {
    use std::io::{IsTerminal as _, Write as _};
    if std::io::stderr().is_terminal() {
        eprint!("\r{what} {done} of {of} ");
        let _shown = std::io::stderr().flush();
    }
}
