//! A producer's API is late, then another's fails at once: neither may attract calls.

use std::time::{Duration, Instant};

use super::{
    killed::busiest,
    steps::{end, pass, settle},
};
use crate::fleet::{
    api::Manner,
    figures::Findings,
    stage::{Context, Fleet, Shape},
};

const LIMIT: f64 = 0.05;

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let fleet = Fleet::start(context, Shape::usual(&context.plan)).await?;
    let load = fleet.load(&context.plan)?;
    let late = Manner::Late(Duration::from_secs(context.plan.late_by));
    let mut worst: f64 = 0.0;
    let mut since = Instant::now();
    settle(context, &load).await;
    for (manner, what) in [
        (late, "a late API"),
        (Manner::Failing, "an API that fails at once"),
    ] {
        // Whoever uses one producer only is to notice.
        let victim = busiest(&fleet, since);
        let from = Instant::now();
        fleet.producers[victim].api.behave(manner);
        pass(context, &load, what, context.plan.failing).await;
        let shares = fleet.shares(from, Instant::now());
        fleet.producers[victim].api.behave(Manner::Well);
        let all = shares.iter().sum::<u64>().max(1);
        let share = shares[victim] as f64 / all as f64;
        findings.row(
            format!("failing: {what}, calls of each"),
            format!("{shares:?}"),
        );
        findings.row(format!("failing: {what}, its share"), format!("{share:.3}"));
        worst = worst.max(share);
        since = Instant::now();
        settle(context, &load).await;
    }
    let calls = end("failing", fleet, load, context, findings).await?;
    super::steps::tell_failures("failing", &calls, findings);
    let failed = super::steps::failed(&calls);
    findings.figures.failing_producer_share = Some(worst);
    findings.holds(worst <= LIMIT, || {
        format!("failing: {worst:.2} of the calls reached a producer that fails, {LIMIT} at most")
    });
    findings.holds(failed == 0, || {
        format!("failing: agents refused {failed} calls, though two producers serve")
    });
    Ok(())
}
