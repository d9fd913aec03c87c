//! When a program is asked to stop.

use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// Waits for SIGTERM or SIGINT.
pub async fn requested() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = ctrl_c() => {}
        },
        Err(_) => {
            let _ = ctrl_c().await;
        }
    }
}
