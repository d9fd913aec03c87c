//! What parts have in common.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::fleet::{
    call::Call,
    figures::Findings,
    load::Load,
    stage::{Context, Fleet},
};

/// Calls before anything is counted: every producer's endpoint may have bundles by then.
pub async fn settle(context: &Context, load: &Load) {
    pass(context, load, "calls before", context.plan.settle).await;
}

/// Lets so many seconds of calls pass.
pub async fn pass(context: &Context, load: &Load, what: &str, seconds: u64) {
    context.progress.phase(&format!("{what}, {seconds} s"));
    for second in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        context.progress.detail(|| {
            let (ended, failed) = load.counts();
            format!("{what}, {second} of {seconds} s; {ended} calls, {failed} failed")
        });
    }
}

/// The calls that were under way or sent between two times.
pub fn between(calls: &[Call], from: Instant, to: Instant) -> Vec<Call> {
    let within = calls
        .iter()
        .filter(|call| call.over() >= from && call.began < to);
    within.cloned().collect()
}

/// Adds, for each way in which calls failed, how many did so.
pub fn tell_failures(part: &str, calls: &[Call], findings: &mut Findings) {
    let mut ways: BTreeMap<String, u64> = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.answered()) {
        let method = if call.safe { "GET" } else { "POST" };
        *ways.entry(format!("{method} {}", call.why())).or_default() += 1;
    }
    for (way, count) in ways {
        findings.row(format!("{part}: {way}"), count);
    }
}

/// The longest wait of these, in seconds.
pub fn longest(calls: &[Call]) -> f64 {
    let longest = calls.iter().map(|call| call.waited).max();
    longest.unwrap_or_default().as_secs_f64()
}

/// Calls that failed.
pub fn failed(calls: &[Call]) -> u64 {
    calls.iter().filter(|call| !call.answered()).count() as u64
}

/// Ends the calls and the fleet; the judgement goes to the findings.
pub async fn end(
    part: &str,
    fleet: Fleet,
    load: Load,
    context: &Context,
    findings: &mut Findings,
) -> anyhow::Result<Vec<Call>> {
    context.progress.phase("waits for the last calls");
    let calls = load.finish().await;
    fleet.end(part, &calls, findings).await?;
    Ok(calls)
}
