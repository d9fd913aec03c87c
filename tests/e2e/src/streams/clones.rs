//! Copies of a consumer that are taken inside a stream, and whether the ledger finds them.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use armour_api::{Bundle, BundleState, Policy, Role};
use indicatif::ProgressBar;
use tokio_util::task::AbortOnDropHandle;

use super::{
    api::{Api, PIECE},
    caller::{Caller, next},
};
use crate::{
    clones::trial::{asked, enrol_anew, victim},
    process::until,
    system::{Setup, System, brisk},
    thief::steal_memory,
};

/// Times that a stream is re-keyed before it is copied: by default that takes ten minutes.
const REKEYINGS: u32 = 20;
/// How often the ledger is asked for a finding, five seconds each time.
const ASKED: u32 = 12;

/// How many of so many the ledger finds, their victims still in the stream.
pub async fn count(clones: u32, parallel: u32, bar: &ProgressBar) -> anyhow::Result<u32> {
    let due = Mutex::new(0..clones);
    let next = || due.lock().unwrap_or_else(PoisonError::into_inner).next();
    let players = (0..parallel.clamp(1, clones.max(1))).map(|_| async {
        let api = Api::start(false).await?;
        let mut system = System::set_up(setup(&api)).await?;
        let mut found = 0;
        while let Some(number) = next() {
            found += u32::from(play(&mut system, number).await?);
            bar.inc(1);
        }
        anyhow::Ok(found)
    });
    let mut found = 0;
    for played in futures::future::join_all(players).await {
        found += played?;
    }
    Ok(found)
}

/// A stream of the drill is re-keyed with each of its pieces, and at least each second.
fn setup(api: &Api) -> Setup {
    Setup {
        policy: Policy {
            rekey_interval_ms: 1_000,
            rekey_bytes: PIECE as u32,
            // Found by the stream itself, and not by a heartbeat or another exchange.
            heartbeat_interval_ms: 20_000,
            empty_exchange_interval_ms: 60_000,
            max_lanes: 1,
            ..brisk()
        },
        exports: true,
        rekey_streams: true,
        retry_for: 5,
        agents_log: "info",
        upstream: Some(api.address),
        ..Setup::default()
    }
}

/// Copies the consumer inside a stream; the copy re-keys, as its victim does. Whether it is found.
async fn play(system: &mut System, number: u32) -> anyhow::Result<bool> {
    system.until_served().await?;
    let victim = victim(system, Role::Consumer).await?;
    let before = system.all_collisions().await?.len();
    let caller = Caller::new(&system.base, false);
    let target = format!("/give?bytes={}&pause_ms=50", u64::MAX);
    let mut body = caller.get(&target).await?.into_body();
    let reader = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(Ok(_)) = next(&mut body).await {}
    }));
    until("ten minutes of re-keying", || async {
        rekeyings(system).await.is_ok_and(|done| done >= REKEYINGS)
    })
    .await?;
    ensure!(!reader.is_finished(), "the stream has broken");
    let _thief = steal_memory(system, &format!("thief-{number}")).await?;
    let mut found = None;
    for _ in 0..ASKED {
        found = asked(system, before).await?;
        if found.is_some() {
            break;
        }
    }
    let Some(found) = found else {
        return Ok(false);
    };
    for finding in &found {
        ensure!(
            finding.endpoint_id == victim,
            "it names another: {finding:?}"
        );
    }
    drop(reader);
    enrol_anew(system, Role::Consumer, victim).await?;
    Ok(true)
}

/// How often the stream on the bundle's lane has been re-keyed, as far as the ledger knows.
async fn rekeyings(system: &System) -> anyhow::Result<u32> {
    let bundles: Vec<Bundle> = system.all("/v1/bundles?").await?;
    let active = bundles.iter().find(|one| one.state == BundleState::Active);
    let active = active.context("no bundle is in use")?;
    let lanes = system.operator.lanes(active.id).every().await?;
    Ok(lanes.iter().map(|lane| lane.k).max().unwrap_or_default())
}
