//! Runs one hot path so many times, for its instructions to be counted
//! (`tests/test_instructions.py`).

use anyhow::{Context as _, bail};
use armour_protocol::v2::suite::Suite;
use armour_protocol_benches::{judged::Judged, lane::Pair};

/// As agents have it.
const CHECKPOINT_EVERY: usize = 256 * 1024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("which path?")?;
    let times: u32 = arguments.next().context("how often?")?.parse()?;
    match path.as_str() {
        "exchange" => exchange(Suite::X25519ChaCha20Poly1305, 1024, times),
        "body" => exchange(Suite::X25519Aes256Gcm, 1 << 20, times),
        "judge" => judged(times),
        other => bail!("no path {other}; there are exchange, body and judge"),
    }
}

fn exchange(suite: Suite, content: usize, times: u32) -> anyhow::Result<()> {
    let mut pair = Pair::new(suite, content, CHECKPOINT_EVERY)?;
    for _ in 0..times {
        pair.exchange()?;
    }
    Ok(())
}

/// What the ledger does with a run of 32 exchanges, short of storing it.
fn judged(times: u32) -> anyhow::Result<()> {
    let run = Judged::new()?;
    for _ in 0..times {
        run.judge()?;
    }
    Ok(())
}
