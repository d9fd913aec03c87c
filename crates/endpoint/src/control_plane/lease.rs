//! How long an endpoint serves without its control plane.

use std::time::Duration;

use super::{reporter::Reporter, session::Session};

/// Between two looks the control plane may be away for this part of the lease.
const LOOKS: u32 = 8;

/// Whether the control plane has been out of reach for longer than the lease, or has taken no
/// reports for as long.
pub fn is_over(session: &Session, reporter: &Reporter, lease: Duration) -> bool {
    session.silence() > lease || reporter.is_behind(lease)
}

/// Waits until that is so. It is looked for a few times in a lease.
pub async fn over(session: &Session, reporter: &Reporter, lease: Duration) {
    while !is_over(session, reporter, lease) {
        let left = lease.saturating_sub(session.silence());
        let soon = Duration::from_millis(1);
        tokio::time::sleep((left + soon).min(lease / LOOKS)).await;
    }
}
