//! Files that hold a secret.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use armour_ambient::Random;

/// Reads a secret of 64 hexadecimal digits, made at the first call.
///
/// # Errors
/// If the file cannot be read or made.
pub fn secret(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        let bytes: [u8; 32] = Random::system().bytes();
        write_secret(path, &hex::encode(bytes))?;
    }
    Ok(std::fs::read_to_string(path)?)
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// If it cannot be written.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
