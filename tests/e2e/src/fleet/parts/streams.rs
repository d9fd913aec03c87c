//! Event streams beside calls, through one pair of agents and by the default policy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::steps::{end, failed, longest, pass, tell_failures};
use crate::fleet::{
    figures::Findings,
    stage::{Context, Fleet, Shape},
};

/// How soon a stream's first event must come.
const FIRST_EVENT: Duration = Duration::from_secs(10);

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let shape = Shape {
        producers: 1,
        consumers: 1,
        endpoints: 1,
        ..Shape::usual(&context.plan)
    };
    let fleet = Fleet::start(context, shape).await?;
    let load = fleet.load(&context.plan)?;
    let (over, broken) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let http = reqwest::Client::new();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..context.plan.streams {
        let request = http.get(format!("{}/events", fleet.consumers[0].agent.base()));
        let (over, broken) = (over.clone(), broken.clone());
        readers.spawn(async move {
            if !reads(request, &over).await {
                broken.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    settle_streams(context, &load, &over).await;
    while readers.join_next().await.is_some() {}
    let broken = broken.load(Ordering::Relaxed);
    let calls = end("streams", fleet, load, context, findings).await?;
    tell_failures("streams", &calls, findings);
    let failed = failed(&calls);
    findings.row("streams: refused or broken", broken);
    findings.row(
        "streams: longest wait of a call, seconds",
        format!("{:.3}", longest(&calls)),
    );
    findings.figures.streams_refused = Some(broken + failed);
    findings.holds(broken + failed == 0, || {
        format!("streams: {broken} streams and {failed} calls were refused or broke")
    });
    Ok(())
}

async fn settle_streams(
    context: &Context,
    load: &crate::fleet::load::Load,
    over: &CancellationToken,
) {
    pass(context, load, "streams and calls", context.plan.steady).await;
    over.cancel();
}

/// Reads events until it is over; whether they came until then.
async fn reads(request: reqwest::RequestBuilder, over: &CancellationToken) -> bool {
    let read = async {
        let Ok(mut answer) = request.send().await else {
            return;
        };
        if !answer.status().is_success() {
            return;
        }
        // Returns when no event comes in time, or the stream ends: it has no end.
        while let Ok(Ok(Some(_))) = tokio::time::timeout(FIRST_EVENT, answer.chunk()).await {}
    };
    over.run_until_cancelled(read).await.is_none()
}
