//! One copy: it acts, its victim acts, and the ledger is asked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armour_api::{Bundle, BundleState, Collision, CollisionKind, Role};
use uuid::Uuid;

use crate::{
    process::until,
    system::System,
    thief::{Thief, steal_memory, steal_producer},
};

/// Exchanges that are tried at most until a copy counts as not found.
const MAX_EXCHANGES: u32 = 10;
/// How long the ledger is asked after each: nothing is counted as missed by that alone.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// What one copy showed.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// Whose copy it was.
    pub role: Role,
    /// The finding that named its victim's endpoint, and no other.
    pub found: Option<CollisionKind>,
    /// Exchanges tried by whoever acted second.
    pub exchanges: u32,
    /// From the first of these until the finding.
    pub time: Duration,
}

/// Plays one, and enrols its victim anew.
///
/// # Errors
/// If the copy gets nothing at first, or the system does not come back.
pub async fn play(system: &mut System, role: Role, number: usize) -> anyhow::Result<Trial> {
    system.until_served().await?;
    let victim = victim(system, role).await?;
    let before = system.all_collisions().await?.len();
    let name = format!("thief-{}-{number}", role.into_str());
    let trial = match role {
        Role::Consumer => {
            let thief = steal_memory(system, &name).await?;
            let (first, second) = match number % 2 {
                0 => (&thief.base, &system.base),
                _ => (&system.base, &thief.base),
            };
            let served = system.get_at(first, "/echo?id=first").await;
            served.context("whoever acts first is served")?;
            let trial = find(system, role, victim, before, second).await?;
            refused(system, &thief).await?;
            trial
        }
        Role::Producer => {
            let thief = steal_producer(system, &name).await?;
            system.hop.divert(thief.address()?);
            let served = system.get("/echo?id=copy").await;
            served.context("the copy of the producer answers")?;
            system.hop.divert(system.producer_address);
            find(system, role, victim, before, &system.base).await?
        }
    };
    if trial.found.is_some() {
        enrol_anew(system, role, victim).await?;
    }
    system.until_served().await?;
    Ok(trial)
}

/// Once a finding has ended an endpoint: its agent is enrolled as another.
///
/// # Errors
/// If what the finding ends does not end.
pub(crate) async fn enrol_anew(
    system: &mut System,
    role: Role,
    victim: Uuid,
) -> anyhow::Result<()> {
    until("the end of the victim's bundles", || async {
        let bundles = system.all::<Bundle>("/v1/bundles?").await;
        bundles.is_ok_and(|bundles| !bundles.iter().any(|one| lives(one, victim)))
    })
    .await?;
    system.enrol_again(role).await?;
    if role == Role::Consumer {
        system.operator.re_arm(system.pair, "a trial's end").await?;
    }
    Ok(())
}

/// Makes calls until the ledger has a finding.
async fn find(
    system: &System,
    role: Role,
    victim: Uuid,
    before: usize,
    second: &str,
) -> anyhow::Result<Trial> {
    let since = Instant::now();
    let mut trial = Trial {
        role,
        found: None,
        exchanges: 0,
        time: Duration::ZERO,
    };
    while trial.exchanges < MAX_EXCHANGES && trial.found.is_none() {
        trial.exchanges += 1;
        let call = system.get_at(second, "/echo?id=second");
        let (_, found) = tokio::join!(call, asked(system, before));
        let Some(found) = found? else { continue };
        for finding in &found {
            ensure!(
                finding.endpoint_id == victim,
                "it names another: {finding:?}"
            );
        }
        trial.found = found.first().map(|finding| finding.kind);
        trial.time = since.elapsed();
    }
    Ok(trial)
}

/// The findings since, asked for a while.
///
/// # Errors
/// If the control plane cannot be asked.
pub(crate) async fn asked(
    system: &System,
    before: usize,
) -> anyhow::Result<Option<Vec<Collision>>> {
    let since = Instant::now();
    while since.elapsed() < ASKED_FOR {
        let mut all = system.all_collisions().await?;
        if all.len() > before {
            all.sort_by_key(|finding| finding.detected_at);
            return Ok(Some(all.split_off(before)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(None)
}

/// Neither the consumer nor its copy is served any more.
async fn refused(system: &System, thief: &Thief) -> anyhow::Result<()> {
    for base in [&system.base, &thief.base] {
        until("the refusal", || async {
            system.get_at(base, "/echo?id=refused").await.is_err()
        })
        .await?;
    }
    Ok(())
}

/// The endpoint that is copied: that of the bundle in use.
///
/// # Errors
/// If there is none.
pub(crate) async fn victim(system: &System, role: Role) -> anyhow::Result<Uuid> {
    let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
    let active = bundles.iter().find(|one| one.state == BundleState::Active);
    let active = active.context("no bundle is in use")?;
    Ok(match role {
        Role::Consumer => active.consumer_endpoint_id,
        Role::Producer => active.producer_endpoint_id,
    })
}

fn lives(bundle: &Bundle, endpoint: Uuid) -> bool {
    let its = [bundle.consumer_endpoint_id, bundle.producer_endpoint_id].contains(&endpoint);
    its && bundle.state == BundleState::Active
}
