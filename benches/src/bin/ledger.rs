//! The ledger over REST against `pgbench` doing a single-row compare-and-swap
//! on the same PostgreSQL, fsync on, in one run. Tickets are signed beforehand.

use std::{
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use armour_api::{Enrol, NewPair, Policy, ReportVerdict, Role, TicketReport};
use armour_cli::postgres::Postgres;
use armour_client::Client;
use armour_e2e::process::{Process, free_port, program, until};
use armour_protocol::{
    Suite, envelope,
    ledger::Chain,
    ticket::{NO_PREVIOUS, Ticket},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use tokio::process::Command;
use uuid::Uuid;

const CLIENTS: usize = 32;
const SECONDS: u64 = 6;
const PLATFORM: &str = "platform-token-of-the-ledger-benchmark";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("armour-bench").tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711))?;
    let postgres = Postgres::start(&dir.path().join("postgres"), free_port()?).await?;
    let (_control_plane, base) = control_plane(dir.path(), postgres.url()).await?;
    let operator = Client::new(&base, PLATFORM)?;
    let operator = operator.with_token(operator.create_tenant("bench").await?.token);
    let mut reporters = Vec::new();
    for _ in 0..CLIENTS {
        reporters.push(Reporter::new(&base, &operator).await?);
    }
    let before = pgbench(dir.path(), &postgres.url()).await?;
    let single = drive(&mut reporters, 0..1, 1).await?;
    let batched = drive(&mut reporters, 1..17, 8).await?;
    let after = pgbench(dir.path(), &postgres.url()).await?;
    let peer = (before + after) / 2.0;
    println!("{CLIENTS} clients, {SECONDS} s each, one PostgreSQL with fsync on\n");
    println!("{:44} {:>12} {:>14}", "", "a second", "of pgbench");
    println!(
        "{:44} {before:>12.0} {:>14}",
        "pgbench, compare-and-swap of a row (before)", ""
    );
    println!(
        "{:44} {after:>12.0} {:>14}",
        "pgbench, compare-and-swap of a row (after)", ""
    );
    println!(
        "{:44} {single:>12.0} {:>14.2}",
        "exchanges recorded, 1 a report call",
        single / peer
    );
    println!(
        "{:44} {batched:>12.0} {:>14.2}",
        "exchanges recorded, 16 lanes of 8 a call",
        batched / peer
    );
    Ok(())
}

/// Reports until the time is over; exchanges recorded a second.
async fn drive(
    reporters: &mut [Reporter],
    lanes: Range<u32>,
    tickets: usize,
) -> anyhow::Result<f64> {
    // More than can be reported in the time.
    let calls = 60_000 / CLIENTS / (lanes.len() * tickets).min(8);
    let prepared: Vec<Vec<Vec<TicketReport>>> = reporters
        .iter_mut()
        .map(|reporter| {
            (0..calls)
                .map(|_| reporter.call(lanes.clone(), tickets))
                .collect()
        })
        .collect();
    let since = Instant::now();
    let time = Duration::from_secs(SECONDS);
    let running = reporters.iter().zip(prepared).map(|(reporter, calls)| {
        let client = reporter.client.clone();
        tokio::spawn(async move {
            let mut recorded = 0usize;
            for call in calls {
                if since.elapsed() > time {
                    return Ok((recorded, true));
                }
                let count = call.len() * tickets;
                let verdicts = client.report(call).await?;
                ensure!(
                    verdicts.iter().all(|v| *v == ReportVerdict::Accepted),
                    "{verdicts:?}"
                );
                recorded += count;
            }
            Ok((recorded, false))
        })
    });
    let running: Vec<_> = running.collect();
    let mut total = 0;
    for task in running {
        let (recorded, lasted) = task.await??;
        ensure!(lasted, "too few tickets were prepared");
        total += recorded;
    }
    Ok(total as f64 / since.elapsed().as_secs_f64())
}

/// A consumer's endpoint with a bundle, and the lanes' last tickets.
struct Reporter {
    client: Client,
    key: SigningKey,
    bundle: Uuid,
    lanes: Vec<Option<Ticket>>,
}

impl Reporter {
    async fn new(base: &str, operator: &Client) -> anyhow::Result<Self> {
        let name = Uuid::new_v4().to_string();
        let consumer = operator.create_party(Role::Consumer, &name).await?;
        let producer = operator.create_party(Role::Producer, &name).await?;
        let pair = operator
            .create_pair(&NewPair {
                consumer_id: consumer.id,
                producer_id: producer.id,
                policy: Policy::default(),
            })
            .await?;
        enrol(base, operator, Role::Producer, producer.id).await?;
        let (client, key) = enrol(base, operator, Role::Consumer, consumer.id).await?;
        let grant = client.draw_bundle(pair.id, None).await?;
        Ok(Self {
            client,
            key,
            bundle: grant.bundle.id,
            lanes: Vec::new(),
        })
    }

    /// The next tickets of these lanes.
    fn call(&mut self, lanes: Range<u32>, tickets: usize) -> Vec<TicketReport> {
        lanes.map(|lane| self.report(lane, tickets)).collect()
    }

    fn report(&mut self, lane: u32, tickets: usize) -> TicketReport {
        let at = lane as usize;
        self.lanes.resize(self.lanes.len().max(at + 1), None);
        let mut chain: Option<Chain> = None;
        for _ in 0..tickets {
            let last = self.lanes[at];
            let ticket = Ticket {
                suite: Suite::X25519,
                bundle: *self.bundle.as_bytes(),
                lane,
                n: last.map_or(0, |last| last.n + 1),
                previous: last.map_or(NO_PREVIOUS, |last| last.hash()),
                share_digest: [7; 32],
            };
            let signed = ticket.sign(&self.key);
            match (&mut chain, last) {
                (Some(chain), Some(last)) => drop(chain.push(&last, &signed)),
                _ => chain = Some(Chain::of(&signed)),
            }
            self.lanes[at] = Some(ticket);
        }
        let (first, previous, entries) = chain.map_or((0, NO_PREVIOUS, Vec::new()), |chain| {
            (chain.first, chain.previous, chain.entries)
        });
        TicketReport {
            bundle_id: self.bundle,
            lane,
            first,
            previous: STANDARD.encode(previous.0),
            entries: STANDARD.encode(entries),
            age_ms: 0,
        }
    }
}

async fn enrol(
    base: &str,
    operator: &Client,
    role: Role,
    party: Uuid,
) -> anyhow::Result<(Client, SigningKey)> {
    let token = operator.create_enrolment_token(role, party).await?;
    let key = SigningKey::generate(&mut rand::rng());
    let (_, kem_key) = envelope::generate(&mut rand::rng());
    let endpoint = operator
        .with_token(token.token)
        .enrol(&Enrol {
            name: "bench".into(),
            signing_key: STANDARD.encode(key.verifying_key().as_bytes()),
            kem_key: STANDARD.encode(kem_key),
            address: (role == Role::Producer).then(|| "http://127.0.0.1:9".into()),
            version: "0".into(),
        })
        .await?;
    let client = Client::new(base, "")?.as_endpoint(endpoint.tenant_id, endpoint.id, key.clone());
    Ok((client, key))
}

async fn control_plane(at: &Path, url: String) -> anyhow::Result<(Process, String)> {
    std::fs::write(at.join("master-key"), "5a".repeat(32))?;
    std::fs::write(at.join("platform-token"), PLATFORM)?;
    let port = free_port()?;
    let program = program("armour-control-plane")?;
    let folder = at.to_owned();
    let process = Process::start("control plane", at.join("log"), move || {
        let mut command = Command::new(&program);
        command
            .env("ARMOUR_LISTEN", format!("127.0.0.1:{port}"))
            .env("ARMOUR_DATABASE_URL", &url)
            .env("ARMOUR_DATABASE_CONNECTIONS", CLIENTS.to_string())
            .env("ARMOUR_MASTER_KEY_FILE", folder.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", folder.join("platform-token"))
            .env("ARMOUR_MIGRATE", "true")
            .env("ARMOUR_RATE_LIMIT", "1000000")
            .env("ARMOUR_LOG", "warn");
        command
    })?;
    let base = format!("http://127.0.0.1:{port}");
    let client = Client::new(&base, PLATFORM)?;
    until("the control plane", Duration::from_secs(30), || async {
        client.ready().await.is_ok()
    })
    .await?;
    Ok((process, base))
}

/// Compare-and-swaps a second: each client advances a row of its own.
async fn pgbench(at: &Path, url: &str) -> anyhow::Result<f64> {
    let setup = "CREATE TABLE IF NOT EXISTS cas (id int PRIMARY KEY, head bigint NOT NULL);
                 TRUNCATE cas; INSERT INTO cas SELECT id, 0 FROM generate_series(0, 63) id";
    let done = Command::new("psql")
        .args(["-q", url, "-c", setup])
        .status()
        .await?;
    ensure!(done.success(), "psql: {done}");
    let script = at.join("cas.sql");
    std::fs::write(
        &script,
        "UPDATE cas SET head = :n + 1 WHERE id = :client_id AND head = :n;\n\\set n :n + 1\n",
    )?;
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
