//! An upload and a download at once, and the memory that the agents need for them.

use std::time::Instant;

use anyhow::ensure;
use axum::{body::Body, http::Method};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use indicatif::ProgressBar;

use super::{
    api::{Api, pieces},
    caller::{Caller, next},
    stage::system,
};

/// What they showed.
pub struct Bodies {
    /// The most that one agent and its enclave had resident, in bytes.
    pub peak: u64,
    rows: Vec<(String, String)>,
}

const MEBIBYTE: u64 = 1 << 20;

pub async fn measure(mebibytes: u64, bar: &ProgressBar) -> anyhow::Result<Bodies> {
    let api = Api::start(false).await?;
    let system = system(&api, 8).await?;
    let caller = Caller::new(&system.base, false);
    let bytes = mebibytes * MEBIBYTE;
    let since = Instant::now();
    let (sent, got) = tokio::join!(up(&caller, bytes, bar), down(&caller, bytes, bar));
    let (sent, got) = (sent?, got?);
    ensure!(
        (sent, got) == (bytes, bytes),
        "{sent} and {got} of {bytes} bytes"
    );
    let seconds = since.elapsed().as_secs_f64();
    let peaks = [
        ("consumer's", system.consumer.peak_memory_of_all()?),
        ("producer's", system.producer.peak_memory_of_all()?),
    ];
    let mut rows = vec![(
        format!("{mebibytes} MiB each way at once"),
        format!("{:.0} MiB/s", 2.0 * mebibytes as f64 / seconds),
    )];
    for (whose, peak) in peaks {
        let peak = format!("{:.1} MiB", peak as f64 / MEBIBYTE as f64);
        rows.push((format!("{whose} agent and its enclave, peak"), peak));
    }
    Ok(Bodies {
        peak: peaks[0].1.max(peaks[1].1),
        rows,
    })
}

/// Sends; how many bytes the API got.
async fn up(caller: &Caller, bytes: u64, bar: &ProgressBar) -> anyhow::Result<u64> {
    let bar = bar.clone();
    let mut left = 0;
    let body = pieces(bytes).map(move |piece| {
        left += piece.len() as u64;
        bar.inc(left / MEBIBYTE);
        left %= MEBIBYTE;
        Ok::<_, std::convert::Infallible>(piece)
    });
    let body = Body::from_stream(body);
    let answer = caller.call(Method::PUT, "/take", Some(bytes), body).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let got = answer.into_body().collect().await?.to_bytes();
    Ok(std::str::from_utf8(&got)?.parse()?)
}

/// Receives; how many bytes there were.
async fn down(caller: &Caller, bytes: u64, bar: &ProgressBar) -> anyhow::Result<u64> {
    let mut body = caller
        .get(&format!("/give?bytes={bytes}"))
        .await?
        .into_body();
    let (mut got, mut told) = (0, 0);
    while let Some(piece) = next(&mut body).await {
        got += piece?.len() as u64;
        bar.inc(got / MEBIBYTE - told);
        told = got / MEBIBYTE;
    }
    Ok(got)
}

impl Bodies {
    pub fn rows(&self) -> Vec<(String, String)> {
        self.rows.clone()
    }
}
