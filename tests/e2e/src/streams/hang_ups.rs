//! How soon a caller that hangs up is let go: there is one lane, so the next call is served once
//! the lane is free.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;

use super::{
    api::{Api, End},
    caller::{Caller, next},
    stage::system,
};

/// The longest from a hang-up until the API's call had ended and the next call was answered.
pub async fn measure(count: u32, bar: &ProgressBar) -> anyhow::Result<Duration> {
    let mut api = Api::start(false).await?;
    let system = system(&api, 1).await?;
    let mut longest = Duration::ZERO;
    for number in 0..count {
        // Each has connections of its own, which are closed as it goes.
        let leaves = Caller::new(&system.base, number % 4 >= 2);
        if number % 2 == 0 {
            let call = tokio::spawn(async move { leaves.get("/wait").await });
            // So that it has reached the API.
            tokio::time::sleep(Duration::from_millis(200)).await;
            ensure!(!call.is_finished(), "what never answers has answered");
            call.abort();
            let _ = call.await;
        } else {
            let answer = leaves.get("/events?count=1000000&every_ms=20").await?;
            let mut body = answer.into_body();
            next(&mut body).await.context("an event")??;
        }
        let since = Instant::now();
        let end = api.next_end().await.context("the API's call never ends")?;
        ensure!(matches!(end, End::Left), "{end:?}");
        let next = Caller::new(&system.base, false);
        next.get("/echo?id=next")
            .await
            .context("the lane is not free")?;
        longest = longest.max(since.elapsed());
        bar.inc(1);
    }
    Ok(longest)
}
