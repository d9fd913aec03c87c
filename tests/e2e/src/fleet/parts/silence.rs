//! The control plane is away for long from many endpoints. These are simulated: their keys, chains,
//! sockets and tokens are real, and they come back as agents do, each after a random wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use armour_api::{BundleState, Page, Role};
use armour_client::ClientError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use rand::RngExt as _;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    fleet::{
        figures::Findings,
        stage::{Context, Fleet, Shape},
    },
    simulated::{Endpoint, enrol},
};

/// How many are enrolled at once.
const AT_ONCE: usize = 8;
/// The longest wait between two attempts; each is a random part of what doubles up to it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long it is waited until all have come back.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the simulated endpoints were told.
#[derive(Default)]
struct Told {
    /// When each was answered last.
    answered: BTreeMap<Uuid, Instant>,
    /// Bundles that are not active any more: their consumers would draw others.
    ended: BTreeSet<Uuid>,
    /// Why heartbeats were refused, how often.
    refused: BTreeMap<String, u64>,
}

pub async fn play(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    let plan = &context.plan;
    let mut shape = Shape {
        producers: 0,
        consumers: 1,
        endpoints: 0,
        ..Shape::usual(plan)
    };
    // As long in relation to the outage as the default is to ten minutes; but never so short that
    // one heartbeat of an endpoint that is well comes too late.
    let beat = u64::from(shape.policy.heartbeat_interval_ms) / 1_000;
    let lost_after = (plan.silence * 15 / 100).clamp(3 * beat + 1, 90);
    let variable = ("ARMOUR_ENDPOINT_LOST_AFTER", lost_after.to_string());
    shape.environment.push(variable);
    let interval = Duration::from_millis(shape.policy.heartbeat_interval_ms.into());
    let mut fleet = Fleet::without_agents(context, shape).await?;
    let endpoints = simulate(context, &fleet).await?;
    let all = endpoints.len();
    let told = Arc::new(Mutex::new(Told::default()));
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    for (endpoint, bundles) in endpoints {
        let (told, stop) = (told.clone(), stop.clone());
        tasks.spawn(async move {
            let living = live(endpoint, bundles, interval, told);
            stop.run_until_cancelled(living).await;
        });
    }
    context.progress.phase("all send heartbeats");
    until_answered(&told, all, Instant::now()).await;
    let before = answered(&told, all)?;
    context
        .progress
        .phase(&format!("the control plane is away, {} s", plan.silence));
    fleet.control_plane.kill().await?;
    tokio::time::sleep(Duration::from_secs(plan.silence)).await;
    fleet.control_plane.start_again()?;
    fleet.until_control().await?;
    let back = Instant::now();
    context.progress.phase("waits until all have come back");
    until_answered(&told, all, back).await;
    let returned = back.elapsed();
    // Whoever is to be called lost is so by then.
    tokio::time::sleep(Duration::from_secs(lost_after) + 2 * interval).await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    let lost = lost(&fleet).await?.len() as u64;
    let told = told.lock();
    let came = told.answered.values().filter(|at| **at > back).count();
    findings.figures.outage_600_lost = Some(lost);
    findings.row("silence: endpoints", before);
    findings.row(
        "silence: all were back after, seconds",
        format!("{:.1}", returned.as_secs_f64()),
    );
    findings.row("silence: bundles that ended", told.ended.len());
    for (why, count) in &told.refused {
        findings.row(format!("silence: heartbeats refused, {why}"), count);
    }
    findings.holds(came == all, || {
        format!("silence: {} did not come back", all - came)
    });
    findings.holds(lost == 0, || {
        format!("silence: {lost} endpoints were called lost")
    });
    findings.holds(told.ended.is_empty(), || {
        format!(
            "silence: {} bundles ended and would be drawn again",
            told.ended.len()
        )
    });
    Ok(())
}

/// Enrols all of them; each with the bundles that it holds.
async fn simulate(context: &Context, fleet: &Fleet) -> anyhow::Result<Vec<(Endpoint, Vec<Uuid>)>> {
    let (producer, consumer) = fleet.parties().context("a producer and a consumer")?;
    let pair = *fleet.pairs.first().context("a pair")?;
    let producers = (context.plan.simulated / 10).max(1);
    let consumers = context.plan.simulated.saturating_sub(producers).max(1);
    context.progress.phase("enrols endpoints");
    let enrol = |role, party| enrol(&fleet.control, &fleet.operator, role, party);
    let mut all: Vec<Endpoint> = stream::iter(0..producers)
        .map(|_| enrol(Role::Producer, producer))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let draw = async || {
        let mut endpoint = enrol(Role::Consumer, consumer).await?;
        endpoint.draw(pair).await?;
        anyhow::Ok(endpoint)
    };
    let drawn: Vec<Endpoint> = stream::iter(0..consumers)
        .map(|_| draw())
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    all.extend(drawn);
    let mut held: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for bundle in fleet.operator.bundles(None).every().await? {
        for end in [bundle.consumer_endpoint_id, bundle.producer_endpoint_id] {
            held.entry(end).or_default().push(bundle.id);
        }
    }
    let with_bundles = all.into_iter().map(|endpoint| {
        let bundles = held.remove(&endpoint.id).unwrap_or_default();
        (endpoint, bundles)
    });
    Ok(with_bundles.collect())
}

/// Sends heartbeats for ever.
async fn live(
    mut endpoint: Endpoint,
    bundles: Vec<Uuid>,
    interval: Duration,
    told: Arc<Mutex<Told>>,
) {
    let mut most = Duration::from_secs(1);
    tokio::time::sleep(part_of(interval)).await;
    loop {
        match endpoint.heartbeat(&bundles).await {
            Ok(ack) => {
                let mut told = told.lock();
                told.answered.insert(endpoint.id, Instant::now());
                let ended = ack.bundles.iter();
                let ended = ended.filter(|one| one.state != BundleState::Active);
                told.ended.extend(ended.map(|one| one.id));
                most = Duration::from_secs(1);
            }
            Err(error) => {
                if let Some(ClientError::Problem(problem)) = error.downcast_ref() {
                    let name = problem.r#type.clone();
                    *told.lock().refused.entry(name).or_default() += 1;
                }
                tokio::time::sleep(part_of(most)).await;
                most = (most * 2).min(LONGEST_WAIT);
                continue;
            }
        }
        tokio::time::sleep(interval).await;
    }
}

fn part_of(whole: Duration) -> Duration {
    rand::rng().random_range(Duration::ZERO..=whole)
}

/// Waits until all have been answered since.
async fn until_answered(told: &Mutex<Told>, all: usize, since: Instant) {
    let begun = Instant::now();
    let count = || {
        let told = told.lock();
        told.answered.values().filter(|at| **at > since).count()
    };
    while count() < all && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many have been answered: all of them, before anything is tried.
fn answered(told: &Mutex<Told>, all: usize) -> anyhow::Result<usize> {
    let answered = told.lock().answered.len();
    anyhow::ensure!(
        answered == all,
        "{answered} of {all} endpoints are answered"
    );
    Ok(answered)
}

/// The endpoints that were ever called lost, by the audit log.
async fn lost(fleet: &Fleet) -> anyhow::Result<BTreeSet<String>> {
    let (mut lost, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/v1/audit?action=endpoint.lost{cursor}");
        let page: Page<Value> = fleet.operator.get(&path).await?;
        lost.extend(page.items.iter().map(|entry| entry["target"].to_string()));
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(lost),
        }
    }
}
