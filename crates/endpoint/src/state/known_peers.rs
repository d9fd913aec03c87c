//! What is known of peers' starts and of pairs' parties, a file for each: so that the enclave
//! never takes an earlier start of a peer than it has seen, nor another party in a pair, in
//! this process or before.

use std::{
    io,
    path::{Path, PathBuf},
};

use armour_enclave::durable::{SHARED, write_whole};
use uuid::Uuid;

/// The folders of these files.
pub struct KnownPeers {
    /// By endpoint.
    pub peers: Known,
    /// By pair.
    pub pairs: Known,
}

/// A folder of files, named by ids.
pub struct Known(PathBuf);

impl KnownPeers {
    /// Makes the folders if there are none.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            peers: Known::open(folder.join("peers"))?,
            pairs: Known::open(folder.join("pairs"))?,
        })
    }
}

impl Known {
    fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// All that is known.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut known = Vec::new();
        for file in std::fs::read_dir(&self.0)? {
            let file = file?;
            // Another name is of a file that was not written to its end.
            let is_known = file.file_name().to_str().map(Uuid::try_parse);
            if let Some(Ok(_)) = is_known {
                known.push(std::fs::read(file.path())?);
            }
        }
        Ok(known)
    }

    /// Keeps what is known of a peer, or of a pair.
    ///
    /// # Errors
    /// If that cannot be promised.
    pub fn keep(&self, id: Uuid, known: &[u8]) -> io::Result<()> {
        write_whole(&self.0.join(id.to_string()), known, SHARED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_last_of_each_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let KnownPeers { peers, pairs } = KnownPeers::open(folder.path()).unwrap();
        assert!(peers.read().unwrap().is_empty());
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        peers.keep(a, b"first").unwrap();
        peers.keep(a, b"second").unwrap();
        peers.keep(b, b"other").unwrap();
        pairs.keep(a, b"pair").unwrap();
        std::fs::write(folder.path().join("peers").join(format!("{a}.new")), "half").unwrap();
        let again = KnownPeers::open(folder.path()).unwrap();
        let mut known = again.peers.read().unwrap();
        known.sort();
        assert_eq!(known, [b"other".to_vec(), b"second".to_vec()]);
        assert_eq!(again.pairs.read().unwrap(), [b"pair".to_vec()]);
    }
}
