//! The numbers of a consumer's draws of each pair: each is kept before it is used, so that
//! a draw of a process that has died since is known to be over when it arrives late.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use armour_enclave::durable::{Disk, Os, SHARED, write_whole_on};
use uuid::Uuid;

/// The latest number of each pair, and the file that keeps them.
pub struct Draws<D = Os> {
    file: PathBuf,
    last: BTreeMap<Uuid, u64>,
    disk: D,
}

impl Draws {
    /// As the data folder has them.
    ///
    /// # Errors
    /// If the file cannot be read, or is something else.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("draws");
        let last = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("{} holds no draws: {error}", file.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            file,
            last,
            disk: Os,
        })
    }
}

impl<D: Disk> Draws<D> {
    /// For each of these draws a number that no draw of its pair has had.
    ///
    /// # Errors
    /// If they cannot be kept; then they must not be used.
    pub fn next(&mut self, pairs: &[Uuid]) -> io::Result<Vec<u64>> {
        let mut after = self.last.clone();
        let numbers = pairs.iter().map(|pair| {
            let last = after.entry(*pair).or_default();
            *last = last
                .checked_add(1)
                .ok_or_else(|| io::Error::other("draws have run out"))?;
            Ok(*last)
        });
        let numbers = numbers.collect::<io::Result<_>>()?;
        let bytes = serde_json::to_vec(&after)?;
        write_whole_on(&mut self.disk, &self.file, &bytes, SHARED)?;
        self.last = after;
        Ok(numbers)
    }

    /// Goes on after a number that the control plane knows: the folder was restored.
    pub fn go_on_after(&mut self, pair: Uuid, known: u64) {
        let last = self.last.entry(pair).or_default();
        *last = known.max(*last);
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
        let pair = Uuid::from_u128(1);
        let mut draws = Draws {
            file: PathBuf::from("/data/draws"),
            last: BTreeMap::from([(pair, 6)]),
            disk: Fragile {
                fails: true,
                ..Fragile::default()
            },
        };
        assert!(draws.next(&[pair]).is_err());
        draws.disk.fails = false;
        assert_eq!(draws.next(&[pair]).unwrap(), [7]);
        assert_eq!(
            draws.disk.last, "sync-folder",
            "before the number is handed out"
        );
    }

    #[test]
    fn numbers_go_on_over_restarts_and_never_back() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut draws = Draws::open(folder.path()).unwrap();
        assert_eq!(draws.next(&[a, b, a]).unwrap(), [1, 1, 2]);
        let mut draws = Draws::open(folder.path()).unwrap();
        assert_eq!(draws.next(&[b]).unwrap(), [2]);
        draws.go_on_after(a, 9);
        draws.go_on_after(a, 4);
        assert_eq!(draws.next(&[a, b]).unwrap(), [10, 3]);
        std::fs::write(folder.path().join("draws"), "x").unwrap();
        assert!(Draws::open(folder.path()).is_err());
    }
}
