//! Files that are written whole or not at all, and are still there after a power cut.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Who may read a file besides its owner is left to the process's mask.
pub const SHARED: u32 = 0o666;
/// Its owner alone may read a file.
pub const PRIVATE: u32 = 0o600;

/// Writes a file whole or not at all. Once this returns, neither this process's end nor
/// the machine's takes it back.
///
/// # Errors
/// If that cannot be promised; the file may then be the earlier one or the new one.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_whole_on(&mut Os, path, bytes, mode)
}

/// Appends a line to a file, as durably.
///
/// # Errors
/// If that cannot be promised.
pub fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    Os.sync_folder(folder_of(path))
}

/// What is asked of a file system, one step at a time.
pub trait Disk {
    /// Writes a new file, and waits until what is in it has been stored.
    fn write(&mut self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// Gives a file another name, which may be taken.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a folder have been stored.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// As [`write_whole`], on this disk.
///
/// # Errors
/// As [`write_whole`].
pub fn write_whole_on(
    disk: &mut impl Disk,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let partial = path.with_extension("new");
    disk.write(&partial, bytes, mode)?;
    disk.rename(&partial, path)?;
    disk.sync_folder(folder_of(path))
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Os;

impl Disk for Os {
    fn write(&mut self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        // One that a crash left behind may be somebody else's to read.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Tells what it was asked.
    #[derive(Default)]
    struct Recorder {
        steps: Vec<String>,
    }

    impl Recorder {
        fn step(&mut self, name: &str, path: &Path) -> io::Result<()> {
            self.steps.push(format!("{name} {}", path.display()));
            Ok(())
        }
    }

    impl Disk for Recorder {
        fn write(&mut self, path: &Path, _: &[u8], _: u32) -> io::Result<()> {
            self.step("write", path)
        }

        fn rename(&mut self, _: &Path, to: &Path) -> io::Result<()> {
            self.step("rename", to)
        }

        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.step("sync-folder", folder)
        }
    }

    #[test]
    fn a_file_is_stored_before_it_is_named_and_its_name_before_it_counts() {
        let mut disk = Recorder::default();
        write_whole_on(&mut disk, Path::new("/data/draws"), b"1", SHARED).unwrap();
        assert_eq!(
            disk.steps,
            [
                "write /data/draws.new",
                "rename /data/draws",
                "sync-folder /data"
            ]
        );
        let mut disk = Recorder::default();
        write_whole_on(&mut disk, Path::new("draws"), b"1", SHARED).unwrap();
        assert_eq!(disk.steps.last().unwrap(), "sync-folder .");
    }

    #[test]
    fn a_file_that_a_crash_left_behind_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(folder.path().join("keys.new"), "half").unwrap();
        write_whole(&file, b"whole", PRIVATE).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"whole");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
