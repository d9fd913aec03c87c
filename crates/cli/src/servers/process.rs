//! Child processes: until they listen, and how they are signalled.

use std::{net::SocketAddr, time::Duration};

use anyhow::bail;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{net::TcpStream, process::Child};

/// Waits until a child takes connections.
///
/// # Errors
/// If it ends before, or does not within the time.
pub async fn wait_until_listening(
    child: &mut Child,
    address: SocketAddr,
    within: Duration,
) -> anyhow::Result<()> {
    let connected = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        biased;
        status = child.wait() => bail!("ended: {}", status?),
        () = connected => Ok(()),
        () = tokio::time::sleep(within) => bail!("is not up after {} s", within.as_secs()),
    }
}

/// Sends a signal to the group of a child that leads one.
pub fn signal_group(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw) {
        // It may be gone by now; that is what was wanted.
        let _ = kill_process_group(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, process::Command};

    use super::*;

    #[tokio::test]
    async fn a_child_that_ends_is_not_waited_for() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut child = Command::new("false").spawn().unwrap();
        let hour = Duration::from_secs(3600);
        let ended = wait_until_listening(&mut child, address, hour).await;
        assert_eq!(ended.unwrap_err().to_string(), "ended: exit status: 1");
    }

    #[tokio::test]
    async fn a_child_that_listens_is_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut child = Command::new("sleep")
            .arg("3600")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let hour = Duration::from_secs(3600);
        wait_until_listening(&mut child, address, hour)
            .await
            .unwrap();
    }
}
