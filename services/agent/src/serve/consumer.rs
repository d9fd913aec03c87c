//! A consumer's agent, over all of its lives.

use std::{sync::Arc, time::Duration};

use armour_endpoint::{
    DataDirLock, consumer,
    consumer::{open::Opened, pair_manager::PairManager},
    control_plane::session::Watcher as _,
    options::Options,
    producer::draining::Awaited,
};
use armour_listener::Tls;
use prometheus::Registry;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::life::{
    End, Lives, Opening, lease_over, served_to_the_end, unless_hastened, until_ended,
};
use crate::{
    control_socket::{self, Leave},
    doors::Doors,
    health,
    options::ConsumerOptions,
    settings::ConsumerSettings,
    signals::Signals,
    standing::Standing,
};

/// Runs a consumer until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn consumer(options: ConsumerOptions, registry: Registry) -> anyhow::Result<()> {
    let settings = options.settings()?;
    let tls = options.common.tls.open()?;
    let mut signals = Signals::begin()?;
    let access_log = options.common.access_log.open()?;
    let own = Options {
        access_log: access_log.log(),
        ..Options::from(&options.common)
    };
    let standing = Arc::new(Standing::new(own.progress.clone()));
    let lock = tokio::select! {
        lock = DataDirLock::take(&own.data_dir, &own.progress) => lock?,
        () = signals.next() => return Ok(()),
    };
    let mut lock = Some(Arc::new(lock));
    let stop = CancellationToken::new();
    if let Some(listen) = options.common.health_listen {
        let with_lease = options.common.ready_with_lease;
        health::serve(listen, standing.clone(), with_lease, registry, stop.clone()).await?;
    }
    let _socket = control_socket::serve(&own.data_dir, Arc::new(Stays));
    let mut lives = Lives::new(own);
    let mut doors = doors_of(&settings, tls.as_ref(), &standing).await?;
    loop {
        let opening = async {
            let lock = lives.lock(lock.take()).await?;
            consumer::open::open_in(lock, lives.options()).await
        };
        let opened = tokio::select! {
            opened = opening => opened,
            () = signals.next() => return Ok(()),
        };
        let mut opened = match lives.opened(opened, &standing, &mut signals).await? {
            Opening::Opened(opened) => opened,
            Opening::Again => continue,
            Opening::Over => return Ok(()),
        };
        let (session, pairs) = (opened.shared.session.clone(), opened.pair_manager.clone());
        standing.open(lease_over(&session, &pairs));
        pairs.take_over(doors.hand_over());
        #[cfg(feature = "clone-demo")]
        if let Some(path) = &options.insecure_export {
            consumer::clone::export(pairs.clone(), path)?;
        }
        let stop = CancellationToken::new();
        let mut serving = tokio::spawn(serve(
            pairs.clone(),
            settings.clone(),
            tls.clone(),
            stop.clone(),
        ));
        let ready_after = Duration::from_secs(options.ready_after);
        let readiness = get_ready(&pairs, &standing, ready_after);
        let since = Instant::now();
        let end = until_ended(&mut opened.background, &mut serving, &mut signals).await?;
        let silence = (session.silence(), pairs.heartbeat_interval());
        stop.cancel();
        match end {
            End::Asked => {
                tracing::info!("draining");
                standing.draining();
                let leaving = leave(opened, serving);
                // Its calls are its callers'; hastened, it ends before they do.
                tokio::select! {
                    () = leaving => {}
                    () = unless_hastened(std::future::pending(), &mut signals, || {}) => {}
                }
                return Ok(());
            }
            End::Ended(ended) => {
                pairs.has_ended();
                served_to_the_end(serving).await;
                drop((opened, session, pairs, readiness));
                doors = doors_of(&settings, tls.as_ref(), &standing).await?;
                let lived = since.elapsed();
                let goes_on = lives.after(ended, silence, lived, &standing, &mut signals);
                if !goes_on.await? {
                    return Ok(());
                }
            }
        }
    }
}

/// Has the agent be ready once each pair has a bundle: before, its first calls would wait for one.
/// Where none is granted it waits for so long.
fn get_ready(
    pairs: &Arc<PairManager>,
    standing: &Arc<Standing>,
    within: Duration,
) -> AbortOnDropHandle<()> {
    let (pairs, standing) = (pairs.clone(), standing.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = pairs.have_bundles() => {}
            () = tokio::time::sleep(within) => {
                tracing::warn!("some pairs have no bundle yet");
            }
        }
        standing.ready();
        tracing::info!("ready");
    }))
}

/// The ports of the settings, which say where the agent stands.
async fn doors_of(
    settings: &watch::Receiver<ConsumerSettings>,
    tls: Option<&Tls>,
    standing: &Arc<Standing>,
) -> anyhow::Result<Doors> {
    let pairs = settings.borrow().pairs.clone();
    Doors::open(&pairs, tls, standing).await
}

async fn serve(
    pairs: Arc<PairManager>,
    settings: watch::Receiver<ConsumerSettings>,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    pairs.serve(settings, tls, stop).await
}

async fn leave(opened: Opened, serving: tokio::task::JoinHandle<anyhow::Result<()>>) {
    served_to_the_end(serving).await;
    opened.drain().await;
}

/// An application calls until it ends, and its agent serves for as long.
struct Stays;

impl Leave for Stays {
    async fn leave(&self, _: watch::Sender<Option<Awaited>>) -> String {
        "a consumer's agent serves until it is stopped".to_owned()
    }
}
