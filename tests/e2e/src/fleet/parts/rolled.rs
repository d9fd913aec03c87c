//! Producers and consumers are replaced one by one, as a Deployment with one more at a time does:
//! the new one starts, says that it is ready, and the old one gets SIGTERM.

use std::time::Duration;

use super::steps::{end, failed, pass, settle, tell_failures};
use crate::fleet::{
    figures::Findings,
    left,
    load::Load,
    stage::{Context, Fleet, Shape},
};

/// How long an application's last calls are being sent.
const LAST_CALLS: Duration = Duration::from_millis(100);

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(context, Shape::usual(&context.plan)).await?;
    let load = fleet.load(&context.plan)?;
    settle(context, &load).await;
    for roll in 1..=context.plan.rolls {
        for place in 0..fleet.producers.len() {
            context
                .progress
                .phase(&format!("roll {roll}: producer {place}"));
            producer(&mut fleet, place).await?;
        }
        pass(context, &load, "calls", context.plan.settle).await;
    }
    for roll in 1..=context.plan.rolls {
        for place in 0..fleet.consumers.len() {
            context
                .progress
                .phase(&format!("roll {roll}: consumer {place}"));
            consumer(&mut fleet, &load, place).await?;
        }
        pass(context, &load, "calls", context.plan.settle).await;
    }
    context.progress.phase("looks for what is left behind");
    let left = left::behind(&fleet).await?;
    let calls = end("rolled", fleet, load, context, findings).await?;
    tell_failures("rolled", &calls, findings);
    let failed = failed(&calls);
    findings.figures.rolled_failed = Some(failed);
    findings.figures.left_behind = Some(left.len() as u64);
    findings.row(
        "rolled: longest wait, seconds",
        format!("{:.3}", super::steps::longest(&calls)),
    );
    findings.holds(failed == 0, || format!("rolled: {failed} calls failed"));
    for sentence in left {
        findings.fault(format!("rolled: {sentence}"));
    }
    Ok(())
}

async fn producer(fleet: &mut Fleet, place: usize) -> anyhow::Result<()> {
    let new = fleet.start_producer().await?;
    new.agent.until_ready(&fleet.http).await?;
    let mut old = std::mem::replace(&mut fleet.producers[place], new);
    old.agent.process.stop().await?;
    fleet.gone.push(old.api);
    Ok(())
}

/// Its application goes before it: the new one's calls go to the new agent, and those that the old
/// one has made come to their end.
async fn consumer(fleet: &mut Fleet, load: &Load, place: usize) -> anyhow::Result<()> {
    let new = fleet.start_consumer(fleet.consumers[place].party).await?;
    new.agent.until_ready(&fleet.http).await?;
    load.retarget(place, &new.agent.base());
    let mut old = std::mem::replace(&mut fleet.consumers[place], new);
    tokio::time::sleep(LAST_CALLS).await;
    old.agent.process.stop().await
}
