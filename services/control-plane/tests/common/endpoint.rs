//! An endpoint of the tests: its folder, its start and its chain of links, all in this
//! process.

use std::{collections::HashMap, sync::Arc};

use armour_ambient::{Ambient, Random};
use armour_api::{
    AnnounceStart, AnswerPresence, BundleGrant, Heartbeat, HeartbeatAck, LinkAnswer, LinkOutcome,
    Problem, SendLink, StartAccepted,
};
use armour_client::{Client, ClientError, dpop};
use armour_protocol::{
    crypto::Sign,
    v2::{
        context::{Binding, Context, End},
        enclave::LaneMark,
        identity::{
            body::{Acknowledged, BundleRequest, LinkBody, NO_BUNDLE, RetiredBundle, Retirement},
            chain::{Answered, Chain, InFlight},
            incarnation::Incarnation,
            mark::{LinkHash, LinkMark},
            start::{SignedStart, StartHash},
            starting::{StartRecord, Starting},
        },
        suite::Suite,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use parking_lot::Mutex;
use uuid::Uuid;

/// An enrolled endpoint of the tests.
pub struct TestEndpoint {
    pub id: Uuid,
    pub tenant: Uuid,
    /// The long-term key.
    pub key: SigningKey,
    pub kem_secret: [u8; 32],
    /// What the folder keeps of its starts.
    folder: Mutex<Vec<u8>>,
    running: Arc<Mutex<Option<Running>>>,
}

/// What is in memory.
struct Running {
    incarnation: Incarnation,
    /// None while a link is in flight.
    chain: Option<Chain>,
    draws: HashMap<Uuid, u64>,
    /// The bundle of each pair that was drawn last.
    last: HashMap<Uuid, Uuid>,
}

impl TestEndpoint {
    pub fn new(endpoint: &armour_api::Endpoint, key: SigningKey, kem_secret: [u8; 32]) -> Self {
        let record = StartRecord::new(*endpoint.id.as_bytes());
        Self {
            id: endpoint.id,
            tenant: endpoint.tenant_id,
            key,
            kem_secret,
            folder: Mutex::new(record.to_bytes()),
            running: Arc::default(),
        }
    }

    /// A copy of the folder, with its long-term key; nothing of it runs.
    pub fn copied(&self) -> Self {
        Self {
            key: self.key.clone(),
            folder: Mutex::new(self.folder.lock().clone()),
            running: Arc::default(),
            ..*self
        }
    }

    /// Begins a start and keeps that it did. The same folder and seed make the same keys: so
    /// a thief has what is in memory, too.
    pub fn begin(&self, seed: Option<u64>) -> Starting {
        let random = seed.map_or_else(Random::system, Random::seeded);
        let mut folder = self.folder.lock();
        let record = StartRecord::from_bytes(&folder).expect("a record");
        let kept = record
            .begin(self.key.clone(), &mut random.generator())
            .expect("a start");
        *folder = kept.bytes().to_vec();
        kept.kept()
    }

    /// Announces a start from a host.
    pub async fn announce(
        &self,
        base: &str,
        start: &SignedStart,
        host: &str,
    ) -> Result<StartAccepted, ClientError> {
        let announce = AnnounceStart {
            tenant_id: self.tenant,
            start: STANDARD.encode(start.to_bytes()),
            address: None,
            host: Some(host.into()),
            process: Some(7),
        };
        anybody(base).announce_start(&announce).await
    }

    /// Runs a start as if it had been accepted.
    pub fn run(&self, starting: Starting) {
        let started = starting.accepted();
        *self.folder.lock() = started.record.to_bytes();
        *self.running.lock() = Some(Running {
            incarnation: started.incarnation,
            chain: Some(started.chain),
            draws: HashMap::new(),
            last: HashMap::new(),
        });
    }

    /// Starts: from here on it is the endpoint.
    pub async fn start(&self, base: &str) {
        let starting = self.begin(None);
        self.announce(base, starting.start(), "test")
            .await
            .expect("accepted");
        self.run(starting);
    }

    /// Starts, and says that it serves, as a producer's agent does at once.
    pub async fn serve(&self, base: &str) {
        self.start(base).await;
        self.heartbeat(base, vec![]).await;
    }

    /// H of its start.
    pub fn start_hash(&self) -> StartHash {
        self.with(|running| running.incarnation.start().unverified().hash())
    }

    /// The key that it signs with now.
    pub fn current_key(&self) -> VerifyingKey {
        self.with(|running| running.incarnation.keys().key)
    }

    /// What opens envelopes sealed to its key of now.
    pub fn hpke_secret(&self) -> [u8; 32] {
        self.with(|running| {
            let key = running.incarnation.keys().key;
            *running.incarnation.hpke_secret(&key).expect("its key")
        })
    }

    /// Signs with the key of now.
    pub fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.with(|running| {
            let key = running.incarnation.keys().key;
            let signer = running.incarnation.signer(&key).expect("its key");
            signer.signature(message)
        })
    }

    /// A client that proves itself as this endpoint.
    pub fn client(&self, base: &str) -> Client {
        let prover = RunningProver(self.running.clone());
        anybody(base).as_endpoint(self.tenant, self.id, prover, Ambient::system())
    }

    /// An access token, bound to the start's key.
    pub async fn access_token(&self, base: &str) -> String {
        let url = format!("{base}/v1/endpoint/token");
        let answer = reqwest::Client::new()
            .post(&url)
            .header("dpop", self.proof("POST", &url, None))
            .json(&serde_json::json!({ "tenant_id": self.tenant, "endpoint_id": self.id }))
            .send()
            .await
            .expect("ask for a token");
        assert_eq!(answer.status(), 200);
        let token: armour_api::AccessToken = answer.json().await.expect("a token");
        token.access_token
    }

    /// A DPoP proof.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let claims = dpop::Claims::new(&Ambient::system(), method, url, token, None);
        self.sign_claims(&claims)
    }

    /// A DPoP proof of these claims.
    pub fn sign_claims(&self, claims: &dpop::Claims) -> String {
        let key = self.current_key();
        dpop::sign_with(&key, claims, |message| self.signature(message)).expect("proof")
    }

    /// Whoever makes its DPoP proofs.
    pub fn prover(&self) -> impl dpop::Prover + use<> {
        RunningProver(self.running.clone())
    }

    /// Says that it lives, although another start wants its place.
    pub async fn answer_presence(&self, base: &str, other: StartHash) -> Result<(), ClientError> {
        let presence = self.with(|running| running.incarnation.present(other));
        let answer = AnswerPresence {
            tenant_id: self.tenant,
            endpoint_id: self.id,
            other: STANDARD.encode(other.0),
            signature: STANDARD.encode(presence.expect("another's").to_bytes()),
        };
        anybody(base).answer_presence(&answer).await
    }

    /// Signs the next link.
    pub fn sign(&self, body: LinkBody) -> InFlight {
        self.with(|running| {
            let chain = running.chain.take().expect("nothing in flight");
            chain
                .link(body, &running.incarnation)
                .unwrap_or_else(|_| panic!("it can be signed"))
        })
    }

    /// Signs the link that renews its keys.
    pub fn sign_renewal(&self) -> InFlight {
        self.with(|running| {
            let chain = running.chain.take().expect("nothing in flight");
            chain
                .renew(&running.incarnation, &mut Random::system().generator())
                .unwrap_or_else(|_| panic!("it can be signed"))
        })
    }

    /// Sends a link.
    pub async fn send(&self, base: &str, link: &InFlight) -> Result<LinkAnswer, ClientError> {
        let sent = SendLink {
            tenant_id: self.tenant,
            link: STANDARD.encode(link.link().to_bytes()),
        };
        anybody(base).send_link(&sent).await
    }

    /// Takes the answer to the link in flight; returns that back if it is not taken.
    pub fn answered(&self, link: InFlight, answer: &LinkAnswer) -> Option<InFlight> {
        let head = LinkMark {
            k: answer.head.k,
            hash: LinkHash(
                STANDARD
                    .decode(&answer.head.hash)
                    .expect("base64")
                    .try_into()
                    .expect("32 bytes"),
            ),
        };
        self.with(
            |running| match link.answered(&head, &mut running.incarnation) {
                Answered::Taken(chain) => {
                    running.chain = Some(chain);
                    None
                }
                Answered::Waiting(link) => Some(*link),
                Answered::Foreign(foreign) => Some(
                    foreign
                        .disown(&running.incarnation)
                        .unwrap_or_else(|_| panic!("it can be signed")),
                ),
            },
        )
    }

    /// Signs, sends and has a link taken.
    pub async fn tell(&self, base: &str, body: LinkBody) -> LinkAnswer {
        let link = self.sign(body);
        self.sent(base, link).await
    }

    /// Sends a link and has it taken.
    pub async fn sent(&self, base: &str, link: InFlight) -> LinkAnswer {
        let answer = self.send(base, &link).await.expect("an answer");
        assert!(self.answered(link, &answer).is_none(), "it is taken");
        answer
    }

    /// Renews its keys.
    pub async fn renew(&self, base: &str) {
        let link = self.sign_renewal();
        let answer = self.sent(base, link).await;
        assert_eq!(answer.outcome, Some(LinkOutcome::Done));
    }

    /// The number of the next draw of a pair.
    pub fn next_draw(&self, pair: Uuid) -> u64 {
        self.with(|running| {
            let draws = running.draws.entry(pair).or_default();
            *draws += 1;
            *draws
        })
    }

    /// Makes draws of a pair count on after this number.
    pub fn set_draws(&self, pair: Uuid, draws: u64) {
        self.with(|running| running.draws.insert(pair, draws));
    }

    /// Draws a pair's next bundle, if it may: in place of the one that it drew last.
    pub async fn try_draw(&self, base: &str, pair: Uuid) -> Result<Uuid, Problem> {
        let last = self.with(|running| running.last.get(&pair).copied());
        let drawn = self.try_draw_for(base, pair, last).await.0?;
        self.with(|running| running.last.insert(pair, drawn));
        Ok(drawn)
    }

    /// Draws a bundle, if it may: one more, or in place of another one. Also how many it should
    /// hold.
    pub async fn try_draw_for(
        &self,
        base: &str,
        pair: Uuid,
        replaces: Option<Uuid>,
    ) -> (Result<Uuid, Problem>, u32) {
        let request = BundleRequest {
            pair: *pair.as_bytes(),
            draw: self.next_draw(pair),
            replaces: replaces.map_or(NO_BUNDLE, Uuid::into_bytes),
        };
        let answer = self.tell(base, LinkBody::Request(vec![request])).await;
        let Some(LinkOutcome::Bundles { mut items }) = answer.outcome else {
            panic!("bundles are the outcome, not {:?}", answer.outcome);
        };
        let item = items.remove(0);
        assert!(items.is_empty());
        let drawn = match (item.bundle_id, item.problem) {
            (Some(bundle), None) => Ok(bundle),
            (None, Some(problem)) => Err(problem),
            other => panic!("either, not {other:?}"),
        };
        (drawn, item.wanted)
    }

    /// Draws a bundle, and what it is told of it.
    pub async fn draw(&self, base: &str, pair: Uuid, pinned: Option<u64>) -> BundleGrant {
        let bundle = self.try_draw(base, pair).await.expect("a bundle");
        let granted = self.client(base).bundle_grant(bundle, pinned).await;
        granted.expect("a grant")
    }

    /// Installs a bundle.
    pub async fn acknowledge(&self, base: &str, grant: &BundleGrant) -> LinkAnswer {
        let acknowledged = Acknowledged {
            bundle: *grant.bundle.id.as_bytes(),
            context: *context(grant).hash(),
        };
        self.tell(base, LinkBody::Acknowledge(vec![acknowledged]))
            .await
    }

    /// Draws a bundle after this number.
    pub async fn draw_after(&self, base: &str, pair: Uuid, draws: u64) -> Uuid {
        self.set_draws(pair, draws);
        self.try_draw(base, pair).await.expect("a bundle")
    }

    /// Gives bundles up, and may leave.
    pub async fn retire(
        &self,
        base: &str,
        bundles: &[(Uuid, Vec<LaneMark>)],
        leaving: bool,
    ) -> LinkAnswer {
        let bundles = bundles.iter().map(|(bundle, lanes)| RetiredBundle {
            bundle: *bundle.as_bytes(),
            lanes: lanes.clone(),
        });
        let retirement = Retirement {
            leaving,
            bundles: bundles.collect(),
        };
        self.tell(base, LinkBody::Retire(retirement)).await
    }

    /// A sign of life that tells of these bundles.
    pub async fn heartbeat(&self, base: &str, bundles: Vec<Uuid>) -> HeartbeatAck {
        let heartbeat = Heartbeat {
            bundles,
            ..Heartbeat::default()
        };
        self.beat(base, &heartbeat).await
    }

    /// A sign of life.
    pub async fn beat(&self, base: &str, heartbeat: &Heartbeat) -> HeartbeatAck {
        let body = LinkBody::Heartbeat(serde_json::to_vec(heartbeat).expect("JSON"));
        match self.tell(base, body).await.outcome {
            Some(LinkOutcome::Heartbeat(ack)) => ack,
            other => panic!("a heartbeat's outcome, not {other:?}"),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Running) -> T) -> T {
        act(self.running.lock().as_mut().expect("it runs"))
    }
}

/// It signs tickets and receipts with its key of now.
impl Sign for TestEndpoint {
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        Self::signature(self, message)
    }
}

/// What a bundle is bound to, as its grant says.
pub fn context(grant: &BundleGrant) -> Context {
    let end = |end: &armour_api::BundleEnd| End {
        party: *end.party_id.as_bytes(),
        endpoint: *end.endpoint_id.as_bytes(),
        key: {
            let bytes = STANDARD.decode(&end.incarnation_key).expect("base64");
            VerifyingKey::from_bytes(&bytes.try_into().expect("32 bytes")).expect("a key")
        },
    };
    Context::new(Binding {
        suite: Suite::from_u8(grant.bundle.suite).expect("a suite"),
        tenant: *grant.tenant_id.as_bytes(),
        pair: *grant.bundle.pair_id.as_bytes(),
        bundle: *grant.bundle.id.as_bytes(),
        draw: grant.draw,
        policy: grant.policy.hash().expect("JSON"),
        consumer: end(&grant.consumer),
        producer: end(&grant.producer),
    })
}

/// Makes proofs with the key of the start that runs.
struct RunningProver(Arc<Mutex<Option<Running>>>);

impl dpop::Prover for RunningProver {
    fn prove(
        &self,
        claims: dpop::Claims,
    ) -> futures::future::BoxFuture<'_, Result<String, dpop::ProofError>> {
        let running = self.0.lock();
        let incarnation = &running.as_ref().expect("it runs").incarnation;
        let key = incarnation.keys().key;
        let signer = incarnation.signer(&key).expect("its key");
        let proof = dpop::sign_with(&key, &claims, |message| signer.signature(message));
        Box::pin(std::future::ready(proof))
    }
}

fn anybody(base: &str) -> Client {
    Client::new(base, "").expect("client")
}
