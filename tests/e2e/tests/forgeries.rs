//! What a stranger can send to the producer's agent: garbage, damaged and
//! repeated messages. Each is refused with 4xx and disturbs no lane.

use armour_api::Policy;
use armour_e2e::{
    ledger::until_reported,
    process::until,
    system::{System, brisk},
};
use rand::{Rng, RngExt};

/// The bodies of the exchanges that were recorded, request bytes alone.
fn requests(wire: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let start = b"POST /armour/v2/exchange";
    let mut at = 0;
    while let Some(next) = find(&wire[at..], start) {
        let head = at + next;
        let Some(end) = find(&wire[head..], b"\r\n\r\n") else {
            break;
        };
        let text = String::from_utf8_lossy(&wire[head..head + end]).to_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let body = head + end + 4;
        found.push(wire[body..(body + length).min(wire.len())].to_vec());
        at = body;
    }
    found
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

async fn send(system: &System, body: Vec<u8>) -> u16 {
    let url = format!("http://{}/armour/v2/exchange", system.producer_address);
    let answer = system.http.post(url).body(body).send().await.unwrap();
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_damaged_messages_get_4xx_and_disturb_no_lane() {
    // What was accepted last stays the last.
    let policy = Policy {
        empty_exchange_interval_ms: 60_000,
        ..brisk()
    };
    let system = System::start(policy).await.unwrap();
    system.hop.record();
    system.get("/echo?id=first").await.unwrap();
    system.get("/echo?id=second").await.unwrap();
    let recorded = requests(&system.hop.recorded());
    assert!(recorded.len() >= 2);
    let last = recorded.last().unwrap();
    let mut rng = rand::rng();
    for length in [0, 1, 2, 150, 152, 300, 5_000] {
        let mut garbage = vec![0; length];
        rng.fill_bytes(&mut garbage);
        let status = send(&system, garbage).await;
        assert!(
            (400..500).contains(&status),
            "{length} bytes of garbage: {status}"
        );
    }
    // Each byte of the frame, and some of the segments, flipped. What repeats the ticket
    // accepted last is answered from the cache, whatever follows it: the answer is sealed to
    // the consumer.
    let frame = 2 + usize::from(u16::from_be_bytes([last[0], last[1]]));
    for at in (0..last.len()).filter(|at| *at < frame || at % 7 == 0) {
        let mut damaged = last.clone();
        damaged[at] ^= 1 << rng.random_range(0..8);
        let status = send(&system, damaged).await;
        let expected = if at < frame { 400..500 } else { 200..201 };
        assert!(expected.contains(&status), "byte {at} flipped: {status}");
    }
    for length in 0..frame {
        let status = send(&system, last[..length].to_vec()).await;
        assert!((400..500).contains(&status), "cut to {length}: {status}");
    }
    // Spent tickets, again.
    for message in &recorded[..recorded.len() - 1] {
        let status = send(&system, message.clone()).await;
        let refused = (400..500).contains(&status);
        assert!(refused || status == 200, "a replay: {status}");
    }
    // No lane has noticed, and nobody was disconnected.
    for number in 0..20 {
        system.get(&format!("/echo?id={number}")).await.unwrap();
    }
    // What the producer took for tickets is reported no later than these.
    until_reported(&system).await.unwrap();
    // nginx writes down in order what it has answered.
    until("the upstream's log", || async {
        system.nginx.requests().unwrap().contains("id=19 ")
    })
    .await
    .unwrap();
    let log = system.nginx.requests().unwrap();
    for id in ["first", "second"] {
        let times = log.matches(&format!("id={id} ")).count();
        assert_eq!(times, 1, "{id} ran {times} times");
    }
    assert_eq!(system.collisions().await.unwrap(), 0);
    let bundles: armour_api::Page<armour_api::Bundle> =
        system.operator.get("/v1/bundles").await.unwrap();
    assert_eq!(bundles.items.len(), 1);
}
