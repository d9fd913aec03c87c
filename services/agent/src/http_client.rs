//! Plain HTTP to the next hop.

use std::time::Duration;

use axum::body::Body;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// A pooling client.
pub type HttpClient = Client<HttpConnector, Body>;

/// A client with a pool of its own.
pub fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    // A peer that is gone without a word is noticed all the same.
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector.set_tcp_user_timeout(Some(Duration::from_secs(30)));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(15))
        .pool_timer(TokioTimer::new())
        .build(connector)
}
