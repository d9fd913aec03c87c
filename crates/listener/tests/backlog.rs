//! More connections at once than the listener has had a turn to accept.

use std::{net::SocketAddr, time::Duration};

use futures::future::try_join_all;
use tokio::net::TcpStream;

/// How long anything may take that is waited for, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Four times the default of the standard library and of tokio.
const AT_ONCE: usize = 512;

/// With 128 places, whoever came 130th was told nothing and tried again for minutes.
#[tokio::test]
async fn whoever_comes_while_nobody_accepts_has_a_place_to_wait() {
    let cap = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let cap: usize = cap
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(AT_ONCE);
    armour_listener::raise_file_limit();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = armour_listener::bind(any).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| TcpStream::connect(address);
    let waiting = try_join_all((0..AT_ONCE.min(cap)).map(connect));
    let waiting = tokio::time::timeout(PATIENCE, waiting).await;
    waiting.unwrap().unwrap();
}
