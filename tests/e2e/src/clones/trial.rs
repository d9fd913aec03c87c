//! One copy: it acts, its victim acts, and the ledger is asked.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use armour_api::{Bundle, BundleState, Collision, CollisionKind, Endpoint, EndpointState, Role};
use uuid::Uuid;

use crate::{
    hop::Hop,
    process::until,
    system::{BYSTANDER, System},
    thief::{Thief, steal_memory, steal_producer_before},
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
    /// Exchanges tried by whoever acted second, or as many at once as there are bystanders' lanes.
    pub exchanges: u32,
    /// Bundles in use between others.
    pub bystanders: usize,
    /// Endpoints and bundles of others that were cut.
    pub bystanders_cut: usize,
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
    // A copy has the lanes that are open, and opens none: each producer's endpoint is called.
    calls(system, &system.base, "before").await;
    let honest = Honest::before(system, victim).await?;
    let before = system.all_collisions().await?.len();
    let name = format!("thief-{}-{number}", role.into_str());
    let mut trial = match role {
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
            let upstream = SocketAddr::from(([127, 0, 0, 1], system.upstream));
            let upstream = Hop::start(upstream).await?;
            upstream.record();
            let thief = steal_producer_before(system, &name, upstream.address()).await?;
            system.hop.divert(thief.address()?);
            until("an answer of the producer's copy", || async {
                calls(system, &system.base, "copy").await;
                !upstream.recorded().is_empty()
            })
            .await?;
            system.hop.divert(system.producer_address);
            find(system, role, victim, before, &system.base).await?
        }
    };
    trial.bystanders = honest.bundles.len();
    if trial.found.is_some() {
        trial.bystanders_cut = honest.cut(system).await?;
        enrol_anew(system, role, victim).await?;
    }
    system.until_served().await?;
    Ok(trial)
}

/// As many calls at once as it takes to use each producer's endpoint; whether any was served.
async fn calls(system: &System, base: &str, id: &str) -> bool {
    // Half of the bystanders are producers.
    let all = 1 + 2 * system.bystanders.len();
    let target = format!("/echo?id={id}");
    let calls = (0..all).map(|_| system.get_at(base, &target));
    let ends = futures::future::join_all(calls).await;
    ends.iter().any(Result::is_ok)
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
        bystanders: 0,
        bystanders_cut: 0,
        time: Duration::ZERO,
    };
    while trial.exchanges < MAX_EXCHANGES && trial.found.is_none() {
        trial.exchanges += 1;
        let called = calls(system, second, "second");
        let (_, found) = tokio::join!(called, asked(system, before));
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

/// The endpoint that is copied: that of a bundle in use between ends that are no bystanders.
///
/// # Errors
/// If there is none.
pub(crate) async fn victim(system: &System, role: Role) -> anyhow::Result<Uuid> {
    let bystanders = bystanders(system).await?;
    let found = async || {
        let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
        let active = bundles.iter().find(|one| {
            let ends = [one.consumer_endpoint_id, one.producer_endpoint_id];
            one.state == BundleState::Active && !ends.iter().any(|end| bystanders.contains(end))
        });
        anyhow::Ok(active.map(|active| match role {
            Role::Consumer => active.consumer_endpoint_id,
            Role::Producer => active.producer_endpoint_id,
        }))
    };
    until("a bundle in use", || async {
        found().await.is_ok_and(|found| found.is_some())
    })
    .await?;
    found().await?.context("no bundle is in use")
}

/// Endpoints that nobody copies.
async fn bystanders(system: &System) -> anyhow::Result<BTreeSet<Uuid>> {
    let endpoints: Vec<Endpoint> = system.all("/v1/endpoints?").await?;
    let named = endpoints
        .into_iter()
        .filter(|one| one.name.starts_with(BYSTANDER));
    Ok(named.map(|one| one.id).collect())
}

/// Those that nobody copies, before a copy acts.
struct Honest {
    endpoints: BTreeSet<Uuid>,
    bundles: BTreeSet<Uuid>,
}

impl Honest {
    async fn before(system: &System, victim: Uuid) -> anyhow::Result<Self> {
        let endpoints: Vec<Endpoint> = system.all("/v1/endpoints?").await?;
        let active = endpoints
            .into_iter()
            .filter(|one| one.id != victim && one.state == EndpointState::Active);
        let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
        let apart = bundles.into_iter().filter(|one| {
            let ends = [one.consumer_endpoint_id, one.producer_endpoint_id];
            one.state == BundleState::Active && !ends.contains(&victim)
        });
        Ok(Self {
            endpoints: active.map(|one| one.id).collect(),
            bundles: apart.map(|one| one.id).collect(),
        })
    }

    /// How many of them have been cut.
    async fn cut(&self, system: &System) -> anyhow::Result<usize> {
        let endpoints: Vec<Endpoint> = system.all("/v1/endpoints?").await?;
        let ended = endpoints
            .iter()
            .filter(|one| self.endpoints.contains(&one.id) && one.state != EndpointState::Active);
        let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
        let disconnected = bundles
            .iter()
            .filter(|one| self.bundles.contains(&one.id) && one.state == BundleState::Disconnected);
        Ok(ended.count() + disconnected.count())
    }
}

fn lives(bundle: &Bundle, endpoint: Uuid) -> bool {
    let its = [bundle.consumer_endpoint_id, bundle.producer_endpoint_id].contains(&endpoint);
    its && bundle.state == BundleState::Active
}
