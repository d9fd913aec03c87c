//! The demonstration of a theft: a live consumer hands out its whole state, and
//! a second process acts with it. Built only with the feature `clone-demo`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use armour_api::{Pair, PairState, Policy};
use armour_enclave::{
    Enclave,
    stolen::{Stolen, StolenLane},
};
use armour_listener::Limits;
use armour_protocol::v2::gate::Gate;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::UnixListener};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    bundle::Bundle,
    ingress,
    pair::{ConsumerPair, Shared},
    pair_manager::PairManager,
    rekeying::Rekeying,
    settings::Manner,
    standing::Standing,
};
use crate::{
    access_log::AccessLog,
    control_plane::{reporter::Reporter, session::Session},
    wire::{
        http_client::{HttpVersion, Trust},
        sealing::Sealing,
        stream::PeerMark,
    },
};

/// Seconds that the thief's caller waits.
const RETRY_FOR: u64 = 1;

/// Everything a consumer's agent knows.
#[derive(Serialize, Deserialize)]
struct Theft {
    producer: String,
    policy: Policy,
    gate: [u8; 32],
    stolen: Stolen,
}

/// Hands out the state, once for each connection to the socket at `path`.
///
/// # Errors
/// If the socket cannot be made.
pub fn export(pair_manager: Arc<PairManager>, path: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    tracing::warn!(socket = %path.display(), "INSECURE: root secrets are handed out here");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            match take(&pair_manager).await {
                Ok(theft) => drop(socket.write_all(&theft).await),
                Err(error) => tracing::warn!(%error, "nothing to hand out"),
            }
        }
    });
    Ok(())
}

async fn take(pair_manager: &PairManager) -> anyhow::Result<Vec<u8>> {
    let consumer = pair_manager.only().context("no pair, or several")?;
    let bundle = consumer.current().context("no bundle now")?;
    let stolen = consumer.enclave.export(bundle.id.into_bytes()).await?;
    let theft = Theft {
        producer: bundle.producer.clone(),
        policy: bundle.policy.clone(),
        gate: *bundle.gate.as_bytes(),
        stolen,
    };
    Ok(serde_json::to_vec(&theft)?)
}

/// Runs the thief until it is killed. It reports nothing to anybody.
///
/// # Errors
/// If it cannot start.
pub async fn run(state: &Path, data_dir: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let theft: Theft = serde_json::from_slice(&std::fs::read(state)?)?;
    std::fs::create_dir_all(data_dir)?;
    let program = std::env::current_exe()?;
    let (enclave, mut child) = Enclave::start(&program, &data_dir.join("keys"), None)?;
    let binding = theft.stolen.binding.clone();
    let context = Arc::new(binding.context()?);
    let lanes = theft.stolen.lanes.iter();
    let (streaming, idle): (Vec<_>, Vec<_>) = lanes.partition(|lane| lane.streams.is_some());
    let numbers = |lanes: Vec<&StolenLane>| lanes.iter().map(|lane| lane.lane).collect();
    let (streaming, idle): (Vec<u16>, Vec<u16>) = (numbers(streaming), numbers(idle));
    enclave.import(theft.stolen).await?;
    let session = Session::stolen()?;
    let (reporter, _dead) = Reporter::new(session.clone());
    let pair = Pair {
        id: Uuid::from_bytes(binding.pair),
        consumer_id: Uuid::nil(),
        producer_id: Uuid::nil(),
        consumer_name: String::new(),
        producer_name: String::new(),
        state: PairState::Active,
        policy: theft.policy.clone(),
        created_at: DateTime::UNIX_EPOCH,
        revision: 0,
    };
    let gate = Gate::from_bytes(theft.gate);
    let random = armour_ambient::Random::system();
    let endpoint = Uuid::from_bytes(context.binding().producer.endpoint);
    let standing = Standing::new(endpoint, random.clone());
    let bundle = Bundle::new(theft.policy, context, gate, theft.producer, standing);
    bundle.adopt(&idle);
    let shared = Arc::new(Shared {
        session,
        enclave,
        reporter,
        http: Trust::new(None)?.client(HttpVersion::Http1),
        random,
        access_log: AccessLog::default(),
    });
    let manner = Manner {
        retry_for: RETRY_FOR,
        ..Manner::default()
    };
    let consumer = Arc::new(ConsumerPair::new(shared, pair, manner));
    consumer.serve_by(bundle.clone(), None);
    // Streams that it was copied inside of it re-keys as their owner does.
    let _rekeyings: Vec<Rekeying> = streaming
        .into_iter()
        .map(|lane| {
            let mut rekeying = Rekeying::new(Sealing::none(), &bundle);
            let peer = PeerMark::default();
            rekeying.begin(&consumer, &bundle, bundle.lane_id(lane), &peer);
            rekeying
        })
        .collect();
    let listener = armour_listener::bind(listen)?;
    tokio::select! {
        served = armour_listener::serve(
            listener,
            ingress::router(consumer),
            Limits::default(),
            CancellationToken::new(),
        ) => served?,
        _ = child.wait() => {}
    }
    Ok(())
}
