//! Runs an agent until it is asked to stop, and ends it in order.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::bail;
use armour_endpoint::{
    background::Background,
    consumer,
    listening::{self, DRAIN},
    options::Options,
    producer::{
        self, exchange_handler,
        upstream::{Manner, Server, Upstream},
    },
    wire::http_client::Trust,
};
use armour_listener::{Listener, shutdown};
use prometheus::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "clone-demo")]
use crate::options::CloneOptions;
use crate::{
    health,
    options::{ConsumerOptions, ProducerOptions},
    settings::ProducerSettings,
};

/// Runs a consumer until the agent is asked to stop.
///
/// # Errors
/// If it cannot start, or the enclave is lost.
pub async fn consumer(options: ConsumerOptions, registry: Registry) -> anyhow::Result<()> {
    let settings = options.settings()?;
    let tls = options.common.tls.open()?;
    let opened = consumer::open::open(&Options {
        ..(&options.common).into()
    })
    .await?;
    let stop = CancellationToken::new();
    if let Some(listen) = options.common.health_listen {
        let session = opened.shared.session.clone();
        health::serve(
            listen,
            session,
            opened.pair_manager.clone(),
            registry,
            stop.clone(),
        )
        .await?;
    }
    #[cfg(feature = "clone-demo")]
    if let Some(path) = &options.insecure_export {
        consumer::clone::export(opened.pair_manager.clone(), path)?;
    }
    let serving = opened
        .pair_manager
        .clone()
        .serve(settings, tls, stop.clone());
    let mut opened = opened;
    let serving = until_stopped(&mut opened.background, serving).await?;
    stop.cancel();
    served_to_the_end(serving).await;
    opened.drain().await;
    Ok(())
}

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
    let upstream = to_server(&settings.borrow_and_update(), &trust)?;
    let opened = producer::open::open(&common.into(), address, upstream).await?;
    let producer = opened.producer.clone();
    let stop = CancellationToken::new();
    if let Some(listen) = common.health_listen {
        let session = producer.session.clone();
        health::serve(listen, session, producer.clone(), registry, stop.clone()).await?;
    }
    #[cfg(feature = "clone-demo")]
    if let Some(path) = &options.insecure_export {
        producer::clone::export(producer.clone(), path)?;
    }
    let follower = producer.clone();
    tokio::spawn(async move {
        while settings.changed().await.is_ok() {
            match to_server(&settings.borrow_and_update(), &trust) {
                Ok(upstream) => follower.send_to(upstream),
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the upstream in use is kept")
                }
            }
        }
    });
    let listener = listening::listen(options.listen).await?;
    let serving = listening::serve(
        Listener::new(listener, tls),
        exchange_handler::router(producer.clone()),
        stop.clone(),
    );
    let mut opened = opened;
    let serving = until_stopped(&mut opened.background, serving).await?;
    // Consumers are answered still: by a word that their calls did not run.
    producer.quiesce(DRAIN).await;
    stop.cancel();
    served_to_the_end(serving).await;
    opened.drain().await;
    Ok(())
}

/// Acts with stolen state until it is killed.
///
/// # Errors
/// If it cannot start.
#[cfg(feature = "clone-demo")]
pub async fn clone(options: &CloneOptions) -> anyhow::Result<()> {
    let CloneOptions {
        state,
        data_dir,
        listen,
        upstream,
    } = options;
    match upstream {
        None => consumer::clone::run(state, data_dir, *listen).await,
        Some(upstream) => producer::clone::run(state, data_dir, *listen, upstream).await,
    }
}

fn to_server(settings: &ProducerSettings, trust: &Trust) -> anyhow::Result<Upstream> {
    let manner = Manner {
        http2: settings.upstream_http2,
        title_case_fields: settings.title_case_fields,
        timeout: Duration::from_secs(settings.upstream_timeout),
    };
    let server = Server::new(&settings.upstream, manner, trust)?;
    Ok(Upstream::Server(Arc::new(server)))
}

/// Serves until SIGINT or SIGTERM; what serves then.
///
/// # Errors
/// If this process cannot be the endpoint any more, or serving ends by itself.
async fn until_stopped(
    background: &mut Background,
    serving: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let mut serving = tokio::spawn(serving);
    tokio::select! {
        error = background.ended() => return Err(error),
        ended = &mut serving => {
            ended??;
            bail!("nothing is served any more");
        }
        () = shutdown::requested() => {}
    }
    tracing::info!("draining");
    Ok(serving)
}

/// Waits until what was asked to stop serving has ended, for a while.
async fn served_to_the_end(serving: JoinHandle<anyhow::Result<()>>) {
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        tracing::warn!("some requests were still under way");
    }
}
