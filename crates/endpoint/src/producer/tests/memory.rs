//! What bundles and lanes take of a producer's memory, in its enclave and its proxy. It measures, and
//! takes a minute: `make memory`, whose last line of JSON has the figures.

use armour_enclave::{binding::LaneId, ipc::Accepted};
use armour_protocol::v2::message::SignedTicket;

use super::*;
use crate::producer::exchange::Exchange;

const BUNDLES: u32 = 10_000;
const LANES: u16 = 1_000;

#[tokio::test]
#[ignore = "it measures"]
async fn what_ten_thousand_bundles_and_a_thousand_lanes_take() {
    let policy = Policy {
        max_lanes: LANES.into(),
        ..Policy::default()
    };
    let ledger = taking().await;
    // What is needed once is there.
    let api = Upstream::Here(
        BoxCloneSyncService::new(Router::new()),
        Duration::from_secs(60),
    );
    let (ends, _) = Ends::with_more(LANES, 10).await;
    let (endpoint, held) = limited_producer(&ends, policy.clone(), api, &ledger, None).await;
    let before = resident();
    let (many, others) = Ends::with_more(LANES, BUNDLES).await;
    for (context, gate) in others {
        endpoint
            .bundles
            .adopt(Held::stolen(policy.clone(), context, gate));
    }
    assert_eq!(endpoint.bundles.in_use(), BUNDLES as usize + 1);
    let a_bundle = (resident() - before) / u64::from(BUNDLES);

    let bundle = ends.context.binding().bundle;
    let mut tickets = Vec::new();
    for _ in 0..LANES {
        tickets.push(ends.consumer.open(bundle, None).await.unwrap());
    }
    let before = resident();
    for (lane, head) in tickets {
        let ticket = SignedTicket::from_bytes(&head).unwrap().unverified().body();
        let accepted = ends.producer.accept(LaneId { bundle, lane }, head).await;
        let Ok(Accepted::Answered { receipt, .. }) = accepted else {
            panic!("it is answered at once");
        };
        let exchange = Exchange::answered(ticket, receipt.into());
        held.lanes.lock().accepted(exchange);
    }
    let a_lane = (resident() - before) / u64::from(LANES);
    let figures = serde_json::json!({
        "bundles": BUNDLES, "bundle_bytes": a_bundle, "lanes": LANES, "lane_bytes": a_lane,
    });
    println!("{figures}");
    drop(many);
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}
