//! The data folder, and that one agent alone uses it: two would be taken for a theft.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use anyhow::Context as _;

/// A folder that no other agent uses for as long as this is kept.
pub struct DataDirLock {
    _lock: File,
}

impl DataDirLock {
    /// Makes the folder and waits until no other agent uses it.
    ///
    /// # Errors
    /// If it cannot be made or locked.
    pub fn take(folder: &Path) -> anyhow::Result<Self> {
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
        let locked = match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let folder = folder.display();
                tracing::warn!(%folder, "another agent uses this folder; waiting until it ends");
                lock.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        locked.with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn a_second_agent_waits_for_the_first_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let first = super::DataDirLock::take(&folder).unwrap();
        let second = std::thread::spawn(move || super::DataDirLock::take(&folder).map(drop));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }
}
