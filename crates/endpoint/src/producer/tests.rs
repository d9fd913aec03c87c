//! A producer with its consumer, both in this process.

use std::time::Duration;

use armour_api::Policy;
use axum::{
    Router,
    body::{Body, Bytes},
};
use http::Request;
use http_body_util::BodyExt as _;

use super::{exchange_handler::router, testing::producer};
use crate::{
    consumer::{ingress, testing::consumer},
    control_plane::testing::{Answer, ControlPlane},
    testing::ends::Ends,
};

const MAX_LANES: u32 = 2;

/// An API whose responses break off.
fn breaking() -> Router {
    Router::new().fallback(async || {
        Body::from_stream(async_stream::stream! {
            yield Ok(Bytes::from_static(b"so far"));
            // It is a stream by then.
            tokio::time::sleep(Duration::from_millis(50)).await;
            yield Err(std::io::Error::other("broken"));
        })
    })
}

/// Each answer that is kept is up to 256 KiB, and a bundle has numbers for 65,536 lanes.
#[tokio::test]
async fn calls_that_the_api_breaks_off_leave_no_answers_behind() {
    let control_plane = ControlPlane::start(|_, _| Answer::Json(serde_json::Value::Null)).await;
    let ends = Ends::installed(4).await;
    let policy = Policy {
        max_lanes: MAX_LANES,
        ..Policy::default()
    };
    let (producer, held) = producer(&ends, policy.clone(), breaking(), &control_plane).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(producer)).await });
    let (consumer, bundle) = consumer(&ends, policy, address, &control_plane);
    for _ in 0..3 * MAX_LANES {
        let response = ingress::serve(&consumer, Request::new(Body::empty())).await;
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err());
    }
    bundle.quiet(Duration::from_secs(10)).await;
    let kept = held.lanes.lock().len();
    assert!(kept <= 2 * MAX_LANES as usize, "{kept} lanes");
}
