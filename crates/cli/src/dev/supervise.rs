//! Keeps a process running until told to stop.

use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::servers::process::signal_group;
use crate::terminal::complain;

/// How long a process may take to drain.
const DRAIN: Duration = Duration::from_secs(20);

/// Starts the process, and again whenever it ends, until `stop`; then lets it
/// drain.
pub async fn supervise(name: &'static str, command: impl Fn() -> Command, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Its own group: Ctrl-C reaches us, and we let it drain.
        let started = command().process_group(0).kill_on_drop(true).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                complain!("armour dev: cannot start the {name}: {error}");
                return;
            }
        };
        tokio::select! {
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                complain!("armour dev: the {name} ended ({status}); starting it again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            () = stop.cancelled() => {
                signal_group(&child, Signal::TERM);
                if tokio::time::timeout(DRAIN, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
            }
        }
    }
}
