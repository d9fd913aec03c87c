//! A control plane on a real PostgreSQL, with as many replicas as asked for.

mod endpoint;
pub mod issuer;
mod lane;
mod line;
pub mod pgbouncer;
mod problems;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use armour_ambient::{Ambient, Clock};
use armour_api::{Enrol, NewPair, Pair, Policy, Role};
use armour_client::Client;
use armour_control_plane::{
    app::{App, openapi_document, router},
    config::Config,
};
use armour_protocol::v2::envelope;
use armour_storage::{Connections, Server};
use axum::middleware;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Parser;
use ed25519_dalek::SigningKey;
use sqlx::PgConnection;
use uuid::Uuid;

pub use endpoint::{TestEndpoint, context};
pub use lane::{TestBundle, mark};
pub use line::{Streaming, sub_receipt};

pub const PLATFORM: &str = "platform-token-of-the-tests-0123456789";

/// A fresh database on the server that `scripts/with-postgres` started, for its owner, which
/// tests look at it as. Replicas serve as [`serving`].
pub async fn database() -> String {
    let url = std::env::var("ARMOUR_TEST_POSTGRES")
        .expect("ARMOUR_TEST_POSTGRES; run the tests by `make test` or scripts/with-postgres");
    let name = format!("t{}", Ambient::system().opaque_id().simple());
    let pool = sqlx::PgPool::connect(&url).await.expect("connect");
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&pool)
        .await
        .expect("create database");
    let (base, _) = url.rsplit_once('/').expect("a database in the URL");
    format!("{base}/{name}")
}

/// The same database, for the role that serves.
pub fn serving(database_url: &str) -> String {
    database_url.replacen("//armour@", "//armour_service@", 1)
}

/// How the database is reached as the role that serves.
pub fn connections(database_url: &str, most: u32) -> Connections {
    let server = Server::parse(&serving(database_url)).expect("a URL");
    Connections {
        most,
        wait: PATIENCE,
        ..Connections::new(server)
    }
}

/// Two master keys of the tests, by version.
pub const MASTER_KEYS: [&str; 2] = [
    "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
    "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3",
];

/// How long anything may take that is waited for, on a machine that has other things to do:
/// no test passes or fails by how long it does take.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Starts a replica; returns its address.
pub async fn replica(database_url: &str) -> String {
    replica_with(database_url, &[]).await
}

/// Starts a replica with more options, workers included; returns its address.
pub async fn replica_with(database_url: &str, more: &[&str]) -> String {
    let app = app_with(database_url, more).await.expect("start");
    // They end with the test's runtime.
    app.start_jobs().detach_all();
    serve(app).await
}

/// A replica's state, with options as on the command line.
pub async fn app_with(database_url: &str, more: &[&str]) -> anyhow::Result<App> {
    app_in(database_url, more, Ambient::system()).await
}

/// Surroundings whose clock stands at the time that it is now, until it is moved.
pub fn still() -> Ambient {
    let mut ambient = Ambient::system();
    ambient.clock = Clock::fixed(ambient.now());
    ambient
}

/// A replica's state, with a clock that the test may move. The time is the database's
/// again with each look at it, as [`App::start`] and the jobs take.
pub async fn app_in(database_url: &str, more: &[&str], ambient: Ambient) -> anyhow::Result<App> {
    let dir = tempfile::tempdir()?.keep();
    std::fs::write(dir.join("platform"), PLATFORM)?;
    let platform = dir.join("platform").display().to_string();
    let mut patient = Vec::new();
    let serving = serving(database_url);
    let mut line = vec!["control-plane"];
    if !more.contains(&"--database-url") {
        line.extend(["--database-url", &serving]);
    }
    if serving != database_url {
        line.extend(["--migrate", "--database-owner-url", database_url]);
    }
    // As patient as the tests.
    for limit in [
        "statement-timeout",
        "lock-timeout",
        "pool-wait",
        "idle-timeout",
    ] {
        let option = format!("--database-{limit}-ms");
        if !more.contains(&&*option) {
            patient.extend([option, PATIENCE.as_millis().to_string()]);
        }
    }
    line.extend(patient.iter().map(String::as_str));
    line.extend(["--platform-token-file", &platform]);
    if !more.contains(&"--rate-limit") {
        line.extend(["--rate-limit", "100000"]);
    }
    // Endpoints of these tests send no signs of life of their own.
    if !more.contains(&"--endpoint-lost-after-s") {
        line.extend(["--endpoint-lost-after-s", "3600"]);
    }
    let first = format!("1:{}", MASTER_KEYS[0]);
    if !more.contains(&"--master-keys") {
        line.extend(["--master-keys", &first]);
    }
    line.extend(more);
    App::start(Config::try_parse_from(line)?, ambient).await
}

/// Serves a replica; returns its address.
pub async fn serve(app: App) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    let declared = Arc::new(problems::declared());
    let router = router(app).layer(middleware::from_fn_with_state(declared, problems::check));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// How a test's request authenticates.
#[derive(Clone, Copy)]
pub enum As<'a> {
    Nobody,
    Bearer(&'a str),
    Endpoint(&'a TestEndpoint),
}

/// Sends a request; status, headers, body.
pub async fn call(
    who: As<'_>,
    method: &str,
    url: &str,
    body: Option<&serde_json::Value>,
) -> (u16, reqwest::header::HeaderMap, String) {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("client");
    let mut request = http.request(method.parse().expect("method"), url);
    match who {
        As::Nobody => {}
        As::Bearer(token) => request = request.bearer_auth(token),
        As::Endpoint(endpoint) => {
            let base = url.split("/v1/").next().expect("base");
            let token = endpoint.access_token(base).await;
            request = request
                .header("dpop", endpoint.proof(method, url, Some(&token)))
                .header("authorization", format!("DPoP {token}"));
        }
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let streams = headers
        .get("content-type")
        .is_some_and(|kind| kind == "text/event-stream");
    // A stream of events does not end.
    let text = match streams {
        true => String::new(),
        false => answer.text().await.expect("a body"),
    };
    (status, headers, text)
}

/// The OpenAPI document's routes: method and path.
pub fn routes() -> Vec<(String, String)> {
    let document: serde_json::Value =
        serde_json::from_str(&openapi_document().expect("document")).expect("json");
    let paths = document["paths"].as_object().expect("paths");
    let routes = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations");
        operations
            .keys()
            .map(|method| (method.to_uppercase(), path.clone()))
    });
    routes.collect()
}

/// The database itself, as the service's role, bound to a tenant.
pub async fn bound(database_url: &str, tenant: Uuid) -> sqlx::PgConnection {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(database_url)
        .await
        .expect("connect");
    sqlx::query("SELECT set_config('armour.tenant', $1, false)")
        .bind(tenant.to_string())
        .execute(&mut connection)
        .await
        .expect("bind");
    connection
}

/// Waits until so many transactions wait for a lock, or what was started is over.
pub async fn wait_for(connection: &mut PgConnection, waiting: i64, over: &AtomicBool) {
    until("transactions that wait", async || {
        let waits: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("ask");
        (waits >= waiting || over.load(Ordering::SeqCst)).then_some(())
    })
    .await;
}

/// Locks rows until a transaction of the test's ends: those of a table whose column is this id.
pub async fn hold(held: &mut PgConnection, rows: &str, id: Uuid) {
    let statement = format!("SELECT 1 FROM {rows} = $1 FOR UPDATE");
    let done = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .execute(held)
        .await
        .expect("lock");
    assert!(done.rows_affected() > 0, "there is something to hold");
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
        let name = format!("tenant {}", Ambient::system().opaque_id());
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
        let consumer = enrol(&operator, Role::Consumer, consumer.id).await;
        let producer = enrol(&operator, Role::Producer, producer.id).await;
        consumer.start(base).await;
        producer.serve(base).await;
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
    /// A new bundle of the pair.
    pub async fn bundle(&self) -> TestBundle<'_> {
        let grant = self.consumer.draw(&self.base, self.pair.id, None).await;
        TestBundle::of(&grant, &self.consumer, &self.producer)
    }

    pub fn operator_token(&self) -> String {
        self.token.clone()
    }
}

/// Enrols an endpoint, which has yet to start.
pub async fn enrol(operator: &Client, role: Role, party: Uuid) -> TestEndpoint {
    let token = operator
        .create_enrolment_token(role, party)
        .await
        .expect("token");
    enrol_with(&operator.with_token(token.token), role)
        .await
        .expect("enrol")
}

/// An address that no other endpoint of these tests has, and where nobody listens.
fn unused_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, b, c, d] = NEXT.fetch_add(1, Ordering::SeqCst).to_be_bytes();
    format!("http://127.{b}.{c}.{d}:9")
}

/// Enrols an endpoint with keys of its own; the client's token is an enrolment
/// token.
pub async fn enrol_with(
    client: &Client,
    role: Role,
) -> Result<TestEndpoint, armour_client::ClientError> {
    let mut random = Ambient::system().random.generator();
    let key = SigningKey::generate(&mut random);
    let (kem_secret, kem_key) = envelope::generate(&mut random);
    drop(random);
    let enrol = Enrol {
        name: "test".into(),
        signing_key: STANDARD.encode(key.verifying_key().as_bytes()),
        kem_key: STANDARD.encode(kem_key),
        address: (role == Role::Producer).then(unused_address),
        version: "0".into(),
    };
    let endpoint = client.enrol(&enrol).await?;
    Ok(TestEndpoint::new(&endpoint, key, *kem_secret))
}
