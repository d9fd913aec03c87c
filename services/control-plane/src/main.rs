//! Starts the control plane and drains it on SIGTERM or SIGINT.

use anyhow::Context as _;
use armour_control_plane::{config::Config, router, state::App, workers};
use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("ARMOUR_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let config = Config::parse();
    let listen = config.listen;
    let app = App::start(config).await?;
    let stopping = app.stopping.clone();
    let workers = workers::start(&app);
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("listen on {listen}"))?;
    tracing::info!(listen = %listener.local_addr()?, "control plane is up");
    axum::serve(listener, router(app.clone()).into_make_service())
        .with_graceful_shutdown(async move {
            asked_to_stop().await;
            tracing::info!("draining");
            stopping.cancel();
        })
        .await?;
    workers.join_all().await;
    app.store.close().await;
    Ok(())
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
