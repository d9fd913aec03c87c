//! A theft of a producer's state: it hands out all of it, and a second process answers in its
//! place. Built only with the feature `clone-demo`.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use armour_api::Policy;
use armour_enclave::{Enclave, stolen::Stolen};
use armour_listener::Limits;
use armour_protocol::v2::gate::Gate;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::UnixListener, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bundles::{Bundles, Held},
    clock::ProducerClock,
    endpoint::ProducerEndpoint,
    exchange_handler,
    leaving::Leaving,
    upstream::{Manner, Server, Upstream},
};
use crate::{
    access_log::AccessLog,
    control_plane::{reporter::Reporter, session::Session},
    wire::http_client::Trust,
};

/// How long the thief's API may take.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);

/// All that a producer's agent knows of a bundle.
#[derive(Serialize, Deserialize)]
struct Theft {
    policy: Policy,
    gate: [u8; 32],
    stolen: Stolen,
}

/// Hands out the state, once for each connection to the socket at `path`.
///
/// # Errors
/// If the socket cannot be made.
pub fn export(producer: Arc<ProducerEndpoint>, path: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    tracing::warn!(socket = %path.display(), "INSECURE: root secrets are handed out here");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            match take(&producer).await {
                Ok(theft) => drop(socket.write_all(&theft).await),
                Err(error) => tracing::warn!(%error, "nothing to hand out"),
            }
        }
    });
    Ok(())
}

async fn take(producer: &ProducerEndpoint) -> anyhow::Result<Vec<u8>> {
    let all = producer.bundles.current();
    ensure!(!all.is_empty(), "no bundle now");
    let mut thefts = Vec::new();
    for held in all {
        thefts.push(Theft {
            policy: held.policy.clone(),
            gate: *held.gate.as_bytes(),
            stolen: producer.enclave.export(held.id.into_bytes()).await?,
        });
    }
    Ok(serde_json::to_vec(&thefts)?)
}

/// Answers in the producer's place until it is killed. It reports nothing to anybody.
///
/// # Errors
/// If it cannot start.
pub async fn run(
    state: &Path,
    data_dir: &Path,
    listen: SocketAddr,
    upstream: &str,
) -> anyhow::Result<()> {
    let thefts: Vec<Theft> = serde_json::from_slice(&std::fs::read(state)?)?;
    std::fs::create_dir_all(data_dir)?;
    let program = std::env::current_exe()?;
    let (enclave, mut child) = Enclave::start(&program, &data_dir.join("keys"), None)?;
    let session = Session::stolen()?;
    let (reporter, _dead) = Reporter::new(session.clone());
    let bundles = Arc::new(Bundles::new(session.clone(), enclave.clone()));
    for theft in thefts {
        let context = Arc::new(theft.stolen.binding.context()?);
        // Streams that it was copied inside of it re-keys as their owner does.
        let lanes = theft.stolen.lanes.iter();
        let streaming: Vec<(u16, u64)> = lanes
            .filter(|lane| lane.streams.is_some())
            .map(|lane| (lane.lane, lane.n))
            .collect();
        enclave.import(theft.stolen).await?;
        let held = Held::stolen(theft.policy, context, Gate::from_bytes(theft.gate));
        held.adopt(&streaming);
        bundles.adopt(held);
    }
    let trust = Trust::new(None)?;
    let manner = Manner {
        http2: false,
        title_case_fields: false,
        timeout: UPSTREAM_TIMEOUT,
    };
    let server = Server::new(upstream, manner, &trust)?;
    let producer = Arc::new(ProducerEndpoint {
        session,
        reporter,
        bundles,
        upstream: RwLock::new(Upstream::Server(Arc::new(server))),
        heartbeat: UPSTREAM_TIMEOUT,
        clock: ProducerClock::new(enclave.hardening().await?.started_ms),
        enclave,
        running: TaskTracker::new(),
        closed: CancellationToken::new(),
        lease: UPSTREAM_TIMEOUT,
        places: None,
        leaving: Leaving::new(),
        access_log: AccessLog::default(),
        check_due: Notify::new(),
    });
    let listener = armour_listener::bind(listen)?;
    tokio::select! {
        served = armour_listener::serve(
            listener,
            exchange_handler::router(producer),
            Limits::default(),
            CancellationToken::new(),
        ) => served?,
        _ = child.wait() => {}
    }
    Ok(())
}
