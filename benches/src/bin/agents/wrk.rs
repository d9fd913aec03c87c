//! wrk, and what it says.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// One run's figures.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Requests a second.
    pub rate: f64,
    /// Median latency, in milliseconds.
    pub p50: f64,
    /// The latency that 99 of 100 did not exceed, in milliseconds.
    pub p99: f64,
}

/// Requests `url` over so many connections for `time`; every answer must be good.
pub async fn wrk(url: &str, connections: usize, time: Duration) -> anyhow::Result<Run> {
    let output = Command::new("wrk")
        .args(["--latency", "--timeout", "20s", "-t"])
        .arg(connections.min(2).to_string())
        .args(["-c", &connections.to_string()])
        .args(["-d", &format!("{}s", time.as_secs()), url])
        .output()
        .await
        .context("wrk is not installed; scripts/bench installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let bad = ["Non-2xx", "Socket errors"];
    ensure!(
        output.status.success() && !bad.iter().any(|bad| text.contains(bad)),
        "{url}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let of = |name: &str| -> anyhow::Result<&str> {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("no {name} in {text}"))?.trim())
    };
    Ok(Run {
        rate: of("Requests/sec:")?.parse()?,
        p50: milliseconds(of("50%")?)?,
        p99: milliseconds(of("99%")?)?,
    })
}

fn milliseconds(text: &str) -> anyhow::Result<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    for (unit, scale) in units {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * scale);
        }
    }
    anyhow::bail!("{text} is no time")
}
