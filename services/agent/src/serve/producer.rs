//! A producer's agent, over all of its lives.

use std::{sync::Arc, time::Duration};

use armour_endpoint::{
    DataDirLock,
    control_plane::session::Watcher as _,
    listening,
    options::Options,
    producer::{
        self,
        endpoint::ProducerEndpoint,
        exchange_handler,
        open::Opened,
        plain::{self, Permissive},
        upstream::{Manner, Server, Upstream},
    },
    wire::http_client::Trust,
};
use armour_listener::Listener;
use prometheus::Registry;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    leaver::Leaver,
    life::{
        End, Lives, Opening, last_words, lease_over, served_to_the_end, unless_hastened,
        until_ended,
    },
};
use crate::{
    control_socket::{self, Leave as _},
    front::Front,
    health,
    options::ProducerOptions,
    settings::ProducerSettings,
    signals::Signals,
    standing::Standing,
};

/// Runs a producer until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn producer(options: ProducerOptions, registry: Registry) -> anyhow::Result<()> {
    let common = &options.common;
    let mut settings = options.settings()?;
    let trust = Trust::new(common.tls_ca_file.as_deref())?;
    let tls = common.tls.open()?;
    let scheme = common.tls.scheme();
    let address = options
        .address
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{}", options.listen));
    to_server(&settings.borrow_and_update(), &trust)?;
    let mut signals = Signals::begin()?;
    let access_log = common.access_log.open()?;
    let own = Options {
        access_log: access_log.log(),
        upstream_limit: options.upstream_limit,
        ..common.into()
    };
    let standing = Arc::new(Standing::new(own.progress.clone()));
    let lock = tokio::select! {
        lock = DataDirLock::take(&own.data_dir, &own.progress) => lock?,
        () = signals.next() => return Ok(()),
    };
    let mut lock = Some(Arc::new(lock));
    let stop = CancellationToken::new();
    if let Some(listen) = common.health_listen {
        let with_lease = common.ready_with_lease;
        health::serve(listen, standing.clone(), with_lease, registry, stop.clone()).await?;
    }
    let drain_for = Duration::from_secs(options.drain_for);
    let leaver = Arc::new(Leaver::new(standing.clone(), drain_for));
    let _socket = control_socket::serve(&own.data_dir, leaver.clone());
    let front = Front::new(standing.clone());
    let listener = Listener::new(listening::listen(options.listen)?, tls);
    let served = listening::serve(listener, front.router(), stop.clone());
    let mut serving = tokio::spawn(served);
    plain::observe(options.permissive);
    let permissive = options
        .permissive
        .then(|| Permissive::new(own.ambient.random.clone(), options.upstream_limit));
    standing.is_permissive(options.permissive);
    let mut lives = Lives::new(own);
    loop {
        let upstream = to_server(&settings.borrow_and_update(), &trust)?;
        let opening = async {
            let lock = lives.lock(lock.take()).await?;
            producer::open::open_in(lock, lives.options(), address.clone(), upstream).await
        };
        let opened = tokio::select! {
            opened = leaver.unless_asked(opening) => opened,
            () = signals.next() => return Ok(()),
        };
        let Some(opened) = opened else {
            return stay(&mut signals).await;
        };
        let opened = leaver.unless_asked(lives.opened(opened, &standing, &mut signals));
        let Some(opened) = opened.await else {
            return stay(&mut signals).await;
        };
        let mut opened = match opened? {
            Opening::Opened(opened) => opened,
            Opening::Again => continue,
            Opening::Over => return Ok(()),
        };
        let producer = opened.producer.clone();
        standing.open(lease_over(&producer.session, &producer));
        leaver.set(Some(producer.clone()));
        if leaver.is_asked() {
            opened.drain().await;
            return stay(&mut signals).await;
        }
        front.set(Some(match &permissive {
            None => exchange_handler::router(producer.clone()),
            Some(permissive) => plain::router(producer.clone(), permissive.clone()),
        }));
        let _teller = permissive
            .as_ref()
            .map(|permissive| permissive.tell(&producer.session));
        #[cfg(feature = "clone-demo")]
        if let Some(path) = &options.insecure_export {
            producer::clone::export(producer.clone(), path)?;
        }
        let _follower = follow(&producer, settings.clone(), trust.clone());
        let ready_after = Duration::from_secs(options.ready_after);
        let _readiness = get_ready(&opened, &standing, ready_after);
        let since = Instant::now();
        let end = until_ended(&mut opened.background, &mut serving, &mut signals).await?;
        let silence = (producer.session.silence(), producer.heartbeat_interval());
        match end {
            End::Asked => {
                tracing::info!("draining");
                let hastened = CancellationToken::new();
                let leaving = async {
                    leaver.leave(watch::Sender::new(None)).await;
                    stop.cancel();
                    tokio::select! {
                        () = served_to_the_end(&mut serving) => {}
                        () = hastened.cancelled() => {}
                    }
                    opened.drain().await;
                    last_words(&mut serving).await;
                };
                let hasten = || {
                    producer.hasten();
                    hastened.cancel();
                };
                unless_hastened(leaving, &mut signals, hasten).await;
                return Ok(());
            }
            End::Ended(ended) => {
                front.set(None);
                leaver.set(None);
                drop((opened, producer));
                let lived = since.elapsed();
                let goes_on = lives.after(ended, silence, lived, &standing, &mut signals);
                let Some(goes_on) = leaver.unless_asked(goes_on).await else {
                    return stay(&mut signals).await;
                };
                if !goes_on? {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits for the end of a process that has left already, or never was an endpoint.
async fn stay(signals: &mut Signals) -> anyhow::Result<()> {
    signals.next().await;
    Ok(())
}

/// Has requests go where the settings say from now on.
fn follow(
    producer: &Arc<ProducerEndpoint>,
    mut settings: watch::Receiver<ProducerSettings>,
    trust: Trust,
) -> AbortOnDropHandle<()> {
    let producer = producer.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while settings.changed().await.is_ok() {
            match to_server(&settings.borrow_and_update(), &trust) {
                Ok(upstream) => producer.send_to(upstream),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the upstream in use is kept");
                }
            }
        }
    }))
}

/// Has the agent be ready once its assigned bundles are acknowledged: a rollout that waits for
/// that takes no earlier one away before. Where there are none it waits for so long.
fn get_ready(opened: &Opened, standing: &Arc<Standing>, within: Duration) -> AbortOnDropHandle<()> {
    let within = match opened.has_pairs {
        true => within,
        false => Duration::ZERO,
    };
    let (producer, standing) = (opened.producer.clone(), standing.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            () = producer.settled() => {}
            () = tokio::time::sleep(within) => {}
        }
        standing.ready();
        tracing::info!("ready");
    }))
}

fn to_server(settings: &ProducerSettings, trust: &Trust) -> anyhow::Result<Upstream> {
    let manner = Manner {
        http2: settings.upstream_http2,
        title_case_fields: settings.title_case_fields,
        timeout: Duration::from_secs(settings.upstream_timeout),
    };
    let server = Server::new(&settings.upstream, manner, trust)?;
    let server = server.checked(settings.upstream_check.clone(), manner, trust);
    Ok(Upstream::Server(Arc::new(server)))
}
