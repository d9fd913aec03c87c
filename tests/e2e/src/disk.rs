//! A disk that can be filled: a file system in memory whose size is changed. Needs root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;

/// A mounted file system; gone when dropped.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one of ample size.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn mount(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let disk = Self { at: at.to_owned() };
        disk.run("size=6g,mode=755", false)?;
        Ok(disk)
    }

    /// Makes it as large as what it holds now and not a page more, or ample again.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub fn fill(&self, full: bool) -> anyhow::Result<()> {
        if !full {
            return self.run("remount,size=6g", true);
        }
        let held = rustix::fs::statvfs(&self.at)?;
        let bytes = (held.f_blocks - held.f_bfree) * held.f_frsize;
        // Whoever writes meanwhile makes the new size too small: a little is left over.
        self.run(&format!("remount,size={}", bytes + (256 << 10)), true)
    }

    fn run(&self, options: &str, again: bool) -> anyhow::Result<()> {
        let mut command = Command::new("mount");
        if !again {
            command.args(["-t", "tmpfs", "tmpfs"]);
        }
        let status = command.args(["-o", options]).arg(&self.at).status()?;
        ensure!(status.success(), "mount -o {options} {}", self.at.display());
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it until then.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
