//! Where a drill's streams run.

use super::api::Api;
use crate::system::{Setup, System, brisk};

/// The agents before an API of the drill's own, with so many lanes.
pub async fn system(api: &Api, max_lanes: u32) -> anyhow::Result<System> {
    let mut policy = brisk();
    policy.max_lanes = max_lanes;
    System::set_up(Setup {
        policy,
        agents_log: "info",
        upstream: Some(api.address),
        upstream_http2: api.http2,
        ..Setup::default()
    })
    .await
}
