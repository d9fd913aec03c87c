//! A control plane on a real PostgreSQL, with as many replicas as asked for.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a helper of tests fails its test"
)]

use armour_api::{Enrol, NewPair, Pair, Policy, Role, TicketReport};
use armour_client::Client;
use armour_control_plane::{
    auth::{AUDIENCE, Claims},
    config::Config,
    router,
    state::App,
};
use armour_protocol::{
    Suite, envelope,
    ledger::Chain,
    ticket::{NO_PREVIOUS, SignedTicket, Ticket},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use uuid::Uuid;

pub const PLATFORM: &str = "platform-token-of-the-tests-0123456789";

/// A fresh database on the server that `scripts/with-postgres` started.
pub async fn database() -> String {
    let url = std::env::var("ARMOUR_TEST_POSTGRES")
        .expect("ARMOUR_TEST_POSTGRES; run the tests by `make test` or scripts/with-postgres");
    let name = format!("t{}", Uuid::new_v4().simple());
    let pool = sqlx::PgPool::connect(&url).await.expect("connect");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&pool)
        .await
        .expect("create database");
    let (base, _) = url.rsplit_once('/').expect("a database in the URL");
    format!("{base}/{name}")
}

/// Starts a replica; returns its address.
pub async fn replica(database_url: &str) -> String {
    let dir = tempfile::tempdir().expect("tempdir").keep();
    std::fs::write(dir.join("master"), "5a".repeat(32)).expect("write");
    std::fs::write(dir.join("platform"), PLATFORM).expect("write");
    let app = App::start(Config {
        listen: ([127, 0, 0, 1], 0).into(),
        database_url: database_url.into(),
        database_connections: 16,
        master_key_file: dir.join("master"),
        master_key_version: 1,
        platform_token_file: dir.join("platform"),
        console_dir: None,
        migrate: true,
        rate_limit: 100_000,
    })
    .await
    .expect("start");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, router(app)).await });
    address
}

/// An enrolled endpoint of the tests.
pub struct TestEndpoint {
    pub id: Uuid,
    pub tenant: Uuid,
    pub key: SigningKey,
    pub kem_secret: [u8; 32],
}

impl TestEndpoint {
    /// A client that signs as this endpoint.
    pub fn client(&self, base: &str) -> Client {
        Client::new(base, self.token(60)).expect("client")
    }

    pub fn token(&self, life: u64) -> String {
        let now = chrono::Utc::now().timestamp() as u64;
        let claims = Claims {
            sub: self.id,
            tenant: self.tenant,
            aud: AUDIENCE.into(),
            iat: now,
            exp: now + life,
        };
        let der = self.key.to_pkcs8_der().expect("der");
        jsonwebtoken::encode(
            &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA),
            &claims,
            &jsonwebtoken::EncodingKey::from_ed_der(der.as_bytes()),
        )
        .expect("token")
    }
}

/// A tenant with one pair and an endpoint on each side.
pub struct World {
    pub base: String,
    pub tenant: Uuid,
    pub operator: Client,
    token: String,
    pub pair: Pair,
    pub consumer: TestEndpoint,
    pub producer: TestEndpoint,
}

impl World {
    pub async fn new(base: &str, policy: Policy) -> Self {
        let platform = Client::new(base, PLATFORM).expect("client");
        let name = format!("tenant {}", Uuid::new_v4());
        let created = platform.create_tenant(&name).await.expect("tenant");
        let token = created.token;
        let operator = platform.with_token(&token);
        let tenant = created.tenant.id;
        let consumer = operator
            .create_party(Role::Consumer, "shop")
            .await
            .expect("consumer");
        let producer = operator
            .create_party(Role::Producer, "stock")
            .await
            .expect("producer");
        let new = NewPair {
            consumer_id: consumer.id,
            producer_id: producer.id,
            policy,
        };
        let pair = operator.create_pair(&new).await.expect("pair");
        let consumer = enrol(&operator, tenant, Role::Consumer, consumer.id).await;
        let producer = enrol(&operator, tenant, Role::Producer, producer.id).await;
        Self {
            base: base.into(),
            tenant,
            operator,
            token,
            pair,
            consumer,
            producer,
        }
    }
}

impl World {
    pub fn operator_token(&self) -> String {
        self.token.clone()
    }
}

pub async fn enrol(operator: &Client, tenant: Uuid, role: Role, party: Uuid) -> TestEndpoint {
    let token = operator
        .create_enrolment_token(role, party)
        .await
        .expect("token");
    let key = SigningKey::generate(&mut rand::rng());
    let (kem_secret, kem_key) = envelope::generate(&mut rand::rng());
    let enrol = Enrol {
        name: "test".into(),
        signing_key: STANDARD.encode(key.verifying_key().as_bytes()),
        kem_key: STANDARD.encode(kem_key),
        address: (role == Role::Producer).then(|| "http://127.0.0.1:9".into()),
        version: "0".into(),
    };
    let endpoint = operator
        .with_token(token.token)
        .enrol(&enrol)
        .await
        .expect("enrol");
    TestEndpoint {
        id: endpoint.id,
        tenant,
        key,
        kem_secret: *kem_secret,
    }
}

/// A history of signed tickets; `branch` tells forks apart.
pub fn history(
    key: &SigningKey,
    bundle: Uuid,
    lane: u32,
    prefix: &[SignedTicket],
    len: usize,
    branch: u8,
) -> Vec<SignedTicket> {
    let mut all = prefix.to_vec();
    while all.len() < len {
        let n = all.len() as u64;
        let ticket = Ticket {
            suite: Suite::X25519,
            bundle: *bundle.as_bytes(),
            lane,
            n,
            previous: all
                .last()
                .map_or(NO_PREVIOUS, |t: &SignedTicket| t.ticket.hash()),
            share_digest: [branch; 32],
        };
        all.push(ticket.sign(key));
    }
    all
}

pub fn report(tickets: &[SignedTicket], age_ms: u64) -> TicketReport {
    let mut chain = Chain::of(&tickets[0]);
    for pair in tickets.windows(2) {
        assert!(chain.push(&pair[0].ticket, &pair[1]));
    }
    TicketReport {
        bundle_id: Uuid::from_bytes(chain.bundle),
        lane: chain.lane,
        first: chain.first,
        previous: STANDARD.encode(chain.previous.0),
        entries: STANDARD.encode(chain.entries),
        age_ms,
    }
}
