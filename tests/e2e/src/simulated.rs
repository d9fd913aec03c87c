//! A control plane, and endpoints that are no agents.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use armour_ambient::Ambient;
use armour_api::{
    AnnounceStart, BundleEnd, BundleGrant, Enrol, Heartbeat, HeartbeatAck, LaneReport, LinkOutcome,
    Role, SendLink,
};
use armour_cli::servers::postgres::Urls;
use armour_client::{
    Client,
    dpop::{self, Claims, ProofError, Prover},
};
use armour_protocol::{
    crypto::{Sign, Signer},
    v2::{
        context::{Binding, Context, End},
        identity::{
            body::{BundleRequest, LinkBody, NO_BUNDLE},
            chain::{Answered, Chain, InFlight},
            incarnation::Incarnation,
            starting::StartRecord,
        },
        ledger::Run,
        suite::Suite,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use futures::future::BoxFuture;
use rand::RngExt;
use tokio::{process::Command, task::JoinHandle};
use uuid::Uuid;

use crate::process::{Process, free_port, program, until};

/// The platform's token.
pub const PLATFORM: &str = "platform-token-of-the-benchmarks";

/// Starts a replica without limits of calls and waits until it serves; where it does.
///
/// # Errors
/// If it does not come up.
pub async fn control_plane(
    at: &Path,
    name: &str,
    urls: &Urls,
) -> anyhow::Result<(Process, String)> {
    let unlimited = vec![("ARMOUR_RATE_LIMIT", "1000000".to_owned())];
    control_plane_with(at, name, urls, unlimited).await
}

/// Starts a replica with these settings besides the defaults and waits until it serves; where it
/// does.
///
/// # Errors
/// If it does not come up.
pub async fn control_plane_with(
    at: &Path,
    name: &str,
    urls: &Urls,
    environment: Vec<(&'static str, String)>,
) -> anyhow::Result<(Process, String)> {
    std::fs::write(at.join("master-key"), "5a".repeat(32))?;
    std::fs::write(at.join("platform-token"), PLATFORM)?;
    let port = free_port()?;
    let program = program("armour-control-plane")?;
    let (folder, urls) = (at.to_owned(), urls.clone());
    let process = Process::start("control plane", at.join(name), move || {
        let mut command = Command::new(&program);
        command
            .env("ARMOUR_LISTEN", format!("127.0.0.1:{port}"))
            .envs(urls.environment())
            .env("ARMOUR_MASTER_KEY_FILE", folder.join("master-key"))
            .env("ARMOUR_PLATFORM_TOKEN_FILE", folder.join("platform-token"))
            .env("ARMOUR_MIGRATE", "true")
            .env("ARMOUR_LOG", "warn")
            .envs(environment.iter().map(|(name, value)| (*name, value)));
        command
    })?;
    let base = format!("http://127.0.0.1:{port}");
    let client = Client::new(&base, PLATFORM)?;
    until("the control plane", || async {
        client.ready().await.is_ok()
    })
    .await?;
    Ok((process, base))
}

/// An endpoint, enrolled and started.
pub struct Endpoint {
    /// Its client.
    pub client: Client,
    /// Its id.
    pub id: Uuid,
    tenant: Uuid,
    incarnation: Incarnation,
    chain: Option<Chain>,
    /// A heartbeat that was not answered: the same bytes are sent again.
    beat: Option<InFlight>,
    draws: u64,
    /// The bundle of each pair that it drew last.
    held: HashMap<Uuid, Uuid>,
}

/// A bundle that an endpoint drew.
pub struct Drawn {
    /// Its id.
    pub id: Uuid,
    /// What it is bound to.
    pub context: Context,
}

/// Enrols an endpoint of a party at `base`, and starts it.
///
/// # Errors
/// If the control plane refuses.
pub async fn enrol(
    base: &str,
    operator: &Client,
    role: Role,
    party: Uuid,
) -> anyhow::Result<Endpoint> {
    let token = operator.create_enrolment_token(role, party).await?;
    let key = SigningKey::generate(&mut rand::rng());
    // Nothing is sealed to the long-term key.
    let kem_key: [u8; 32] = rand::rng().random();
    let endpoint = Client::new(base, token.token)?
        .enrol(&Enrol {
            name: "bench".into(),
            signing_key: STANDARD.encode(key.verifying_key().as_bytes()),
            kem_key: STANDARD.encode(kem_key),
            address: (role == Role::Producer).then(unused_address),
            version: "0".into(),
        })
        .await?;
    let starting = StartRecord::new(endpoint.id.into_bytes())
        .begin(key, &mut rand::rng())?
        .kept();
    let anybody = Client::new(base, "")?;
    anybody
        .announce_start(&AnnounceStart {
            tenant_id: endpoint.tenant_id,
            start: STANDARD.encode(starting.start().to_bytes()),
            address: None,
            host: None,
            process: None,
        })
        .await?;
    let started = starting.accepted();
    let public = started.incarnation.keys().key;
    let signer = started.incarnation.signer(&public).context("its key")?;
    let prover = StartProver(public, signer.clone());
    Ok(Endpoint {
        client: anybody.as_endpoint(endpoint.tenant_id, endpoint.id, prover, Ambient::system()),
        id: endpoint.id,
        tenant: endpoint.tenant_id,
        incarnation: started.incarnation,
        chain: Some(started.chain),
        beat: None,
        draws: 0,
        held: HashMap::new(),
    })
}

/// An address where nobody listens, and that no other endpoint claims: of two that claim one a
/// single one serves.
fn unused_address() -> String {
    let [a, b, c]: [u8; 3] = rand::rng().random();
    format!("http://127.{a}.{b}.{c}:9")
}

/// Enrols a producer's endpoint that serves for as long as what is returned is kept.
///
/// # Errors
/// If the control plane refuses.
pub async fn serving_producer(
    base: &str,
    operator: &Client,
    party: Uuid,
) -> anyhow::Result<Serving> {
    let mut endpoint = enrol(base, operator, Role::Producer, party).await?;
    endpoint.heartbeat(&[]).await?;
    let beats = tokio::spawn(async move {
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            // The next one is the same again.
            let _later = endpoint.heartbeat(&[]).await;
        }
    });
    Ok(Serving(beats))
}

/// A producer's endpoint that serves until this is dropped.
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// As agents send them by the default policy.
const BEAT_EVERY: Duration = Duration::from_secs(5);

impl Endpoint {
    /// What it signs tickets and receipts with.
    ///
    /// # Errors
    /// If it has no such key.
    pub fn signer(&self) -> anyhow::Result<Arc<Signer>> {
        let key = self.incarnation.keys().key;
        self.incarnation
            .signer(&key)
            .cloned()
            .context("its own key")
    }

    /// Sends a sign of life that names these bundles, or again the one that was not answered.
    ///
    /// # Errors
    /// If it is refused, or not answered.
    pub async fn heartbeat(&mut self, bundles: &[Uuid]) -> anyhow::Result<HeartbeatAck> {
        let link = match self.beat.take() {
            Some(link) => link,
            None => {
                let heartbeat = Heartbeat {
                    bundles: bundles.to_vec(),
                    ..Heartbeat::default()
                };
                let body = LinkBody::Heartbeat(serde_json::to_vec(&heartbeat)?);
                let chain = self.chain.take().context("nothing in flight")?;
                chain
                    .link(body, &self.incarnation)
                    .map_err(|(_, error)| error)?
            }
        };
        let sent = SendLink {
            tenant_id: self.tenant,
            link: STANDARD.encode(link.link().to_bytes()),
        };
        let answer = match self.client.send_link(&sent).await {
            Ok(answer) => answer,
            Err(error) => {
                self.beat = Some(link);
                return Err(error.into());
            }
        };
        let mark = link.link().mark();
        let Answered::Taken(chain) = link.answered(&mark, &mut self.incarnation) else {
            bail!("the link was not taken");
        };
        self.chain = Some(chain);
        match answer.outcome {
            Some(LinkOutcome::Heartbeat(ack)) => Ok(ack),
            _ => bail!("no heartbeat is the outcome"),
        }
    }

    /// Draws a pair's next bundle, in place of the one before.
    ///
    /// # Errors
    /// If the control plane refuses.
    pub async fn draw(&mut self, pair: Uuid) -> anyhow::Result<Drawn> {
        self.draws += 1;
        let request = BundleRequest {
            pair: pair.into_bytes(),
            draw: self.draws,
            replaces: self.held.get(&pair).map_or(NO_BUNDLE, |id| *id.as_bytes()),
        };
        let chain = self.chain.take().context("nothing in flight")?;
        let link = chain
            .link(LinkBody::Request(vec![request]), &self.incarnation)
            .map_err(|(_, error)| error)?;
        let answer = self
            .client
            .send_link(&SendLink {
                tenant_id: self.tenant,
                link: STANDARD.encode(link.link().to_bytes()),
            })
            .await?;
        let mark = link.link().mark();
        let Answered::Taken(chain) = link.answered(&mark, &mut self.incarnation) else {
            bail!("the link was not taken");
        };
        self.chain = Some(chain);
        let Some(LinkOutcome::Bundles { items }) = answer.outcome else {
            bail!("no bundles are the outcome");
        };
        let item = items.into_iter().next().context("an outcome")?;
        let id = item
            .bundle_id
            .with_context(|| format!("no bundle: {:?}", item.problem))?;
        self.held.insert(pair, id);
        let grant = self.client.bundle_grant(id, None).await?;
        Ok(Drawn {
            id,
            context: context(&grant)?,
        })
    }
}

/// A run as a report of a bundle.
pub fn report(bundle: Uuid, run: &Run) -> LaneReport {
    LaneReport {
        bundle_id: bundle,
        lane: run.lane,
        exchange: None,
        first: run.first,
        previous: STANDARD.encode(run.previous.0),
        before: None,
        rests: STANDARD.encode(run.rests.concat()),
        ticket: STANDARD.encode(run.ticket.to_bytes()),
        receipt: run
            .receipt
            .as_ref()
            .map(|proof| STANDARD.encode(proof.to_bytes())),
    }
}

fn context(grant: &BundleGrant) -> anyhow::Result<Context> {
    Ok(Context::new(Binding {
        suite: Suite::from_u8(grant.bundle.suite)?,
        tenant: grant.tenant_id.into_bytes(),
        pair: grant.bundle.pair_id.into_bytes(),
        bundle: grant.bundle.id.into_bytes(),
        draw: grant.draw,
        policy: grant.policy.hash()?,
        consumer: end(&grant.consumer)?,
        producer: end(&grant.producer)?,
    }))
}

fn end(end: &BundleEnd) -> anyhow::Result<End> {
    let key = STANDARD.decode(&end.incarnation_key)?;
    let key = key.try_into().ok().context("a key of 32 bytes")?;
    Ok(End {
        party: end.party_id.into_bytes(),
        endpoint: end.endpoint_id.into_bytes(),
        key: VerifyingKey::from_bytes(&key)?,
    })
}

/// Makes DPoP proofs with a start's key.
struct StartProver(VerifyingKey, Arc<Signer>);

impl Prover for StartProver {
    fn prove(&self, claims: Claims) -> BoxFuture<'_, Result<String, ProofError>> {
        let proof = dpop::sign_with(&self.0, &claims, |message| self.1.signature(message));
        Box::pin(std::future::ready(proof))
    }
}
