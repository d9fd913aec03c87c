//! The data folder, and that one agent alone uses it: two would be taken for a theft.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

use crate::progress::Progress;

/// How often it is looked whether another agent has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A folder that no other agent uses for as long as this is kept.
#[derive(Debug)]
pub struct DataDirLock {
    _lock: File,
}

impl DataDirLock {
    /// Makes the folder and waits until no other agent uses it.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub async fn take(folder: &Path, progress: &Progress) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("create {}", folder.display()))?;
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _lock: lock }),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
                Err(TryLockError::WouldBlock) if !told => {
                    let folder = folder.display();
                    tracing::warn!(%folder, "another agent uses this folder; waiting until it ends");
                    progress.waits_for("another agent that uses the same data folder");
                    told = true;
                }
                Err(TryLockError::WouldBlock) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_agent_waits_for_the_first_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let progress = Progress::default();
        let first = DataDirLock::take(&folder, &progress).await.unwrap();
        let second = DataDirLock::take(&folder, &progress);
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_secs(60), &mut second).await;
        assert!(waited.is_err());
        assert!(progress.told().contains("another agent"));
        drop(first);
        second.await.unwrap();
    }
}
