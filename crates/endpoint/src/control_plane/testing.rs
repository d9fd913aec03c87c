//! What tests of an endpoint's standing share: an enclave in this process, and a control
//! plane that answers as a test says.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

use armour_api::{AnnounceStart, ChainHead, Event, LinkAnswer, LinkOutcome, Problem, Role};
use armour_client::Client;
use armour_enclave::{EnclaveError, ipc::ChainState};
use armour_protocol::v2::{
    body::{Body, BodyHash, Header, Kind},
    context::{Binding, Context, End},
    identity::{
        body::{LinkBody, LinkKind},
        chain::{Answered, Chain, Foreign, InFlight},
        incarnation::Incarnation,
        keep::Keep,
        link::SignedLink,
        mark::{LinkHash, LinkMark},
        start::StartHash,
        starting::{StartRecord, Starting},
    },
    message::Evidence,
    proof::Proof,
    suite::Suite,
};
use axum::{
    Router,
    body::Bytes,
    http::Uri,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use futures::stream;
use parking_lot::Mutex;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::{
    chain::{self, ChainClient},
    enrolment::Identity,
    session::Session,
    signer::{Signed, Signer},
};

pub(crate) const OWN: Identity = Identity {
    id: Uuid::from_u128(1),
    tenant: Uuid::from_u128(2),
    role: Role::Consumer,
};

/// The endpoint's long-term key.
pub(super) fn long_term() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

/// An enclave in this process.
pub(super) struct TestEnclave {
    phase: Mutex<Phase>,
    rng: Mutex<ChaCha20Rng>,
    /// A stranger is at its door.
    pub intruded: Mutex<bool>,
    /// The log's heads that it was told of.
    pub heads: Mutex<Vec<Vec<u8>>>,
}

enum Phase {
    LongTerm,
    Begun(Keep<Starting>),
    Starting(Starting),
    Running(Box<Incarnation>, Links),
    Moving,
}

enum Links {
    Ready(Chain),
    InFlight(Box<InFlight>),
    Foreign(Foreign),
}

impl TestEnclave {
    /// One that has not started.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::LongTerm),
            rng: Mutex::new(ChaCha20Rng::from_seed([3; 32])),
            intruded: Mutex::default(),
            heads: Mutex::default(),
        })
    }

    /// One whose start was accepted, and its announcement.
    pub fn started() -> (Arc<Self>, AnnounceStart) {
        let enclave = Self::new();
        enclave.begin(None).unwrap();
        let start = enclave.kept().unwrap();
        enclave.accepted().unwrap();
        let announcement = AnnounceStart {
            tenant_id: OWN.tenant,
            start: STANDARD.encode(start),
            address: None,
            host: None,
            process: None,
        };
        (enclave, announcement)
    }

    fn moved<T>(
        &self,
        to: impl FnOnce(Phase) -> (Phase, Result<T, EnclaveError>),
    ) -> Result<T, EnclaveError> {
        let mut phase = self.phase.lock();
        let (next, value) = to(std::mem::replace(&mut *phase, Phase::Moving));
        *phase = next;
        value
    }

    fn begin(&self, record: Option<&[u8]>) -> Result<Vec<u8>, EnclaveError> {
        self.moved(|_| {
            let record = match record {
                Some(record) => StartRecord::from_bytes(record).unwrap(),
                None => StartRecord::new(OWN.id.into_bytes()),
            };
            let begun = record.begin(long_term(), &mut *self.rng.lock()).unwrap();
            let bytes = begun.bytes().to_vec();
            (Phase::Begun(begun), Ok(bytes))
        })
    }

    fn kept(&self) -> Result<Vec<u8>, EnclaveError> {
        self.moved(|phase| match phase {
            Phase::Begun(begun) => {
                let starting = begun.kept();
                let start = starting.start().to_bytes();
                (Phase::Starting(starting), Ok(start))
            }
            other => (other, Err(refused("unexpected"))),
        })
    }

    fn accepted(&self) -> Result<Vec<u8>, EnclaveError> {
        self.moved(|phase| match phase {
            Phase::Starting(starting) => {
                let started = starting.accepted();
                let links = Links::Ready(started.chain);
                let running = Phase::Running(Box::new(started.incarnation), links);
                (running, Ok(started.record.to_bytes()))
            }
            other => (other, Err(refused("unexpected"))),
        })
    }

    fn links<T>(
        &self,
        to: impl FnOnce(&mut Incarnation, Links) -> (Links, Result<T, EnclaveError>),
    ) -> Result<T, EnclaveError> {
        self.moved(|phase| match phase {
            Phase::Running(mut incarnation, links) => {
                let (links, value) = to(&mut incarnation, links);
                (Phase::Running(incarnation, links), value)
            }
            other => (other, Err(refused("not-started"))),
        })
    }
}

fn refused(code: &str) -> EnclaveError {
    EnclaveError::Refused(code.to_owned())
}

fn in_flight(link: InFlight) -> (Links, Result<Vec<u8>, EnclaveError>) {
    let bytes = link.link().to_bytes();
    (Links::InFlight(Box::new(link)), Ok(bytes))
}

fn now<T: Send + 'static>(value: Result<T, EnclaveError>) -> Signed<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Signer for TestEnclave {
    fn begin_start(&self, _: [u8; 16], record: Option<Vec<u8>>) -> Signed<'_, Vec<u8>> {
        now(self.begin(record.as_deref()))
    }

    fn start_kept(&self) -> Signed<'_, Vec<u8>> {
        now(self.kept())
    }

    fn start_accepted(&self) -> Signed<'_, Vec<u8>> {
        now(self.accepted())
    }

    fn present(&self, other: [u8; 32]) -> Signed<'_, Vec<u8>> {
        now(self.links(|incarnation, links| {
            let presence = incarnation.present(StartHash(other)).unwrap();
            (links, Ok(presence.to_bytes().to_vec()))
        }))
    }

    fn link(&self, kind: u8, body: Vec<u8>) -> Signed<'_, Vec<u8>> {
        if *self.intruded.lock() && kind != LinkKind::EnclaveIntruder as u8 {
            return now(Err(refused("intruded")));
        }
        let kind = (1..8).find(|number| *number == kind).unwrap();
        let all = [
            LinkKind::Heartbeat,
            LinkKind::Request,
            LinkKind::Acknowledge,
            LinkKind::Disown,
            LinkKind::Retire,
            LinkKind::Renew,
            LinkKind::EnclaveIntruder,
        ];
        let body = LinkBody::from_bytes(all[usize::from(kind) - 1], &body).unwrap();
        now(self.links(|incarnation, links| match links {
            Links::Ready(chain) => match chain.link(body, incarnation) {
                Ok(link) => in_flight(link),
                Err(_) => panic!("it can be signed"),
            },
            other => (other, Err(refused("link-in-flight"))),
        }))
    }

    fn renew(&self) -> Signed<'_, Vec<u8>> {
        now(self.links(|incarnation, links| match links {
            Links::Ready(chain) => match chain.renew(incarnation, &mut *self.rng.lock()) {
                Ok(link) => in_flight(link),
                Err(_) => panic!("it can be signed"),
            },
            other => (other, Err(refused("link-in-flight"))),
        }))
    }

    fn link_answered(&self, k: u64, hash: [u8; 32]) -> Signed<'_, ChainState> {
        let head = LinkMark {
            k,
            hash: LinkHash(hash),
        };
        now(self.links(|incarnation, links| match links {
            Links::InFlight(link) => match link.answered(&head, incarnation) {
                Answered::Taken(chain) => (Links::Ready(chain), Ok(ChainState::Taken)),
                Answered::Waiting(link) => (Links::InFlight(link), Ok(ChainState::Waiting)),
                Answered::Foreign(found) => (Links::Foreign(found), Ok(ChainState::Foreign)),
            },
            other => (other, Err(refused("unexpected"))),
        }))
    }

    fn disown_head(&self) -> Signed<'_, Vec<u8>> {
        now(self.links(|incarnation, links| match links {
            Links::Foreign(found) => match found.disown(incarnation) {
                Ok(link) => in_flight(link),
                Err(_) => panic!("it can be signed"),
            },
            other => (other, Err(refused("unexpected"))),
        }))
    }

    fn log_head(&self, head: Vec<u8>) -> Signed<'_, ()> {
        self.heads.lock().push(head);
        now(Ok(()))
    }
}

/// What the control plane answers to one call.
pub(crate) enum Answer {
    /// This.
    Json(Value),
    /// That it refuses.
    Problem(&'static str, u16),
    /// These events, and the end of the stream.
    Events(Vec<Event>),
    /// The answer is lost on its way.
    Lost,
}

/// What a control plane was asked.
#[derive(Clone)]
pub(crate) struct Asked {
    pub path: String,
    pub body: Bytes,
}

/// A control plane that answers as a test says.
pub(crate) struct ControlPlane {
    pub client: Client,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Answer {
    pub fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_value(value).unwrap())
    }
}

impl Asked {
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The link that was sent.
    pub fn link(&self) -> SignedLink {
        let sent: armour_api::SendLink = self.read();
        SignedLink::from_bytes(&STANDARD.decode(sent.link).unwrap()).unwrap()
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl ControlPlane {
    /// `answer` is given the number of calls before, and the call.
    pub async fn start(answer: impl FnMut(usize, &Asked) -> Answer + Send + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (asked.clone(), Arc::new(Mutex::new(answer)));
        let router = Router::new().fallback(async move |uri: Uri, body: Bytes| {
            let asked = Asked {
                path: uri.to_string(),
                body,
            };
            let before = {
                let mut seen = seen.lock();
                seen.push(asked.clone());
                seen.len() - 1
            };
            let said = || (answer.lock())(before, &asked);
            // A test that fails in here is not to be asked again for ever.
            let said = std::panic::catch_unwind(AssertUnwindSafe(said));
            respond(said.unwrap_or(Answer::Problem("start-ended", 409)))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            client: Client::new(&base, "").unwrap(),
            asked,
        }
    }

    /// An endpoint's standing with it.
    pub fn session(&self) -> Arc<Session> {
        let (enclave, announcement) = TestEnclave::started();
        let chain = ChainClient::begin(chain::Chain {
            client: self.client.clone(),
            signer: enclave.clone(),
            announcement,
        });
        Session::bare(OWN, self.client.clone(), chain, Some(enclave))
    }

    /// All that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Json(value) => axum::Json(value).into_response(),
        Answer::Problem(kind, status) => {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            (
                status,
                axum::Json(Problem::new(kind, status.as_u16(), "as the test says")),
            )
                .into_response()
        }
        Answer::Events(events) => {
            let events = events
                .iter()
                .map(|event| format!("data: {}\n\n", serde_json::to_string(event).unwrap()));
            let sent = [(axum::http::header::CONTENT_TYPE, "text/event-stream")];
            (sent, events.collect::<String>()).into_response()
        }
        Answer::Lost => {
            let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
            axum::body::Body::from_stream(broken).into_response()
        }
    }
}

/// The bundle of what is to be reported.
pub(super) fn bundle() -> [u8; 16] {
    context().binding().bundle
}

pub(super) fn context() -> Arc<Context> {
    let end = |number: u8| End {
        party: [number; 16],
        endpoint: [number; 16],
        key: SigningKey::from_bytes(&[number; 32]).verifying_key(),
    };
    Arc::new(Context::new(Binding {
        suite: Suite::X25519ChaCha20Poly1305,
        tenant: OWN.tenant.into_bytes(),
        pair: [4; 16],
        bundle: [5; 16],
        draw: 1,
        policy: [6; 32],
        consumer: end(7),
        producer: end(8),
    }))
}

/// Three exchanges of lane 0, whose proofs prove nothing.
pub(super) fn exchanges() -> [Evidence; 6] {
    let context = context();
    let previous = BodyHash::opening(&context, 0);
    let t0 = evidence(Kind::Ticket, 0, previous, 0);
    let r0 = receipt_for(&t0, 1);
    let t1 = ticket_after(&r0, 2);
    let r1 = receipt_for(&t1, 3);
    let t2 = ticket_after(&r1, 4);
    let r2 = receipt_for(&t2, 5);
    [t0, r0, t1, r1, t2, r2]
}

pub(super) fn ticket_after(receipt: &Evidence, said: u8) -> Evidence {
    let previous = BodyHash::after(&receipt.body);
    evidence(Kind::Ticket, receipt.body.header.n + 1, previous, said)
}

pub(super) fn receipt_for(ticket: &Evidence, said: u8) -> Evidence {
    let n = ticket.body.header.n;
    evidence(Kind::Receipt, n, ticket.body.hash(), said)
}

fn evidence(kind: Kind, n: u64, previous: BodyHash, said: u8) -> Evidence {
    let header = Header {
        suite: Suite::X25519ChaCha20Poly1305,
        kind,
        bundle: bundle(),
        lane: 0,
        n,
    };
    let mut proof = [said; Proof::MIN_LEN];
    proof[0] = 1;
    Evidence {
        body: Body {
            header,
            previous,
            rest: [said; 32],
        },
        proof: Proof::from_bytes(&proof).unwrap(),
    }
}

/// An event about this endpoint.
pub(super) fn event(seq: i64, kind: &str, detail: Value) -> Event {
    Event {
        seq,
        kind: kind.to_owned(),
        pair_id: None,
        bundle_id: None,
        endpoint_id: Some(OWN.id),
        detail,
        created_at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// The answer that a link was taken.
pub(crate) fn taken(link: &SignedLink, outcome: LinkOutcome) -> LinkAnswer {
    LinkAnswer {
        head: head(link.mark()),
        ended: false,
        outcome: Some(outcome),
    }
}

pub(super) fn head(mark: LinkMark) -> ChainHead {
    ChainHead {
        k: mark.k,
        hash: STANDARD.encode(mark.hash.0),
    }
}
