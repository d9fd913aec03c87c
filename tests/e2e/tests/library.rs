//! The endpoint as a library: a client and a tower layer, with no agent between.

use armour_api::{NewPair, Role};
use armour_e2e::{
    process::{program, until},
    system::{System, brisk},
};
use armour_endpoint::{Client, Consumer, Producer, Settings};
use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{get, post},
};
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use tower::{Layer, Service};

struct Pair {
    consumer: Consumer,
    client: Client,
    producer: Producer,
    address: String,
    pair: uuid::Uuid,
    _folder: tempfile::TempDir,
}

/// A consumer and a producer in this process, of parties of their own.
async fn pair(system: &System, api: Router) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let operator = &system.operator;
    let (shop, stock) = (
        operator
            .create_party(Role::Consumer, "shop in a process")
            .await
            .unwrap(),
        operator
            .create_party(Role::Producer, "stock in a process")
            .await
            .unwrap(),
    );
    let new = NewPair {
        consumer_id: shop.id,
        producer_id: stock.id,
        policy: brisk(),
    };
    let pair = operator.create_pair(&new).await.unwrap().id;
    let mut settings = Vec::new();
    for (role, party) in [(Role::Consumer, shop.id), (Role::Producer, stock.id)] {
        let token = operator.create_enrolment_token(role, party).await.unwrap();
        let file = folder.path().join(format!("{}-token", role.into_str()));
        std::fs::write(&file, token.token).unwrap();
        settings.push(
            Settings::new(&system.control, folder.path().join(role.into_str()))
                .enrol_token_file(file)
                .enclave_program(program("armour-agent").unwrap()),
        );
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let producer = settings.pop().unwrap().producer(&address).await.unwrap();
    let protected = Router::new()
        .route("/health", get(async || "open to all"))
        .fallback_service(producer.layer().layer(api));
    tokio::spawn(async move { axum::serve(listener, protected).await });
    let consumer = settings.pop().unwrap().consumer().await.unwrap();
    let client = consumer.client(None).await.unwrap();
    until("a protected call", || async {
        client
            .get("/ready")
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await
    .unwrap();
    Pair {
        consumer,
        client,
        producer,
        address,
        pair,
        _folder: folder,
    }
}

fn api() -> Router {
    Router::new()
        .route("/ready", get(async || "ready"))
        .route(
            "/sum",
            post(async |axum::Json(numbers): axum::Json<Vec<u64>>| {
                numbers.iter().sum::<u64>().to_string()
            }),
        )
        .route(
            "/large",
            post(async |request: Request| Body::new(request.into_body())),
        )
        .route(
            "/header",
            get(async |headers: HeaderMap| headers["x-asked"].as_bytes().to_vec()),
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_and_a_layer_speak_to_each_other_protected() {
    let system = System::start(brisk()).await.unwrap();
    let made = pair(&system, api()).await;
    let Pair {
        client, address, ..
    } = &made;
    let sum = client.post("/sum").json(&[1, 2, 39]).send().await.unwrap();
    assert_eq!(sum.text().await.unwrap(), "42");
    let header = client
        .get("/header")
        .header("x-asked", "told")
        .send()
        .await
        .unwrap();
    assert_eq!(header.text().await.unwrap(), "told");
    assert_eq!(client.get("/nothing").send().await.unwrap().status(), 404);
    // As it comes, both ways, far more than is ever held.
    let piece = vec![7u8; 100_000];
    let stream = futures::stream::repeat(piece)
        .take(300)
        .map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(stream);
    let answer = client.post("/large").body(body).send().await.unwrap();
    let mut length = 0;
    let mut content = answer.bytes_stream();
    while let Some(piece) = content.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, 30_000_000);
    // As a service, for whatever is built of those.
    let request = http::Request::get("/ready").body(Body::empty()).unwrap();
    let answer = client.clone().call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // Nothing of it is served without a seal.
    for (path, status) in [("/ready", 404), ("/sum", 404), ("/health", 200)] {
        let plain = system
            .http
            .get(format!("{address}{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(plain.status(), status, "{path}");
    }
    let client = made.client.clone();
    made.consumer.drain().await;
    made.producer.drain().await;
    // What has ended serves nothing any more.
    let late = client.get("/ready").send().await.unwrap();
    assert_eq!(late.status(), 503);
    let why = late.text().await.unwrap();
    assert!(why.contains("urn:armour:problem:stopping"), "{why}");
    // Every exchange is in the ledger.
    let bundles = format!("/v1/bundles?pair_id={}", made.pair);
    let bundles: armour_api::Page<armour_api::Bundle> =
        system.operator.get(&bundles).await.unwrap();
    assert!(bundles.items[0].exchanges >= 6, "{bundles:?}");
    assert_eq!(system.collisions().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_pair_is_refused_with_a_problem() {
    let system = System::start(brisk()).await.unwrap();
    let made = pair(&system, api()).await;
    let path = format!("/v1/pairs/{}/disconnect", made.pair);
    let reason = armour_api::Reason {
        reason: "test".into(),
    };
    let _: armour_api::Pair = system.operator.post(&path, &reason).await.unwrap();
    until("the refusal", || async {
        let answer = made.client.get("/ready").send().await.unwrap();
        answer.status() == 503
            && answer
                .text()
                .await
                .unwrap()
                .contains("urn:armour:problem:disconnected")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn without_an_enclave_it_does_not_start() {
    let refused = Settings::new("http://127.0.0.1:9", "/nowhere")
        .consumer()
        .await;
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("armour_endpoint::enclave()"), "{error}");
}
