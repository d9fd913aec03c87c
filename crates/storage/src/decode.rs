//! Reads stored values back into their types.

use std::str::FromStr;

use crate::error::{Result, StorageError};

/// Reads a stored word back into its enumeration.
pub(crate) fn word<T: FromStr>(word: &str) -> Result<T> {
    let value = word.parse();
    value.map_err(|_| StorageError::Corrupt(word.to_owned()))
}

/// Bytes of a fixed length.
pub(crate) fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| corrupt("bytes of another length"))
}

/// A number that is never negative.
pub(crate) fn to_u64(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(corrupt)
}

/// A number as PostgreSQL has it, which knows no unsigned ones.
pub(crate) fn to_i64(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(corrupt)
}

/// Says that a stored value cannot be read.
pub(crate) fn corrupt(error: impl ToString) -> StorageError {
    StorageError::Corrupt(error.to_string())
}
