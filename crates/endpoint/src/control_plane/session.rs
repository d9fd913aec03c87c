//! An enrolled endpoint's standing with the control plane, from its start to its end.

use std::{collections::HashSet, io, sync::Arc};

use anyhow::Context as _;
use armour_ambient::Ambient;
use armour_api::{EndpointSelf, ForeignCheckpoint, LinkOutcome, Phase, Role};
use armour_client::{Client, ClientError};
use armour_enclave::{Enclave, EnclaveError, binding::LaneId};
use armour_protocol::v2::identity::body::{Acknowledged, LinkBody};
use backon::Retryable as _;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub use super::watcher::Watcher;
use super::{
    acknowledgement::{self, Acknowledgement},
    audit_log::AuditLog,
    batch::Batches,
    chain::{Chain, ChainClient, LinkError},
    draw::{Draw, DrawError, Drawing, Drawn},
    ended::Ended,
    enrolment::Identity,
    renewal::{Dispute, renew_keys},
    signer::Signer,
    start,
};
use crate::{
    backoff,
    floors::Floors,
    options::Options,
    progress::Progress,
    state::{draws::Draws, known_peers::KnownPeers, start_record::StartRecordFile},
};

/// How many known peers, or pairs, one call to the enclave holds; each has at most 161 bytes.
const PEERS_PER_CALL: usize = 50;

/// An enrolled endpoint's connection to the control plane.
pub struct Session {
    pub(super) identity: Identity,
    client: Client,
    /// None but in the demonstration of a theft.
    pub(super) enclave: Option<Enclave>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    pub(super) chain: ChainClient,
    draws: Option<Batches<Draw, Result<Drawn, DrawError>>>,
    pub(super) acknowledgements: Batches<Acknowledged, Acknowledgement>,
    peers: Option<KnownPeers>,
    pub(super) log: AuditLog,
    /// Bundles whose peer's head of the log was compared with ours.
    pub(super) compared: Mutex<HashSet<Uuid>>,
    pub(super) dispute: Arc<Dispute>,
    pub(super) floors: Floors,
    pub(super) ambient: Ambient,
    pub(super) contact: Mutex<Instant>,
    pub(super) heartbeat_due: Notify,
    /// What a producer is for callers now; told with each heartbeat.
    pub(super) phase: Mutex<Phase>,
    zone: Option<String>,
    /// What a permissive agent has let through; none if it is not permissive.
    pub(super) plain_calls: Mutex<Option<u64>>,
    /// When a heartbeat that told of that was refused last.
    pub(super) plain_calls_refused: Mutex<Option<Instant>>,
    progress: Progress,
    /// What went wrong since the control plane was told last.
    pub(super) error: Mutex<Option<String>>,
    /// Checkpoints of foreign hands that the control plane has not been told of yet.
    pub(super) alarms: Mutex<Vec<ForeignCheckpoint>>,
    _renewal: Option<AbortOnDropHandle<()>>,
}

impl Session {
    /// Loads the identity, at the first start enrols, and becomes the endpoint: for as long
    /// as it takes while another process is it.
    ///
    /// # Errors
    /// If there is neither an identity nor a valid enrolment token, the data folder cannot
    /// be used, or this start is refused for good.
    pub async fn open(
        options: &Options,
        role: Role,
        address: Option<String>,
        enclave: &Enclave,
    ) -> anyhow::Result<Arc<Self>> {
        let base = client(options)?;
        let identity = Identity::open(options, role, address.as_deref(), enclave, &base).await?;
        let signer: Arc<dyn Signer> = Arc::new(enclave.clone());
        let record = StartRecordFile::of(&options.data_dir);
        let draws = Draws::open(&options.data_dir).context("read the numbers of draws")?;
        let peers = KnownPeers::open(&options.data_dir).context("make the folders of peers")?;
        hand_over(&peers, enclave).await?;
        let announcement = start::start(
            &base,
            &*signer,
            &record,
            (identity, address),
            &options.progress,
        )
        .await?;
        let client = base.as_endpoint(
            identity.tenant,
            identity.id,
            enclave.clone(),
            options.ambient.clone(),
        );
        let log = AuditLog::open(
            &options.data_dir,
            options.log_key.as_deref(),
            !options.refuse_restored_log,
            &client,
            signer.clone(),
        )
        .await?;
        let chain = ChainClient::begin(Chain {
            client: base,
            signer: signer.clone(),
            announcement,
        });
        let drawing = Arc::new(Drawing {
            chain: chain.clone(),
            client: client.clone(),
            draws: Mutex::new(draws),
        });
        let dispute = Arc::new(Dispute::default());
        let renewal = renew_keys(chain.clone(), client.clone(), dispute.clone());
        Ok(Arc::new(Self {
            identity,
            client,
            enclave: Some(enclave.clone()),
            signer: Some(signer),
            draws: Some(Batches::new(move |asked: Vec<Draw>| {
                let drawing = drawing.clone();
                async move { drawing.draw(&asked).await }
            })),
            acknowledgements: acknowledgement::batches(chain.clone()),
            chain,
            peers: Some(peers),
            log,
            compared: Mutex::default(),
            dispute,
            floors: options.floors.clone(),
            ambient: options.ambient.clone(),
            contact: Mutex::new(Instant::now()),
            heartbeat_due: Notify::new(),
            phase: Mutex::new(Phase::Serving),
            zone: options.zone.clone(),
            progress: options.progress.clone(),
            error: Mutex::default(),
            alarms: Mutex::default(),
            plain_calls: Mutex::default(),
            plain_calls_refused: Mutex::default(),
            _renewal: Some(AbortOnDropHandle::new(tokio::spawn(renewal))),
        }))
    }

    /// A thief's standing: none, and it does not ask for any.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    #[cfg(feature = "clone-demo")]
    pub fn stolen() -> anyhow::Result<Arc<Self>> {
        let client = Client::new("http://127.0.0.1:9", "")?;
        let chain = ChainClient::none();
        Ok(Self::bare(Identity::NOBODY, client, chain, None))
    }

    /// A standing without a log and without what the enclave installs.
    #[cfg(any(test, feature = "clone-demo"))]
    pub(super) fn bare(
        identity: Identity,
        client: Client,
        chain: ChainClient,
        signer: Option<Arc<dyn Signer>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            identity,
            client,
            enclave: None,
            signer,
            draws: None,
            acknowledgements: acknowledgement::batches(chain.clone()),
            chain,
            peers: None,
            log: AuditLog::none(),
            compared: Mutex::default(),
            dispute: Arc::default(),
            floors: Floors::default(),
            ambient: Ambient::system(),
            contact: Mutex::new(Instant::now()),
            heartbeat_due: Notify::new(),
            phase: Mutex::new(Phase::Serving),
            zone: None,
            progress: Progress::default(),
            error: Mutex::default(),
            alarms: Mutex::default(),
            plain_calls: Mutex::default(),
            plain_calls_refused: Mutex::default(),
            _renewal: None,
        })
    }

    /// The endpoint.
    pub fn endpoint(&self) -> Uuid {
        self.identity.id
    }

    /// The zone that it runs in.
    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// A client that calls as this endpoint.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Says this on the endpoint's chain of links, and waits for what comes of it for as
    /// long as it takes. Who stops waiting takes nothing back.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link(&self, body: LinkBody) -> Result<LinkOutcome, LinkError> {
        Ok(self.chain.link(body).await?.outcome)
    }

    /// Waits until this start of the endpoint has ended: nothing that it could send would
    /// be taken, and the process should end.
    pub async fn ended(&self) -> Ended {
        self.chain.ended().await
    }

    /// Draws a bundle of a pair: one more, or one that takes the place of another. Draws that
    /// come within a moment go in one link.
    ///
    /// # Errors
    /// [`DrawError`].
    pub async fn draw(&self, pair: Uuid, replaces: Option<Uuid>) -> Result<Drawn, DrawError> {
        let drawn = match &self.draws {
            Some(draws) => draws.add(Draw { pair, replaces }).await,
            None => None,
        };
        drawn.unwrap_or(Err(LinkError::Untold.into()))
    }

    /// Bundles that this endpoint has not acknowledged yet, at most 1,000.
    ///
    /// # Errors
    /// If the control plane refuses or is out of reach.
    pub async fn pending(&self) -> Result<Vec<Uuid>, ClientError> {
        self.client.pending_bundles().await
    }

    /// The endpoint and its pairs, asked for until there is an answer.
    ///
    /// # Errors
    /// If the control plane refuses for good.
    pub async fn own(&self) -> anyhow::Result<EndpointSelf> {
        let own = (|| self.client.endpoint())
            .retry(backoff::retries())
            .when(ClientError::is_passing)
            .notify(|error, _| {
                tracing::warn!(%error, "waiting for the control plane");
                self.progress
                    .waits_for(format!("the control plane: {error}"));
            })
            .await
            .context("the control plane refuses this endpoint")?;
        self.heard(Instant::now());
        Ok(own)
    }

    /// A lane's last receipt with its proof, as the enclave has it.
    ///
    /// # Errors
    /// If it has none.
    pub(super) async fn last_receipt(&self, lane: LaneId) -> Result<Vec<u8>, EnclaveError> {
        match &self.enclave {
            Some(enclave) => enclave.last_receipt(lane).await,
            None => Err(EnclaveError::Gone),
        }
    }

    /// The same of the last sub-receipt of exchange `n`, if it is number `k`.
    ///
    /// # Errors
    /// If it is not.
    pub(super) async fn last_sub_receipt(
        &self,
        lane: LaneId,
        n: u64,
        k: u32,
    ) -> Result<Vec<u8>, EnclaveError> {
        match &self.enclave {
            Some(enclave) => enclave.last_sub_receipt(lane, n, k).await,
            None => Err(EnclaveError::Gone),
        }
    }

    /// Keeps what the enclave has learnt of a peer, and of the pair.
    pub(super) fn keep_known(
        &self,
        (endpoint, peer): (Uuid, Option<&[u8]>),
        (pair, party): (Uuid, Option<&[u8]>),
    ) -> io::Result<()> {
        let Some(known) = &self.peers else {
            return Ok(());
        };
        if let Some(peer) = peer {
            known.peers.keep(endpoint, peer)?;
        }
        party.map_or(Ok(()), |party| known.pairs.keep(pair, party))
    }
}

/// Tells the enclave what earlier starts knew of peers and of pairs.
async fn hand_over(known: &KnownPeers, enclave: &Enclave) -> anyhow::Result<()> {
    let read = |known: io::Result<Vec<Vec<u8>>>| known.context("read what is known of peers");
    let (peers, pairs) = (read(known.peers.read())?, read(known.pairs.read())?);
    let peers = peers.chunks(PEERS_PER_CALL);
    let pairs = pairs.chunks(PEERS_PER_CALL);
    let calls = peers.map(|some| (some.to_vec(), Vec::new()));
    for (peers, pairs) in calls.chain(pairs.map(|some| (Vec::new(), some.to_vec()))) {
        let taken = enclave.known_peers(peers, pairs).await;
        taken.context("hand over what is known of peers")?;
    }
    Ok(())
}

/// A client of the control plane without credentials.
fn client(options: &Options) -> anyhow::Result<Client> {
    let authorities = options
        .tls_ca_file
        .as_deref()
        .map(|file| std::fs::read(file).with_context(|| format!("read {}", file.display())));
    let authorities = authorities.transpose()?;
    Ok(Client::trusting(
        &options.control_plane,
        "",
        authorities.as_deref(),
    )?)
}
