//! The numbers of a consumer's draws: each is kept before it is used, so that a draw of
//! a process that has died since is known to be over when it arrives late.

use std::{
    io,
    path::{Path, PathBuf},
};

use armour_enclave::durable::{Disk, Os, SHARED, write_whole_on};

/// The latest number, and the file that keeps it.
pub struct IssuanceCounter<D = Os> {
    file: PathBuf,
    last: u64,
    disk: D,
}

impl IssuanceCounter {
    /// As the data folder has it.
    ///
    /// # Errors
    /// If the file cannot be read, or holds no number.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("draws");
        let last = match std::fs::read_to_string(&file) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| io::Error::other(format!("{} holds no number", file.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            file,
            last,
            disk: Os,
        })
    }
}

impl<D: Disk> IssuanceCounter<D> {
    /// A number that no draw has had.
    ///
    /// # Errors
    /// If it cannot be kept; then it must not be used.
    pub fn next(&mut self) -> io::Result<u64> {
        let next = self
            .last
            .checked_add(1)
            .ok_or_else(|| io::Error::other("draws have run out"))?;
        write_whole_on(
            &mut self.disk,
            &self.file,
            next.to_string().as_bytes(),
            SHARED,
        )?;
        self.last = next;
        Ok(next)
    }

    /// Goes on after a number that the control plane knows: the folder was restored.
    pub fn go_on_after(&mut self, last: u64) {
        self.last = self.last.max(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk whose folders can fail to be stored.
    #[derive(Default)]
    struct Fragile {
        fails: bool,
        last: &'static str,
    }

    impl Disk for Fragile {
        fn write(&mut self, _: &Path, _: &[u8], _: u32) -> io::Result<()> {
            self.last = "write";
            Ok(())
        }

        fn rename(&mut self, _: &Path, _: &Path) -> io::Result<()> {
            self.last = "rename";
            Ok(())
        }

        fn sync_folder(&mut self, _: &Path) -> io::Result<()> {
            self.last = "sync-folder";
            match self.fails {
                true => Err(io::Error::other("no power")),
                false => Ok(()),
            }
        }
    }

    #[test]
    fn a_number_whose_name_is_not_stored_is_not_used() {
        let mut counter = IssuanceCounter {
            file: PathBuf::from("/data/draws"),
            last: 6,
            disk: Fragile {
                fails: true,
                ..Fragile::default()
            },
        };
        assert!(counter.next().is_err());
        counter.disk.fails = false;
        assert_eq!(counter.next().unwrap(), 7);
        assert_eq!(
            counter.disk.last, "sync-folder",
            "before the number is handed out"
        );
    }

    #[test]
    fn numbers_go_on_over_restarts_and_never_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut counter = IssuanceCounter::open(folder.path()).unwrap();
        assert_eq!((counter.next().unwrap(), counter.next().unwrap()), (1, 2));
        let mut counter = IssuanceCounter::open(folder.path()).unwrap();
        assert_eq!(counter.next().unwrap(), 3);
        counter.go_on_after(9);
        counter.go_on_after(4);
        assert_eq!(counter.next().unwrap(), 10);
        std::fs::write(folder.path().join("draws"), "x").unwrap();
        assert!(IssuanceCounter::open(folder.path()).is_err());
    }
}
