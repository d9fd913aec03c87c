//! What one server-sent event costs, many streams at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;

use super::{
    api::Api,
    caller::{Caller, next},
    stage::system,
};

const EVERY: Duration = Duration::from_millis(250);

/// Times of events, from their sending until their caller had them.
pub struct Events {
    /// Through the agents, ascending.
    through: Vec<Duration>,
    /// Without them, for comparison.
    direct: Vec<Duration>,
}

/// Opens the streams, which send at different times, and reads all of them.
pub async fn measure(streams: u32, count: u32) -> anyhow::Result<Events> {
    let api = Api::start(false).await?;
    let system = system(&api, 2 * streams + 8).await?;
    let direct = format!("http://{}", api.address);
    Ok(Events {
        direct: read_all(streams, count, &direct, api.began()).await?,
        through: read_all(streams, count, &system.base, api.began()).await?,
    })
}

async fn read_all(
    streams: u32,
    count: u32,
    base: &str,
    began: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let caller = Caller::new(base, false);
    let calls = (0..streams).map(|number| {
        let caller = caller.clone();
        async move {
            tokio::time::sleep(EVERY * number / streams).await;
            read(&caller, count, began).await
        }
    });
    let mut times = try_join_all(calls).await?.concat();
    times.sort_unstable();
    Ok(times)
}

/// The times of one stream's events.
async fn read(caller: &Caller, count: u32, began: Instant) -> anyhow::Result<Vec<Duration>> {
    let target = format!("/events?count={count}&every_ms={}", EVERY.as_millis());
    let mut body = caller.get(&target).await?.into_body();
    let (mut text, mut times) = (String::new(), Vec::new());
    while let Some(piece) = next(&mut body).await {
        text += std::str::from_utf8(&piece?)?;
        let now = began.elapsed();
        while let Some((event, rest)) = text.split_once("\n\n") {
            let sent = event.strip_prefix("data: ").context("an event")?.parse()?;
            times.push(now.saturating_sub(Duration::from_nanos(sent)));
            text = rest.to_owned();
        }
    }
    ensure!(times.len() == count as usize, "{} events", times.len());
    Ok(times)
}

impl Events {
    /// The time that this share of events took at most.
    pub fn percentile(&self, share: f64) -> Duration {
        percentile(&self.through, share)
    }

    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for (way, times) in [
            ("through agents", &self.through),
            ("without them", &self.direct),
        ] {
            for share in [0.5, 0.99] {
                let time = percentile(times, share).as_secs_f64() * 1e3;
                let name = format!("event, {way}, p{:.0}", share * 100.0);
                rows.push((name, format!("{time:.2} ms")));
            }
        }
        rows
    }
}

fn percentile(ascending: &[Duration], share: f64) -> Duration {
    let at = (ascending.len() as f64 * share).ceil() as usize;
    let at = at.saturating_sub(1);
    ascending.get(at).copied().unwrap_or_default()
}
