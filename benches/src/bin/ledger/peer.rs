//! The peer: `pgbench` on the same server.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::parameters::{CLIENTS, SECONDS};

/// Rows that one transaction of [`many_rows`] updates.
pub const ROWS: u32 = 500;

/// Makes the peers' tables.
pub async fn set_up(url: &str) -> anyhow::Result<()> {
    let setup = format!(
        "DROP TABLE IF EXISTS cas, many;
         CREATE TABLE cas (id int PRIMARY KEY, head bigint NOT NULL) WITH (fillfactor = 70);
         INSERT INTO cas SELECT id, 0 FROM generate_series(0, 63) id;
         CREATE TABLE many (client int, id int, head bigint NOT NULL, PRIMARY KEY (client, id))
             WITH (fillfactor = 70);
         INSERT INTO many SELECT client, id, 0
         FROM generate_series(0, {CLIENTS}) client, generate_series(1, {ROWS}) id;"
    );
    let done = Command::new("psql")
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .args(["-q", url, "-c", &setup])
        .status()
        .await?;
    ensure!(done.success(), "psql: {done}");
    Ok(())
}

/// Compare-and-swaps a second: each client advances a row of its own.
pub async fn compare_and_swap(at: &Path, url: &str) -> anyhow::Result<f64> {
    let script =
        "UPDATE cas SET head = :n + 1 WHERE id = :client_id AND head = :n;\n\\set n :n + 1\n";
    pgbench(at, url, script).await
}

/// Rows updated a second, [`ROWS`] in each transaction.
pub async fn many_rows(at: &Path, url: &str) -> anyhow::Result<f64> {
    let script = "UPDATE many SET head = head + 1 WHERE client = :client_id;\n";
    Ok(pgbench(at, url, script).await? * f64::from(ROWS))
}

async fn pgbench(at: &Path, url: &str, text: &str) -> anyhow::Result<f64> {
    let script = at.join("pgbench.sql");
    std::fs::write(&script, text)?;
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "exec $(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)/pgbench \
             -n -M prepared -c {CLIENTS} -j 2 -T {SECONDS} -D n=0 -f {} '{url}'",
            script.display()
        ))
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .with_context(|| format!("pgbench: {output:?}"))?;
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}
