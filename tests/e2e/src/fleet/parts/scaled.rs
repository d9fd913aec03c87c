//! Many agents start together.

use std::time::{Duration, Instant};

use super::steps::{end, pass};
use crate::fleet::{
    figures::Findings,
    load::Load,
    stage::{Context, Fleet, Shape},
};

const LIMIT: f64 = 15.0;
/// How long it is waited for whoever does not serve.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a producer may have at least and at most of an equal share.
const SHARES: (f64, f64) = (0.5, 2.0);

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let plan = &context.plan;
    let shape = Shape {
        producers: 0,
        consumers: 1,
        endpoints: 0,
        ..Shape::usual(plan)
    };
    let mut fleet = Fleet::without_agents(context, shape).await?;
    context.progress.phase("starts all agents");
    let between = Duration::from_secs(plan.scaled_within) / (2 * plan.scaled.max(1)) as u32;
    let mut due = tokio::time::interval(between.max(Duration::from_millis(1)));
    let since = Instant::now();
    for _ in 0..plan.scaled {
        due.tick().await;
        let producer = fleet.start_producer().await?;
        fleet.producers.push(producer);
        due.tick().await;
        let consumer = fleet.start_consumer(0).await?;
        fleet.consumers.push(consumer);
    }
    let started = since.elapsed().as_secs_f64();
    findings.row(
        "scaled: all were started after, seconds",
        format!("{started:.1}"),
    );
    context.progress.phase("waits until all serve");
    let mut served = vec![false; fleet.consumers.len()];
    let mut serving = Duration::ZERO;
    while served.contains(&false) && since.elapsed() < PATIENCE {
        let asked = fleet.consumers.iter().map(|consumer| {
            let url = format!("{}/ready", consumer.agent.base());
            let asked = fleet.http.get(url).timeout(Duration::from_secs(2)).send();
            async { asked.await.is_ok_and(|answer| answer.status().is_success()) }
        });
        for (served, now) in served
            .iter_mut()
            .zip(futures::future::join_all(asked).await)
        {
            *served |= now;
        }
        serving = since.elapsed();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let not_served = served.iter().filter(|served| !**served).count();
    findings.holds(not_served == 0, || {
        format!("scaled: {not_served} consumers' endpoints are not served")
    });
    let load = fleet.load(plan)?;
    let all = until_all_serve(context, &fleet, &load, since).await;
    let seconds = all.map_or(f64::INFINITY, |all| all.max(serving).as_secs_f64());
    settle_and_share(context, &fleet, &load, findings).await;
    let calls = end("scaled", fleet, load, context, findings).await?;
    super::steps::tell_failures("scaled", &calls, findings);
    let failed = super::steps::failed(&calls);
    findings.figures.scaled_seconds = Some(seconds);
    findings.row("scaled: all serve after, seconds", format!("{seconds:.1}"));
    findings.holds(seconds <= LIMIT, || {
        format!("scaled: all serve after {seconds:.1} s, {LIMIT} at most")
    });
    findings.holds(failed == 0, || {
        format!("scaled: {failed} calls failed once all consumers' endpoints were served")
    });
    Ok(())
}

/// When each producer's API has been called; none if one never is.
async fn until_all_serve(
    context: &Context,
    fleet: &Fleet,
    load: &Load,
    since: Instant,
) -> Option<Duration> {
    while since.elapsed() < PATIENCE {
        let called = fleet.shares(since, Instant::now());
        let called = called.iter().filter(|share| **share > 0).count();
        if called == fleet.producers.len() {
            return Some(since.elapsed());
        }
        context.progress.detail(|| {
            let (ended, _) = load.counts();
            format!("{called} producers have been called; {ended} calls")
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// What each producer has of an equal share.
async fn settle_and_share(context: &Context, fleet: &Fleet, load: &Load, findings: &mut Findings) {
    pass(context, load, "calls before", context.plan.settle).await;
    let from = Instant::now();
    pass(context, load, "calls", context.plan.steady).await;
    let shares = fleet.shares(from, Instant::now());
    let mean = shares.iter().sum::<u64>() as f64 / shares.len().max(1) as f64;
    let of_mean = |share: Option<&u64>| *share.unwrap_or(&0) as f64 / mean.max(f64::MIN_POSITIVE);
    let (least, most) = (of_mean(shares.iter().min()), of_mean(shares.iter().max()));
    findings.row("scaled: least of an equal share", format!("{least:.2}"));
    findings.row("scaled: most of an equal share", format!("{most:.2}"));
    findings.holds(least >= SHARES.0 && most <= SHARES.1, || {
        format!(
            "scaled: producers have {least:.2} to {most:.2} of an equal share, \
             {} to {} are allowed",
            SHARES.0, SHARES.1
        )
    });
}
