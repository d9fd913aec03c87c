//! The control plane is away from pairs that record each ticket before its call: callers are told
//! so in time.

use std::time::{Duration, Instant};

use armour_api::Reporting;

use super::steps::{between, end, longest, pass, settle, tell_failures};
use crate::fleet::{
    call::{Call, End},
    figures::Findings,
    stage::{Context, Fleet, Shape},
};

/// What a caller's wait may be longer than the agent's patience.
const SLACK: Duration = Duration::from_secs(1);
const MAX_PATIENCE: u64 = 5;

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let mut shape = Shape::usual(&context.plan);
    shape.policy.reporting = Reporting::Strict;
    shape.patience = Duration::from_secs(context.plan.retry_for.min(MAX_PATIENCE));
    let patience = shape.patience;
    let mut fleet = Fleet::start(context, shape).await?;
    let load = fleet.load(&context.plan)?;
    settle(context, &load).await;
    let gone = Instant::now();
    fleet.control_plane.kill().await?;
    let away = 3 * patience.as_secs();
    pass(context, &load, "the control plane is away", away).await;
    fleet.control_plane.start_again()?;
    fleet.until_control().await?;
    let back = Instant::now();
    settle(context, &load).await;
    let calls = end("strict", fleet, load, context, findings).await?;
    let during = between(&calls, gone, back);
    tell_failures("strict", &during, findings);
    let longest = longest(&during);
    findings.row("strict: longest wait, seconds", format!("{longest:.2}"));
    let sent_then = during
        .iter()
        .filter(|call| call.began >= gone && call.over() < back);
    let refused = |call: &&Call| matches!(call.end, End::Refused { .. });
    let count = sent_then.clone().filter(refused).count();
    let others = sent_then.filter(|call| !refused(call)).count();
    findings.row("strict: refused", count);
    findings.holds(count > 0 && others == 0, || {
        format!("strict: {others} calls were not refused by a problem, {count} were")
    });
    findings.holds(longest <= (patience + SLACK).as_secs_f64(), || {
        format!(
            "strict: a caller waited {longest:.1} s, {} at most",
            patience.as_secs()
        )
    });
    Ok(())
}
