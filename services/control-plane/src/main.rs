//! Starts the control plane and drains it on SIGTERM or SIGINT.

use std::time::Duration;

use anyhow::Context as _;
use armour_ambient::Ambient;
use armour_control_plane::{
    app::{App, router},
    config::Config,
    platform::database,
};
use armour_listener::{Limits, Listener, shutdown};
use clap::Parser;
use prometheus::Registry;

/// Files that are open besides callers' connections: the database's, calls to issuers and
/// webhooks, the internal listener's, logs.
const OTHER_FILES: u64 = 500;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let telemetry = armour_telemetry::start("armour-control-plane", &config.telemetry)?;
    let served = serve(config, telemetry.registry.clone());
    telemetry.end();
    served
}

#[tokio::main]
async fn serve(config: Config, registry: Registry) -> anyhow::Result<()> {
    let ambient = Ambient::system();
    if config.migrate_only {
        database::migrate(&config.database, &ambient).await?;
        tracing::info!("the database is migrated");
        return Ok(());
    }
    let files = armour_listener::raise_file_limit();
    tracing::debug!(files, "open files");
    let listen = config.listen;
    let tls = config.tls.open()?;
    let app = App::start(config, ambient).await?;
    if let Some(listen) = app.config.metrics_listen {
        app.serve_internal(listen, registry)?;
    }
    let jobs = app.start_jobs();
    let listener = armour_listener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    tracing::info!(listen = %listener.local_addr()?, "control plane is up");
    tokio::spawn(stop_when_asked(app.clone()));
    let stopping = app.stopping.clone();
    // Every agent of this replica follows events on a connection of its own.
    let limits = Limits {
        connections: 20_000,
        ..Limits::default()
    }
    .within_files(files, OTHER_FILES);
    let listener = Listener::new(listener, tls);
    let serve = armour_listener::serve(listener, router(app.clone()), limits, stopping.clone());
    let patience = Duration::from_secs(app.config.drain_timeout_s);
    tokio::select! {
        served = serve => served?,
        () = async {
            stopping.cancelled().await;
            tokio::time::sleep(patience).await;
        } => tracing::warn!("calls under way are cut off"),
    }
    jobs.join_all().await;
    app.store.close().await;
    Ok(())
}

/// Drains: from the signal on this replica is not ready, then it takes no more.
async fn stop_when_asked(app: App) {
    shutdown::requested().await;
    tracing::info!("draining");
    app.draining.cancel();
    let delay = Duration::from_millis(app.config.drain_delay_ms);
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shutdown::requested() => tracing::info!("asked again; stopping now"),
    }
    app.stopping.cancel();
}
