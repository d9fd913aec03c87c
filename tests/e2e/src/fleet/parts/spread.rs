//! Whether calls are spread over the producers.

use std::time::Instant;

use super::steps::{between, end, failed, pass, settle, tell_failures};
use crate::fleet::{
    figures::Findings,
    stage::{Context, Fleet, Shape},
};

const LIMIT: f64 = 0.2;

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let fleet = Fleet::start(context, Shape::usual(&context.plan)).await?;
    let load = fleet.load(&context.plan)?;
    settle(context, &load).await;
    let from = Instant::now();
    pass(context, &load, "calls", context.plan.steady).await;
    let to = Instant::now();
    let shares = fleet.shares(from, to);
    let calls = end("spread", fleet, load, context, findings).await?;
    let counted = between(&calls, from, to);
    tell_failures("spread", &counted, findings);
    let failed = failed(&counted);
    let spread = furthest(&shares);
    findings.figures.spread = Some(spread);
    findings.row("spread: calls of each producer", format!("{shares:?}"));
    findings.row(
        "spread: furthest from an equal share",
        format!("{spread:.3}"),
    );
    findings.holds(spread <= LIMIT, || {
        format!("spread: a producer's calls are {spread:.2} off an equal share, {LIMIT} at most")
    });
    findings.holds(failed == 0, || {
        format!("spread: {failed} calls failed though nothing happened")
    });
    Ok(())
}

/// How far the furthest is from an equal share, of that share.
fn furthest(shares: &[u64]) -> f64 {
    let mean = shares.iter().sum::<u64>() as f64 / shares.len().max(1) as f64;
    let off = shares.iter().map(|share| (*share as f64 - mean).abs());
    match mean > 0.0 {
        true => off.fold(0.0, f64::max) / mean,
        // Nobody was called at all.
        false => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::furthest;

    #[test]
    fn one_that_gets_all_of_three_is_two_shares_too_many() {
        assert!((furthest(&[300, 0, 0]) - 2.0).abs() < 1e-9);
        assert!((furthest(&[100, 110, 90]) - 0.1).abs() < 1e-9);
    }
}
