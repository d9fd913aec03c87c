//! Calls without protection, which an agent in permissive mode passes on.

use armour_ambient::Random;
use armour_protocol::v2::body::Direction;
use http::header;
use tower::ServiceExt as _;

use super::*;
use crate::{
    producer::plain::{self, Permissive},
    wire::message::{BUNDLE_FIELD, EXCHANGE_PATH},
};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct Plain {
    both: Both,
    permissive: Arc<Permissive>,
    router: Router,
}

impl Plain {
    async fn before(upstream: Upstream) -> Self {
        Self::of(Both::before(upstream).await)
    }

    fn of(both: Both) -> Self {
        let permissive = Permissive::new(Random::seeded(7), Some(3));
        let router = plain::router(both.producer.clone(), permissive.clone());
        Self {
            both,
            permissive,
            router,
        }
    }

    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn a_plain_call_is_passed_to_the_api_marked_and_counted() {
    let mut api = RawApi::start(|_| ANSWER.to_owned()).await;
    let plain = Plain::before(api.upstream.clone()).await;
    let fields = [
        ("host", "shop.example"),
        ("armour-protection", "full"),
        ("armour_protection", "full"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-forwarded-host", "forged"),
    ];
    let answer = plain.ask(request("GET", "/items?of=7", &fields)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await, "ok");
    let head = api.asked().await;
    assert!(head.starts_with("get /items?of=7 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\narmour-protection: none\r\n"), "{head}");
    assert!(
        head.contains("\r\nx-forwarded-host: shop.example\r\n"),
        "{head}"
    );
    for other in ["full", "armour_protection", "x-hop", "forged"] {
        assert!(!head.contains(other), "{head}");
    }
    assert_eq!(plain.permissive.calls(), 1);
}

/// Else whoever breaks a protected call would have it run without protection.
#[tokio::test]
async fn what_claims_to_be_protected_and_fails_is_never_passed_on() {
    let mut api = RawApi::start(|_| ANSWER.to_owned()).await;
    let plain = Plain::before(api.upstream.clone()).await;
    let bundle = plain.both.held.id.to_string();
    let of_bundle = [(BUNDLE_FIELD, bundle.as_str())];
    for (method, path, fields) in [
        ("POST", EXCHANGE_PATH, &[][..]),
        ("GET", EXCHANGE_PATH, &[]),
        ("POST", REKEY_PATH, &[]),
        ("POST", "/armour", &[]),
        ("POST", "/armour/v3/exchange", &[]),
        ("POST", "/items", &of_bundle),
    ] {
        let answer = plain.ask(request(method, path, fields)).await;
        let status = answer.status();
        // 501 is that of another version.
        assert!(status.is_client_error() || status == 501, "{method} {path}");
    }
    // A message of the bundle's own form that nobody signed.
    let frame = plain.both.held.gate.frame(Direction::Request, &[0; 200]);
    let mut forged = request("POST", EXCHANGE_PATH, &of_bundle);
    *forged.body_mut() = Body::from(frame);
    assert!(plain.ask(forged).await.status().is_client_error());
    plain.ask(request("GET", "/armoury", &[])).await;
    let head = api.asked().await;
    assert!(head.starts_with("get /armoury "), "{head}");
}

#[tokio::test]
async fn a_protected_callers_word_of_its_protection_does_not_reach_the_api() {
    let mut api = RawApi::start(|_| ANSWER.to_owned()).await;
    let both = Both::before(api.upstream.clone()).await;
    let request = "GET / HTTP/1.1\r\nhost: api\r\narmour-protection: none\r\n\
        armour_protection: none\r\nconnection: close\r\n\r\n";
    assert!(both.answer(request).await.starts_with("HTTP/1.1 200 "));
    let head = api.asked().await;
    assert!(!head.contains("protection"), "{head}");
}

/// Plain callers need not end their calls.
#[tokio::test]
async fn plain_calls_leave_half_of_the_places_to_protected_ones() {
    let off = Arc::new(Notify::new());
    let places = Arc::new(Semaphore::new(3));
    let plain = Plain::of(Both::with_places(breaking(off), places.clone()).await);
    let answer = plain.ask(request("GET", "/", &[])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let busy = plain.ask(request("GET", "/", &[])).await;
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(places.available_permits(), 2);
}

#[tokio::test]
async fn a_plain_call_has_a_place_is_under_way_until_its_end_and_is_refused_at_the_agents() {
    let off = Arc::new(Notify::new());
    let places = Arc::new(Semaphore::new(1));
    let both = Both::with_places(breaking(off.clone()), places).await;
    let plain = Plain::of(both);
    let answer = plain.ask(request("GET", "/", &[])).await;
    assert_eq!(plain.both.producer.calls(), 1);
    let busy = plain.ask(request("GET", "/", &[])).await;
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(busy).await.contains("urn:armour:problem:busy"));
    off.notify_one();
    assert!(answer.into_body().collect().await.is_err(), "it broke off");
    assert_eq!(plain.both.producer.calls(), 0);
    plain.both.producer.closed.cancel();
    let late = plain.ask(request("GET", "/", &[])).await;
    assert!(
        text(late)
            .await
            .contains("urn:armour:problem:producer-stopping")
    );
}

#[tokio::test]
async fn a_plain_callers_connect_is_refused_and_a_body_is_passed_on_whole() {
    let seen = axum::routing::any(async |body: Bytes| body);
    let both = Both::new(Router::new().fallback_service(seen)).await;
    let plain = Plain::of(both);
    let connect = request("CONNECT", "api:80", &[]);
    assert_eq!(
        plain.ask(connect).await.status(),
        StatusCode::NOT_IMPLEMENTED
    );
    let mut post = request("POST", "/", &[(header::EXPECT.as_str(), "100-continue")]);
    *post.body_mut() = Body::from(vec![7; 300_000]);
    let answer = plain.ask(post).await.into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), vec![7; 300_000]);
}
