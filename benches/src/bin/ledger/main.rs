//! The ledger over REST against `pgbench` on the same PostgreSQL, fsync on, in one
//! run: rate, latency at half of it, write-ahead log, memory; at a million bundles;
//! and with `--soak` whether tables stay as small as they are.
#![expect(clippy::disallowed_methods, reason = "measures real time")]

mod bundles;
mod load;
mod parameters;
mod peer;
mod reporter;

use std::{os::unix::fs::PermissionsExt, time::Duration};

use armour_benches::service::{PLATFORM, control_plane};
use armour_cli::servers::postgres::Postgres;
use armour_client::Client;
use armour_e2e::process::{Process, free_port};
use clap::Parser;

use crate::{
    load::drive,
    parameters::{CLIENTS, SECONDS},
    reporter::{Reporter, Shape},
};

const TIME: Duration = Duration::from_secs(SECONDS);
const SHAPES: [Shape; 4] = [shape(1, 1), shape(128, 1), shape(16, 8), shape(16, 32)];

const fn shape(lanes: usize, tickets: usize) -> Shape {
    Shape { lanes, tickets }
}

#[derive(Parser)]
#[command(about = "The ledger's ratios to pgbench on the same server")]
struct Options {
    /// Compare this many live bundles with a thousand; 0 to leave it out.
    #[arg(long, default_value_t = 1_000_000)]
    bundles: usize,
    /// Instead of all that: report for so many minutes, at a part of the rate, and
    /// print how large the tables are.
    #[arg(long)]
    soak: Option<u64>,
    /// Only this shape: lanes of a call and tickets of a lane, for profiling.
    #[arg(long, num_args = 2)]
    only: Option<Vec<usize>>,
}

struct Bench {
    dir: tempfile::TempDir,
    postgres: Postgres,
    control_plane: Process,
    reporters: Vec<Reporter>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut bench = Bench::new().await?;
    if let Some(minutes) = options.soak {
        return bench.soak(minutes).await;
    }
    if let Some([lanes, tickets]) = options.only.as_deref() {
        let outcome = drive(&mut bench.reporters, shape(*lanes, *tickets), None, TIME).await?;
        println!("{:.0} exchanges a second", outcome.rate);
        return Ok(());
    }
    println!("{CLIENTS} clients, {SECONDS} s each, one PostgreSQL with fsync on\n");
    bench.rates().await?;
    let before = bench.drive(shape(16, 8), None).await?.rate;
    if options.bundles > 0 {
        bench.bundles(options.bundles).await?;
    } else {
        println!("16 lanes of 8 again: {before:.0}");
    }
    let peak = bench.control_plane.peak_memory()? as f64 / f64::from(1 << 20);
    println!("most memory the control plane had resident: {peak:.0} MiB (goal: at most 150)");
    Ok(())
}

impl Bench {
    async fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("armour-bench").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
        let postgres = Postgres::start(&dir.path().join("postgres"), free_port()?).await?;
        // As anybody would set a server for more than a try; the peer has the same.
        for setting in ["shared_buffers = '2GB'", "max_wal_size = '8GB'"] {
            postgres.sql(&format!("ALTER SYSTEM SET {setting}")).await?;
        }
        postgres.crash().await?;
        let (control_plane, base) = control_plane(dir.path(), "log", &postgres.urls()).await?;
        let operator = Client::new(&base, PLATFORM)?;
        let operator = operator.with_token(operator.create_tenant("bench").await?.token);
        let mut reporters = Vec::new();
        for _ in 0..CLIENTS {
            reporters.push(Reporter::new(&base, &operator).await?);
        }
        Ok(Self {
            dir,
            postgres,
            control_plane,
            reporters,
        })
    }

    async fn drive(&mut self, shape: Shape, pace: Option<f64>) -> anyhow::Result<load::Outcome> {
        drive(&mut self.reporters, shape, pace, TIME).await
    }

    async fn rates(&mut self) -> anyhow::Result<()> {
        let (at, url) = (self.dir.path().to_owned(), self.postgres.urls().owner);
        peer::set_up(&url).await?;
        // Not the first time, when the write-ahead log's files are made.
        peer::compare_and_swap(&at, &url).await?;
        let mut singles = vec![peer::compare_and_swap(&at, &url).await?];
        // Every lane is opened before anything is measured.
        drive(
            &mut self.reporters,
            shape(512, 1),
            None,
            Duration::from_secs(1),
        )
        .await?;
        let mut rows = Vec::new();
        for shape in SHAPES {
            self.postgres.sql("CHECKPOINT").await?;
            let before = self.wal().await?;
            let full = self.drive(shape, None).await?;
            let wal = (self.wal().await? - before) / full.recorded as f64;
            let pace = full.rate / shape.exchanges() as f64 / 2.0;
            let half = self.drive(shape, Some(pace)).await?;
            rows.push((shape, full, half, wal));
            singles.push(peer::compare_and_swap(&at, &url).await?);
        }
        let many = peer::many_rows(&at, &url).await?;
        singles.sort_by(f64::total_cmp);
        let single = singles[singles.len() / 2];
        println!(
            "pgbench, compare-and-swap of one row a transaction: {single:.0} ({:.0} to {:.0}) a second\n\
             pgbench, {} rows a transaction: {many:.0} rows a second\n",
            singles[0],
            singles[singles.len() - 1],
            peer::ROWS
        );
        println!(
            "{:28} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "exchanges recorded",
            "a second",
            "of single",
            "of many",
            "p50, ms",
            "p99, ms",
            "WAL, B"
        );
        for (shape, full, half, wal) in rows {
            println!(
                "{:28} {:>10.0} {:>9.2} {:>9.2} {:>9.1} {:>9.1} {:>9.0}",
                format!("{} lanes of {} a call", shape.lanes, shape.tickets),
                full.rate,
                full.rate / single,
                full.rate / many,
                half.percentile(0.5),
                half.percentile(0.99),
                wal
            );
        }
        println!("(latency at half of the rate; WAL an exchange, from a checkpoint on)\n");
        Ok(())
    }

    async fn bundles(&mut self, count: usize) -> anyhow::Result<()> {
        let shape = shape(128, 1);
        let mut rates = Vec::new();
        for count in [1024 * CLIENTS / 8, count] {
            let at = self.dir.path().to_owned();
            bundles::fill(&at, &self.postgres, &mut self.reporters, count).await?;
            let mut of_count = Vec::new();
            for _ in 0..5 {
                of_count.push(self.drive(shape, None).await?.rate);
            }
            of_count.sort_by(f64::total_cmp);
            println!(
                "{count} live bundles, 128 of them a call: {:.0} ({:.0} to {:.0}) exchanges a second",
                of_count[2], of_count[0], of_count[4]
            );
            rates.push(of_count[2]);
        }
        println!("ratio: {:.2} (goal: at least 0.8)\n", rates[1] / rates[0]);
        Ok(())
    }

    async fn soak(&mut self, minutes: u64) -> anyhow::Result<()> {
        println!(
            "{:>8} {:>12} {:>14} {:>16} {:>12}",
            "minute", "exchanges", "lanes, KiB", "runs, B a run", "dead lanes"
        );
        let mut total = 0;
        for minute in 0..=minutes {
            let sizes = "SELECT pg_total_relation_size('lanes') / 1024 || ' ' ||
                         pg_total_relation_size('ticket_runs') / greatest(1, (SELECT count(*) FROM ticket_runs))
                         || ' ' || (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'lanes')";
            let text = self.postgres.sql_in("armour", sizes).await?;
            let mut of = text.split_whitespace();
            let mut column = || of.next().unwrap_or_default();
            println!(
                "{minute:>8} {total:>12} {:>14} {:>16} {:>12}",
                column(),
                column(),
                column()
            );
            let minute = Duration::from_secs(60);
            let outcome = drive(&mut self.reporters, shape(16, 1), Some(60.0), minute).await?;
            total += outcome.recorded;
        }
        Ok(())
    }

    async fn wal(&self) -> anyhow::Result<f64> {
        let at = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn";
        Ok(self.postgres.sql(at).await?.trim().parse()?)
    }
}
