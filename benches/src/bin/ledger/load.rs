//! Many endpoints report at once, as fast as they are answered or at a given pace.

use std::time::{Duration, Instant};

use anyhow::ensure;
use armour_api::ReportVerdict;

use crate::reporter::{Call, Reporter, Shape};

/// What came of it.
pub struct Outcome {
    /// Exchanges recorded a second.
    pub rate: f64,
    /// Exchanges recorded.
    pub recorded: usize,
    /// From when each call was due to its answer, in order.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency that this share of the calls did not exceed, in milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// Reports for `time`; with a pace, so many calls a second of all reporters
/// together, whether earlier ones were answered in time or not.
pub async fn drive(
    reporters: &mut [Reporter],
    shape: Shape,
    pace: Option<f64>,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let clients = reporters.len();
    // More than can be reported in the time.
    let calls = match pace {
        Some(pace) => (pace * time.as_secs_f64()) as usize / clients + 1,
        None => {
            let most = (time.as_secs_f64() * 700_000.0) as usize / shape.exchanges();
            most.min((time.as_secs_f64() * 12_000.0) as usize) / clients
        }
    };
    let prepared = prepare(reporters, shape, calls)?;
    let between = pace.map(|pace| Duration::from_secs_f64(clients as f64 / pace));
    let since = Instant::now();
    let tasks = reporters.iter().zip(prepared).enumerate();
    // Only one of many verdicts is worth reading.
    let refusal = |verdicts: Vec<ReportVerdict>| {
        let mut others = verdicts.into_iter();
        others.find(|verdict| *verdict != ReportVerdict::Accepted)
    };
    let tasks: Vec<_> = tasks
        .map(|(place, (reporter, calls))| {
            let client = reporter.client.clone();
            let offset = between.map(|between| between.mul_f64(place as f64 / clients as f64));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut accepted = Vec::new();
                for (number, call) in calls.into_iter().enumerate() {
                    let mut due = Instant::now();
                    if let (Some(between), Some(offset)) = (between, offset) {
                        due = since + offset + between.mul_f64(number as f64);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    if since.elapsed() > time {
                        return Ok((latencies, accepted, true));
                    }
                    let refused = refusal(client.report(call.reports).await?);
                    ensure!(refused.is_none(), "{refused:?}");
                    accepted.push(call.ends);
                    latencies.push(due.elapsed());
                }
                Ok((latencies, accepted, between.is_some()))
            })
        })
        .collect();
    let mut latencies = Vec::new();
    let mut ends = Vec::new();
    for task in tasks {
        let (of_client, accepted, lasted) = task.await??;
        ensure!(lasted, "too few tickets were prepared");
        latencies.extend(of_client);
        ends.push(accepted);
    }
    let elapsed = since.elapsed().as_secs_f64();
    for (reporter, ends) in reporters.iter_mut().zip(ends) {
        ends.into_iter().for_each(|ends| reporter.accepted(ends));
    }
    latencies.sort_unstable();
    let recorded = latencies.len() * shape.exchanges();
    Ok(Outcome {
        rate: recorded as f64 / elapsed,
        recorded,
        latencies,
    })
}

/// Signs the tickets of so many calls of each reporter, on every core.
fn prepare(
    reporters: &mut [Reporter],
    shape: Shape,
    calls: usize,
) -> anyhow::Result<Vec<Vec<Call>>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = reporters.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = reporters
            .chunks_mut(share)
            .map(|reporters| {
                scope.spawn(move || {
                    let of_each = reporters.iter_mut();
                    of_each
                        .map(|reporter| reporter.calls(shape, calls))
                        .collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let prepared = thread.join();
            all.extend(prepared.map_err(|_| anyhow::anyhow!("a signing thread has died"))??);
        }
        Ok(all)
    })
}
