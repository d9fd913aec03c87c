//! The control plane is away: for less than the lease, then for more.

use std::time::{Duration, Instant};

use super::steps::{between, end, failed, pass, settle, tell_failures};
use crate::fleet::{
    call::{Call, End},
    figures::Findings,
    load::Load,
    stage::{Context, Fleet, Shape},
};

const LIMIT: f64 = 2.0;
/// The lease runs from the last contact: a heartbeat's interval before, and a moment.
const SLACK: Duration = Duration::from_secs(2);

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let mut shape = Shape::usual(&context.plan);
    shape.policy.lease_ms = u32::try_from(context.plan.lease * 1_000)?;
    let mut fleet = Fleet::start(context, shape).await?;
    let load = fleet.load(&context.plan)?;
    settle(context, &load).await;
    let short = away(context, &mut fleet, &load, context.plan.short_outage).await?;
    settle(context, &load).await;
    let short_over = Instant::now();
    let long = away(context, &mut fleet, &load, context.plan.long_outage).await?;
    pass(context, &load, "calls after", context.plan.steady).await;
    let calls = end("outage", fleet, load, context, findings).await?;

    let during = between(&calls, short.gone, short_over);
    tell_failures("outage, short", &during, findings);
    let count = failed(&during);
    findings.figures.outage_60_failed = Some(count);
    findings.holds(count == 0, || {
        format!("outage: {count} calls failed though the lease had not ended")
    });

    let during = between(&calls, long.gone, Instant::now());
    tell_failures("outage, long", &during, findings);
    let leased = long.gone + Duration::from_secs(context.plan.lease) + SLACK;
    judge_lease(&during, leased, long.back, findings);
    let last = during
        .iter()
        .filter(|call| !call.answered())
        .map(Call::over);
    let recovered = last.max().map_or(0.0, |last| {
        last.saturating_duration_since(long.back).as_secs_f64()
    });
    findings.figures.outage_150_recovered_seconds = Some(recovered);
    findings.row(
        "outage, long: recovered, seconds",
        format!("{recovered:.2}"),
    );
    findings.holds(recovered <= LIMIT, || {
        format!("outage: calls failed until {recovered:.1} s after it, {LIMIT} at most")
    });
    Ok(())
}

/// Once the lease has ended calls are refused by that name, and none is served.
fn judge_lease(during: &[Call], leased: Instant, back: Instant, findings: &mut Findings) {
    let past: Vec<&Call> = during
        .iter()
        .filter(|call| call.began > leased && call.over() < back)
        .collect();
    let served = past.iter().filter(|call| call.answered()).count();
    let named = |call: &&&Call| matches!(&call.end, End::Refused { problem, ran } if problem == "lease-expired" && ran.as_deref() == Some("no"));
    let refused = past.iter().filter(named).count();
    findings.row("outage, long: refused past the lease", refused);
    findings.holds(served == 0, || {
        format!("outage: {served} calls were served past the lease")
    });
    findings.holds(refused > 0 && refused + served == past.len(), || {
        let others = past.len() - served - refused;
        format!("outage: past the lease {others} calls failed by another name than lease-expired")
    });
}

/// When the control plane went, and when it served again.
struct Away {
    gone: Instant,
    back: Instant,
}

async fn away(
    context: &Context,
    fleet: &mut Fleet,
    load: &Load,
    seconds: u64,
) -> anyhow::Result<Away> {
    let gone = Instant::now();
    fleet.control_plane.kill().await?;
    pass(context, load, "the control plane is away", seconds).await;
    fleet.control_plane.start_again()?;
    fleet.until_control().await?;
    let back = Instant::now();
    Ok(Away { gone, back })
}
