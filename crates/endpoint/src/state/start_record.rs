//! The record of an endpoint's starts, which the enclave makes and the folder keeps: each
//! start is counted in it before it is sent.

use std::{
    io,
    path::{Path, PathBuf},
};

use armour_enclave::durable::{SHARED, write_whole};

/// The file of the record.
pub struct StartRecordFile(PathBuf);

impl StartRecordFile {
    /// The data folder's.
    pub fn of(folder: &Path) -> Self {
        Self(folder.join("starts"))
    }

    /// The record; none before the first start.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.0) {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the record.
    ///
    /// # Errors
    /// If that cannot be promised; then the start that it counts must not be sent.
    pub fn keep(&self, record: &[u8]) -> io::Result<()> {
        write_whole(&self.0, record, SHARED)
    }
}
