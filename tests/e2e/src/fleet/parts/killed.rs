//! A producer's agent is killed under calls.

use std::time::Instant;

use super::steps::{between, end, longest, pass, settle, tell_failures};
use crate::fleet::{
    figures::Findings,
    stage::{Context, Fleet, Shape},
};

const LONGEST_WAIT: f64 = 1.0;

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(context, Shape::usual(&context.plan)).await?;
    let load = fleet.load(&context.plan)?;
    let since = Instant::now();
    settle(context, &load).await;
    let victim = busiest(&fleet, since);
    let killed = Instant::now();
    fleet.producers[victim].agent.process.kill().await?;
    pass(context, &load, "a producer is killed", context.plan.killed).await;
    let shares = fleet.shares(killed, Instant::now());
    let calls = end("killed", fleet, load, context, findings).await?;
    let after = between(&calls, killed, Instant::now());
    tell_failures("killed", &after, findings);
    findings.row(
        "killed: calls of each producer since",
        format!("{shares:?}"),
    );
    let safe = after.iter().filter(|call| call.safe && !call.answered());
    let safe_failed = safe.count() as u64;
    let untold = after.iter().filter(|call| !call.told()).count();
    let posts = after.iter().filter(|call| !call.safe && !call.answered());
    findings.row("killed: POSTs that failed", posts.count());
    let longest = longest(&after);
    findings.figures.killed_safe_failed = Some(safe_failed);
    findings.figures.killed_longest_wait_seconds = Some(longest);
    findings.row("killed: longest wait, seconds", format!("{longest:.3}"));
    findings.holds(safe_failed == 0, || {
        format!("killed: {safe_failed} GETs failed")
    });
    findings.holds(untold == 0, || {
        format!("killed: {untold} calls failed and nothing says whether they ran")
    });
    findings.holds(longest < LONGEST_WAIT, || {
        format!("killed: a caller waited {longest:.2} s, {LONGEST_WAIT} at most")
    });
    Ok(())
}

/// The producer that has most calls: whoever uses one only is to lose that one.
pub fn busiest(fleet: &Fleet, since: Instant) -> usize {
    let shares = fleet.shares(since, Instant::now());
    let most = shares.iter().enumerate().max_by_key(|(_, share)| **share);
    most.map_or(0, |(place, _)| place)
}
