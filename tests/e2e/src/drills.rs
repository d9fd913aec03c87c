//! What operators do to a running system, under traffic: a rolling restart, a
//! failover of PostgreSQL, a restore to an earlier state.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use armour_api::{AuditEntry, Page, Reporting};
use armour_cli::servers::postgres::{Postgres, Urls};

use crate::{
    load::{Load, Tally},
    process::{free_port, until},
    system::{Setup, System, brisk, control_plane},
};

/// What a drill is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many callers at once.
    pub callers: usize,
    /// Calls before, between and after what is done.
    pub calls: u64,
    /// How often it is done.
    pub rounds: usize,
}

/// What a drill showed.
pub struct Outcome {
    /// What was done.
    pub done: Vec<(String, String)>,
    /// What became of the calls.
    pub tally: Tally,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.done {
            writeln!(f, "{name:28} {value:>10}")?;
        }
        write!(f, "{}", self.tally)
    }
}

/// Three control planes behind nginx, clocks ten minutes off both ways, each
/// replica stopped and started in turn; every exchange needs the ledger.
///
/// # Errors
/// If a replica does not end cleanly or come back.
pub async fn rolling_restart(plan: &Plan) -> anyhow::Result<Outcome> {
    let clocks = vec![0, 10, -10, 10, -10];
    let system = System::set_up(three_replicas(clocks.clone())).await?;
    for (place, off) in (0..system.replicas.len()).zip(clocks) {
        // The balancer had to find one of them only.
        until_ready(&system, place).await?;
        let replica = &system.replicas[place];
        let answer = system.http.get(format!("http://{replica}/v1/health"));
        let answer = answer.send().await?;
        let date = answer.headers().get("date").context("a date")?.to_str()?;
        let there = chrono::DateTime::parse_from_rfc2822(date)?;
        let minutes = (there.to_utc() - chrono::Utc::now()).as_seconds_f32() / 60.0;
        ensure!(
            (f64::from(minutes) - f64::from(off)).abs() < 0.1,
            "{replica} is {minutes} minutes off, not {off}"
        );
    }
    roll(system, plan, |_, _| Ok(())).await
}

/// The same, from an earlier version's programs to this one's.
///
/// # Errors
/// As [`rolling_restart`].
pub async fn rolling_upgrade(plan: &Plan, earlier: std::path::PathBuf) -> anyhow::Result<Outcome> {
    let mut setup = three_replicas(Vec::new());
    setup.programs = Some(earlier);
    let system = System::set_up(setup.clone()).await?;
    setup.programs = None;
    let plan = Plan {
        rounds: 1,
        ..plan.clone()
    };
    roll(system, &plan, move |system, place| {
        let urls = Urls::at(&system.database.address().to_string(), "armour");
        let command = control_plane(
            system.folder(),
            &setup,
            &None,
            place,
            &system.replicas[place],
            &urls,
        )?;
        system.control_planes[place].replace(command);
        Ok(())
    })
    .await
}

fn three_replicas(clocks: Vec<i32>) -> Setup {
    Setup {
        policy: armour_api::Policy {
            reporting: Reporting::Strict,
            ..brisk()
        },
        replicas: 3,
        clocks,
        drain_delay_ms: 300,
        ..Setup::default()
    }
}

async fn roll(
    mut system: System,
    plan: &Plan,
    prepare: impl Fn(&mut System, usize) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut load = Load::start(&system, plan.callers, u64::MAX);
    load.more(plan.calls).await;
    let mut longest = Duration::ZERO;
    for _ in 0..plan.rounds {
        for place in 0..system.control_planes.len() {
            prepare(&mut system, place)?;
            let since = Instant::now();
            system.control_planes[place].restart().await?;
            until_ready(&system, place).await?;
            longest = longest.max(since.elapsed());
            load.more(plan.calls).await;
        }
    }
    let tally = load.finish(&system).await?;
    let count = plan.rounds * system.control_planes.len();
    Ok(Outcome {
        done: vec![
            ("restarts".into(), count.to_string()),
            (
                "longest, milliseconds".into(),
                longest.as_millis().to_string(),
            ),
        ],
        tally,
    })
}

async fn until_ready(system: &System, place: usize) -> anyhow::Result<()> {
    let url = format!("http://{}/v1/health/ready", system.replicas[place]);
    until("a replica", || async {
        let answer = system.http.get(&url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await
}

/// PostgreSQL with a synchronous standby: the primary dies, the standby is promoted,
/// and the service that leads to the primary leads there.
///
/// # Errors
/// If the standby does not take over, or the system does not come back by itself.
pub async fn failover(plan: &Plan) -> anyhow::Result<Outcome> {
    let mut setup = three_replicas(Vec::new());
    setup.replicas = 2;
    // A streamed upload is sent once: it lives through what is shorter than this.
    setup.policy.begin_within_ms = 15_000;
    let mut system = System::set_up(setup).await?;
    let mut load = Load::start(&system, plan.callers, u64::MAX);
    let mut longest = Duration::ZERO;
    for round in 0..plan.rounds {
        let standby = copy(&system, &format!("standby-{round}"), true).await?;
        standby.launch().await?;
        // The copy was made before, so the standby itself waits for nobody.
        let synchronous = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        system.postgres.sql(synchronous).await?;
        system.postgres.sql("SELECT pg_reload_conf()").await?;
        until("the standby to follow", || async {
            let state = "SELECT sync_state FROM pg_stat_replication";
            let state = system.postgres.sql(state).await;
            state.is_ok_and(|state| state.trim() == "sync")
        })
        .await?;
        load.more(plan.calls).await;
        let since = Instant::now();
        system.postgres.stop_now();
        standby.tool("pg_ctl", &["-w", "promote"]).await?;
        let address = format!("127.0.0.1:{}", standby.port());
        system.database.retarget(address.parse()?);
        system.postgres = standby;
        load.more(1).await;
        longest = longest.max(since.elapsed());
        load.more(plan.calls).await;
    }
    let tally = load.finish(&system).await?;
    Ok(Outcome {
        done: vec![
            ("failovers".into(), plan.rounds.to_string()),
            (
                "primary's death to next call".into(),
                format!("{} ms", longest.as_millis()),
            ),
        ],
        tally,
    })
}

/// A point-in-time restore: base backup and archived log, brought up as it was
/// before the last exchanges, and nobody says so.
///
/// # Errors
/// If the restored server does not come up, or the system does not go on by itself.
pub async fn restore(plan: &Plan) -> anyhow::Result<Outcome> {
    let archive = tempfile::Builder::new().prefix("armour-wal").tempdir()?;
    own(archive.path())?;
    // Moved into place whole: what is there has been copied to its end.
    let place = archive.path().display();
    let copy_there = format!("cp %p {place}/%f.part && mv {place}/%f.part {place}/%f");
    let mut system = System::set_up(Setup {
        postgres: vec![
            ("archive_mode", "on".into()),
            ("archive_command", copy_there),
        ],
        ..Setup::default()
    })
    .await?;
    let mut load = Load::start(&system, plan.callers, u64::MAX);
    load.more(plan.calls).await;
    let backup = copy(&system, "backup", false).await?;
    load.more(plan.calls).await;
    system
        .postgres
        .sql("SELECT pg_create_restore_point('before')")
        .await?;
    let at_backup = exchanges(&system).await?;
    // What the restored server will not know: tickets, and a bundle with all of its.
    load.more(plan.calls).await;
    system.consumer.crash().await?;
    system.until_served().await?;
    load.more(plan.calls).await;
    let at_loss = exchanges(&system).await?;
    let segment = system
        .postgres
        .sql("SELECT pg_walfile_name(pg_switch_wal())")
        .await?;
    until("the archive", || async {
        archive.path().join(segment.trim()).exists()
    })
    .await?;
    let since = Instant::now();
    system.postgres.stop_now();
    let settings = format!(
        "\nrestore_command = 'cp {}/%f %p'\nrecovery_target_name = 'before'\n\
         recovery_target_action = 'promote'\n",
        archive.path().display()
    );
    let file = backup.data().join("postgresql.auto.conf");
    let earlier = std::fs::read_to_string(&file)?;
    std::fs::write(&file, earlier + &settings)?;
    let signal = backup.data().join("recovery.signal");
    std::fs::write(&signal, "")?;
    own(&signal)?;
    backup.launch().await?;
    until("the restore", || async {
        let recovering = backup.sql("SELECT pg_is_in_recovery()").await;
        recovering.is_ok_and(|answer| answer.trim() == "f")
    })
    .await?;
    system
        .database
        .retarget(format!("127.0.0.1:{}", backup.port()).parse()?);
    system.postgres = backup;
    let restored = exchanges(&system).await.unwrap_or_default();
    let fences = until_fenced(&system).await?;
    system.until_served().await?;
    let healed = since.elapsed();
    load.more(plan.calls).await;
    let tally = load.finish(&system).await?;
    ensure!(
        restored < at_loss,
        "the restore lost nothing, so nothing was shown"
    );
    Ok(Outcome {
        done: vec![
            ("exchanges at the backup".into(), at_backup.to_string()),
            ("at the loss".into(), at_loss.to_string()),
            ("after the restore".into(), restored.to_string()),
            ("fences".into(), fences.to_string()),
            (
                "back after, milliseconds".into(),
                healed.as_millis().to_string(),
            ),
        ],
        tally,
    })
}

/// Exchanges in the ledger.
async fn exchanges(system: &System) -> anyhow::Result<i64> {
    let sum = "SELECT sum(head_n + 1) FROM lanes";
    let text = system.postgres.sql_in("armour", sum).await?;
    Ok(text.trim().parse().unwrap_or_default())
}

async fn until_fenced(system: &System) -> anyhow::Result<usize> {
    let asked = async || -> anyhow::Result<usize> {
        let page: Page<AuditEntry> = system.operator.get("/v1/audit?action=ledger.fence").await?;
        Ok(page.items.len())
    };
    until("a fence", || async {
        asked().await.is_ok_and(|fences| fences > 0)
    })
    .await
    .context("no endpoint showed that the database was restored")?;
    asked().await
}

/// A copy of the running server's data, as `pg_basebackup` makes it.
async fn copy(system: &System, name: &str, follows: bool) -> anyhow::Result<Postgres> {
    let copy = Postgres::at(&system.folder().join(name), free_port()?)?;
    let port = system.postgres.port().to_string();
    let mut arguments = vec!["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
    arguments.extend(["-c", "fast", "-X", "stream"]);
    if follows {
        arguments.push("-R");
    }
    copy.tool("pg_basebackup", &arguments).await?;
    Ok(copy)
}

/// Gives a path to PostgreSQL's user.
fn own(path: &std::path::Path) -> anyhow::Result<()> {
    if armour_cli::servers::user::is_root() {
        let (uid, gid) = armour_cli::servers::user::ids_of("postgres")?;
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}
