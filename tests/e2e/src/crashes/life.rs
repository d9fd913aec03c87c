//! One life of a pair: enrolment, starts, a draw, lanes, calls, a renewal, both agents'
//! retirement and second starts; with one process killed at a write.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use armour_api::{Bundle, BundleState, Collision, LaneHead, Page, Policy, RecordedTicket, Role};
use armour_client::Client;
use tokio::process::Command;
use uuid::Uuid;

use super::{
    calls::{Calls, Kind},
    kept::Kept,
    kill_at::{KillAt, Record},
    stage::{Stage, until_ready},
    told::Told,
    victim::Victim,
};
use crate::{
    process::{free_port, until},
    system::{PLATFORM, Setup, agent_command, brisk, register},
};

/// How often an operator's act is tried again.
const MAX_TRIES: u32 = 600;

/// Renewed at 7 to 9 s: the shortest that the control plane takes.
fn policy() -> Policy {
    Policy {
        bundle_lifetime_ms: 10_000,
        ..brisk()
    }
}

/// Lives it, and kills the victim at its n-th write; nobody if n is 0. What is wrong is
/// told, and then its folder with all logs is kept.
///
/// # Errors
/// If something of the test's own breaks.
pub async fn live(stage: &Stage, victim: Victim, n: u64) -> anyhow::Result<Told> {
    let folder = stage.folder()?;
    let record = Record::of(&folder);
    let mut told = Told::default();
    let pair = Pair::start(stage, &folder, victim, n, &record).await?;
    if let Err(error) = pair.go_on().await {
        told.stuck = Some(format!("{error:#}"));
    }
    let requests = || stage.nginx.requests();
    pair.calls.compare(requests, &mut told).await?;
    let found = pair.end().await;
    match found {
        Ok(found) => told.false_collisions = found,
        Err(error) => {
            told.stuck.get_or_insert(format!("the end: {error:#}"));
        }
    }
    told.writes = record.writes();
    told.killed = record.killed();
    if told.is_clean() {
        std::fs::remove_dir_all(&folder)?;
    } else {
        let name = folder.file_name().unwrap_or_default();
        let kept = std::env::temp_dir().join("armour-crashes").join(name);
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
        std::fs::rename(&folder, &kept)?;
        told.kept = Some(kept.display().to_string());
    }
    Ok(told)
}

/// A pair and its processes.
struct Pair {
    consumer: Kept,
    producer: Kept,
    /// Its own, if that is the victim.
    control_plane: Option<Kept>,
    operator: Client,
    calls: Calls,
}

impl Pair {
    async fn start(
        stage: &Stage,
        folder: &Path,
        victim: Victim,
        n: u64,
        record: &Record,
    ) -> anyhow::Result<Self> {
        let wrap = |who: Option<&'static str>, command| {
            wrapped(who, n, stage.kill_at.clone(), record.clone(), command)
        };
        let (control, control_plane) = match victim {
            Victim::ControlPlane => {
                let (control, command) = stage.control_plane(folder).await?;
                let command = wrap(Some("all"), Box::new(command));
                let kept = Kept::start("control-plane", folder, command)?;
                until_ready(&Client::new(&control, PLATFORM)?).await?;
                (control, Some(kept))
            }
            _ => (stage.control.clone(), None),
        };
        let platform = Client::new(&control, PLATFORM)?;
        // People try again until an act is answered; what an unanswered one left is no harm.
        let mut tries = 0;
        let operator = loop {
            tries += 1;
            let tenant = format!("{}-{tries}", folder.display());
            match register(&platform, &tenant, policy(), folder).await {
                Ok((operator, _)) => break operator,
                Err(error) if tries > MAX_TRIES => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let setup = Setup::default();
        let producer_address = format!("127.0.0.1:{}", free_port()?);
        let listen = format!("127.0.0.1:{}", free_port()?);
        let producer = agent_command(
            folder,
            &setup,
            &None,
            &control,
            Role::Producer,
            vec![
                "--listen".into(),
                producer_address.clone(),
                "--upstream".into(),
                format!("http://127.0.0.1:{}", stage.upstream),
            ],
        )?;
        let consumer = agent_command(
            folder,
            &setup,
            &None,
            &control,
            Role::Consumer,
            vec![
                "--listen".into(),
                listen.clone(),
                "--via".into(),
                format!("http://{producer_address}"),
            ],
        )?;
        let producer = wrap(producers(victim), Box::new(producer));
        let consumer = wrap(consumers(victim), Box::new(consumer));
        let life = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            producer: Kept::start("producer", folder, producer)?,
            consumer: Kept::start("consumer", folder, consumer)?,
            control_plane,
            operator,
            calls: Calls::new(format!("http://{listen}"), format!("{life}-"))?,
        })
    }

    async fn go_on(&self) -> anyhow::Result<()> {
        let calls = &self.calls;
        calls.until_served(Kind::Post).await.context("first call")?;
        // A second lane.
        let both = tokio::join!(
            calls.until_served(Kind::Post),
            calls.until_served(Kind::Post)
        );
        both.0.and(both.1).context("two calls at once")?;
        calls.until_served(Kind::Upload).await?;
        calls.until_served(Kind::Download).await?;
        let before = self.newest_at_last().await?;
        until("a renewal of the bundle", || async {
            let newest = self.newest().await;
            newest.is_ok_and(|newest| newest != before)
        })
        .await?;
        calls.until_served(Kind::Post).await.context("renewed")?;
        for (name, agent) in [("consumer", &self.consumer), ("producer", &self.producer)] {
            agent.stop().await?;
            agent.go_on();
            let served = calls.until_served(Kind::Post).await;
            served.with_context(|| format!("after the {name}'s second start"))?;
        }
        self.until_reported().await
    }

    /// Both agents leave, and tell the control plane how far each lane came. How many
    /// collisions there are then.
    async fn end(&self) -> anyhow::Result<u64> {
        self.consumer.stop().await?;
        self.producer.stop().await?;
        let mut found = None;
        // The control plane may be killed now.
        for _ in 0..MAX_TRIES {
            let collisions = self.operator.get("/v1/collisions").await;
            if let Ok(Page::<Collision> { items, .. }) = collisions {
                found = Some(items.len() as u64);
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(control_plane) = &self.control_plane {
            control_plane.stop().await?;
        }
        found.context("the control plane does not say what it found")
    }

    /// As [`Pair::newest`], asked until it is answered: the control plane may be killed now.
    async fn newest_at_last(&self) -> anyhow::Result<Option<Uuid>> {
        for _ in 0..MAX_TRIES {
            if let Ok(newest) = self.newest().await {
                return Ok(newest);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.newest().await
    }

    /// The bundle in use that was drawn last.
    async fn newest(&self) -> anyhow::Result<Option<Uuid>> {
        let newest = self.bundles().await?.into_iter();
        let newest = newest.max_by_key(|bundle| bundle.created_at);
        Ok(newest.map(|bundle| bundle.id))
    }

    async fn bundles(&self) -> anyhow::Result<Vec<Bundle>> {
        let page: Page<Bundle> = self.operator.get("/v1/bundles").await?;
        Ok(page.items)
    }

    /// Waits until both ends have reported what the ledger knows of the bundle in use, or
    /// it is not in use any more.
    async fn until_reported(&self) -> anyhow::Result<()> {
        until("both ends' reports", || async {
            self.is_reported().await.unwrap_or(false)
        })
        .await
    }

    async fn is_reported(&self) -> anyhow::Result<bool> {
        let bundles = self.bundles().await?.into_iter();
        for bundle in bundles.filter(|bundle| bundle.state == BundleState::Active) {
            let id = bundle.id;
            let heads: Page<LaneHead> = self
                .operator
                .get(&format!("/v1/bundles/{id}/lanes"))
                .await?;
            for LaneHead { lane, n, .. } in heads.items {
                let path = format!("/v1/bundles/{id}/tickets?lane={lane}&cursor={}", n + 1);
                let page: Page<RecordedTicket> = self.operator.get(&path).await?;
                let reported = page.items.first().is_some_and(|ticket| {
                    ticket.n == n && ticket.consumer_reported && ticket.producer_reported
                });
                if !reported {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn consumers(victim: Victim) -> Option<&'static str> {
    match victim {
        Victim::Consumer => Some("all"),
        Victim::ConsumersProxy => Some("first"),
        Victim::ConsumersEnclave => Some("child"),
        _ => None,
    }
}

fn producers(victim: Victim) -> Option<&'static str> {
    match victim {
        Victim::Producer => Some("all"),
        Victim::ProducersProxy => Some("first"),
        Victim::ProducersEnclave => Some("child"),
        _ => None,
    }
}

type Start = Box<dyn Fn() -> Command + Send + Sync>;

fn wrapped(
    who: Option<&'static str>,
    n: u64,
    kill_at: KillAt,
    record: Record,
    command: Start,
) -> impl Fn() -> Command + Send + Sync + 'static {
    move || match who {
        Some(who) => kill_at.wrap(who, n, &record, command()),
        None => command(),
    }
}
