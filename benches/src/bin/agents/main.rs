//! wrk through both agents to nginx, against nginx to nginx with mutual TLS, in one
//! run; the memory that lanes take, and what the hop to the enclave costs.

mod peer;
mod wrk;

use std::{path::Path, time::Duration};

use armour_api::Policy;
use armour_e2e::{
    process::program,
    system::{Setup, System},
};
use armour_enclave::Enclave;
use armour_protocol_benches::{Contestant, Race};

use crate::{
    peer::{Form, Mtls},
    wrk::{Run, wrk},
};

const TIME: Duration = Duration::from_secs(4);
const CONNECTIONS: [usize; 3] = [1, 16, 256];
const FILES: [(&str, usize); 3] = [("0 B", 0), ("1 KiB", 1 << 10), ("1 MiB", 1 << 20)];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let setup = Setup {
        // As many lanes as a bundle can have; all else is the default.
        policy: Policy {
            max_lanes: 1024,
            ..Policy::default()
        },
        agents_log: "warn",
        direct: true,
        ..Setup::default()
    };
    let system = System::set_up(setup).await?;
    for (name, size) in FILES {
        std::fs::write(system.nginx.www().join(file(name)), vec![b'x'; size])?;
    }
    let upstream = format!("127.0.0.1:{}", system.upstream);
    let at = system.folder().to_owned();
    let kept = Mtls::start(&at.join("kept"), &upstream, Form::KeptAlive).await?;
    let fresh = Mtls::start(&at.join("fresh"), &upstream, Form::Handshakes).await?;
    println!("requests a second, {} s each\n", TIME.as_secs());
    println!(
        "{:>6} {:>6} {:>9} {:>10} {:>11} {:>9} {:>11} {:>10} {:>10}",
        "body",
        "conns",
        "agents",
        "kept-alive",
        "handshakes",
        "of kept",
        "of handsh.",
        "p50, ms",
        "p99, ms"
    );
    for (name, _) in FILES {
        for connections in CONNECTIONS {
            let of = async |base: &str| -> anyhow::Result<Run> {
                let url = format!("{base}/{}", file(name));
                wrk(&url, connections, Duration::from_secs(1)).await?;
                wrk(&url, connections, TIME).await
            };
            let agents = of(&system.base).await?;
            let (kept, fresh) = (of(&kept.base).await?, of(&fresh.base).await?);
            println!(
                "{name:>6} {connections:>6} {:>9.0} {:>10.0} {:>11.0} {:>9.2} {:>11.2} {:>10} {:>10}",
                agents.rate,
                kept.rate,
                fresh.rate,
                agents.rate / kept.rate,
                agents.rate / fresh.rate,
                format!("{:.1} {:+.1}", agents.p50, agents.p50 - kept.p50),
                format!("{:.1} {:+.1}", agents.p99, agents.p99 - kept.p99),
            );
        }
    }
    println!("(latencies of the agents, and how much more that is than kept alive)\n");
    lanes(&system).await?;
    hop(&at).await
}

fn file(name: &str) -> String {
    name.replace(' ', "-")
}

/// What lanes take while nothing goes on.
async fn lanes(system: &System) -> anyhow::Result<()> {
    let counted = async || -> anyhow::Result<u64> {
        let count = system
            .postgres
            .sql_in("armour", "SELECT count(*) FROM lanes");
        Ok(count.await?.trim().parse()?)
    };
    let memory = || -> anyhow::Result<(u64, u64)> {
        Ok((system.consumer.memory()?, system.producer.memory()?))
    };
    let settle = Duration::from_secs(3);
    tokio::time::sleep(settle).await;
    let (lanes, (consumer, producer)) = (counted().await?, memory()?);
    wrk(&format!("{}/{}", system.base, file("0 B")), 1000, TIME).await?;
    tokio::time::sleep(settle).await;
    let (lanes_after, (consumer_after, producer_after)) = (counted().await?, memory()?);
    let more = lanes_after.saturating_sub(lanes).max(1) as f64;
    let each = |before: u64, after: u64| (after as f64 - before as f64) / more / 1024.0;
    println!(
        "memory of 1,000 lanes: consumer {:.1} MiB, producer {:.1} MiB ({lanes} lanes, then {lanes_after}; \
         all of it {:.0} and {:.0} MiB)",
        each(consumer, consumer_after) * 1000.0 / 1024.0,
        each(producer, producer_after) * 1000.0 / 1024.0,
        consumer_after as f64 / f64::from(1 << 20),
        producer_after as f64 / f64::from(1 << 20),
    );
    Ok(())
}

/// The way to the enclave and back, with a call that does next to nothing.
async fn hop(at: &Path) -> anyhow::Result<()> {
    let (enclave, _child) = Enclave::start(&program("armour-agent")?, &at.join("hop-keys"), None)?;
    let runtime = tokio::runtime::Handle::current();
    let race = tokio::task::spawn_blocking(move || {
        let mut contestants: Vec<Contestant<'_>> = vec![(
            "hop",
            Box::new(|| {
                if let Err(error) = runtime.block_on(enclave.identity()) {
                    eprintln!("{error}");
                    std::process::exit(1);
                }
            }),
        )];
        Race::run(&mut contestants, 9, Duration::from_millis(200))
    });
    let race = race.await?;
    let (least, most) = race.spread("hop");
    println!(
        "a call to the enclave and back: {:.1} µs ({least:.1} to {most:.1})",
        race.median("hop")
    );
    Ok(())
}
