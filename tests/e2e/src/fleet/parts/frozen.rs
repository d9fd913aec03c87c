//! A producer falls silent and nothing tells so: its network swallows what is sent, then its
//! process stands still.

use std::time::Instant;

use rustix::process::Signal;

use super::{
    killed::busiest,
    steps::{between, end, pass, settle, tell_failures},
};
use crate::{
    fleet::{
        call::Call,
        figures::Findings,
        stage::{Context, Fleet, Shape},
    },
    network::Host,
};

const LIMIT: f64 = 3.0;

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let shape = Shape {
        apart: armour_cli::servers::user::is_root(),
        ..Shape::usual(&context.plan)
    };
    let fleet = Fleet::start(context, shape).await?;
    let load = fleet.load(&context.plan)?;
    let mut faults = Vec::new();
    let since = Instant::now();
    settle(context, &load).await;
    match fleet.network.clone() {
        Some(network) => {
            let victim = busiest(&fleet, since);
            let begun = Instant::now();
            network.isolate(Host::Member(victim), true)?;
            pass(context, &load, "a network swallows", context.plan.frozen).await;
            network.isolate(Host::Member(victim), false)?;
            settle(context, &load).await;
            faults.push(("black hole", begun, Instant::now(), victim));
        }
        None => findings.fault("frozen: no network was cut, which needs root"),
    }
    let since = Instant::now();
    settle(context, &load).await;
    let victim = busiest(&fleet, since);
    let begun = Instant::now();
    fleet.producers[victim].agent.process.signal(Signal::STOP)?;
    pass(
        context,
        &load,
        "a process stands still",
        context.plan.frozen,
    )
    .await;
    fleet.producers[victim].agent.process.signal(Signal::CONT)?;
    settle(context, &load).await;
    faults.push(("stopped process", begun, Instant::now(), victim));
    let shares: Vec<_> = faults
        .iter()
        .map(|(_, from, to, _)| fleet.shares(*from, *to))
        .collect();
    let calls = end("frozen", fleet, load, context, findings).await?;
    let mut recovered: f64 = 0.0;
    for ((what, begun, over, victim), shares) in faults.into_iter().zip(shares) {
        let part = format!("frozen: {what}");
        let during = between(&calls, begun, over);
        tell_failures(&part, &during, findings);
        let safe = during.iter().filter(|call| call.safe && !call.answered());
        let safe_failed = safe.count();
        let untold = during.iter().filter(|call| !call.told()).count();
        let after = until_last(&during, begun);
        findings.row(
            format!("{part}: producer {victim}'s, calls of each"),
            format!("{shares:?}"),
        );
        findings.row(format!("{part}: recovered, seconds"), format!("{after:.3}"));
        findings.holds(safe_failed == 0, || {
            format!("{part}: {safe_failed} GETs failed")
        });
        findings.holds(untold == 0, || {
            format!("{part}: {untold} calls failed and nothing says whether they ran")
        });
        recovered = recovered.max(after);
    }
    findings.figures.frozen_recovered_seconds = Some(recovered);
    findings.holds(recovered <= LIMIT, || {
        format!("frozen: calls suffered until {recovered:.1} s after, {LIMIT} at most")
    });
    Ok(())
}

/// Seconds until the last call was over that failed or kept its caller waiting.
fn until_last(calls: &[Call], begun: Instant) -> f64 {
    let suffered = calls.iter().filter(|call| call.suffered());
    let last = suffered.map(Call::over).max();
    last.map_or(0.0, |last| {
        last.saturating_duration_since(begun).as_secs_f64()
    })
}
