use std::time::Duration;

use armour_api::{Heartbeat, HeartbeatAck, LinkOutcome, Policy};
use armour_protocol::v2::identity::body::LinkBody;
use chrono::DateTime;

use super::*;
use crate::{
    control_plane::testing::{Answer, Asked, ControlPlane, taken},
    producer::{
        testing::{RawApi, producer},
        upstream::Manner,
    },
    testing::ends::Ends,
    wire::http_client::Trust,
};

const MANNER: Manner = Manner {
    http2: false,
    title_case_fields: false,
    timeout: Duration::from_secs(60),
};

fn upstream(base: &str, how: &str) -> Upstream {
    let trust = Trust::new(None).unwrap();
    let server = Server::new(base, MANNER, &trust).unwrap();
    let how = how.parse().unwrap();
    Upstream::Server(Arc::new(server.checked(how, MANNER, &trust)))
}

fn heartbeat(asked: &Asked) -> Option<Heartbeat> {
    match asked.link().body() {
        LinkBody::Heartbeat(body) => Some(serde_json::from_slice(body).unwrap()),
        _ => None,
    }
}

#[test]
fn how_it_is_checked_is_a_word_or_a_path() {
    assert_eq!("off".parse(), Ok(UpstreamCheck::Off));
    assert_eq!("connect".parse(), Ok(UpstreamCheck::Connect));
    let path = UpstreamCheck::Get("/up?of=all".to_owned());
    assert_eq!("/up?of=all".parse(), Ok(path));
    for wrong in ["", "up", "http://127.0.0.1/up", "/ up"] {
        assert!(wrong.parse::<UpstreamCheck>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_api_serves_whose_port_is_open_or_that_answers_well() {
    let api = RawApi::start(|head| {
        let status = match head.contains("get /down ") {
            true => "503 Service Unavailable",
            false => "200 OK",
        };
        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let Upstream::Server(server) = &api.upstream else {
        panic!("it is a server");
    };
    let (host, port) = server.address();
    let base = format!("http://{host}:{port}");
    for how in ["connect", "/up", "off"] {
        assert_eq!(upstream(&base, how).check().await, Ok(()), "{how}");
    }
    let why = upstream(&base, "/down").check().await.unwrap_err();
    assert!(why.contains("503"), "{why}");
    // Nobody listens there.
    for how in ["connect", "/up"] {
        let gone = upstream("http://127.0.0.1:9", how);
        assert!(gone.check().await.is_err(), "{how}");
    }
    assert_eq!(upstream("http://127.0.0.1:9", "off").check().await, Ok(()));
}

/// One lost packet would have all consumers move, and move back.
#[tokio::test]
async fn an_upstream_is_withdrawn_by_two_failures_in_a_row_and_comes_back_by_one_success() {
    let ledger = ControlPlane::start(|_, asked| {
        let ack = HeartbeatAck {
            server_time: DateTime::UNIX_EPOCH,
            bundles: Vec::new(),
            more: None,
            log_behind: false,
            assignments: 0,
        };
        Answer::json(&taken(&asked.link(), LinkOutcome::Heartbeat(ack)))
    })
    .await;
    let ends = Ends::installed(4).await;
    let nowhere = upstream("http://127.0.0.1:9", "connect");
    let (producer, _) = producer(&ends, Policy::default(), nowhere, &ledger).await;
    let down = || Err("nobody listens".to_owned());
    let mut failures = 0;
    for checked in [down(), Ok(()), down(), down(), down(), Ok(())] {
        failures = producer.note_check(checked, failures);
        producer.session.heartbeat(Vec::new()).await.unwrap();
    }
    producer.quiesce(Duration::ZERO).await;
    // What leaves does not serve again.
    producer.note_check(Ok(()), failures);
    producer.session.heartbeat(Vec::new()).await.unwrap();
    let told: Vec<Heartbeat> = ledger.asked().iter().filter_map(heartbeat).collect();
    let phases: Vec<_> = told.iter().map(|one| one.phase).collect();
    let (gone, leaving) = (Some(Phase::NotServing), Some(Phase::Draining));
    assert_eq!(phases, [None, None, None, gone, gone, None, leaving]);
    assert!(told.iter().any(|one| {
        let error = one.error.as_deref().unwrap_or_default();
        error.contains("the upstream does not serve")
    }));
}
