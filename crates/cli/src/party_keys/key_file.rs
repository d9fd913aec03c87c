//! A signing key in a file: PKCS #8 in PEM (RFC 8410), as `openssl genpkey -algorithm ed25519`
//! writes it too.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::terminal::complain;
use anyhow::{Context as _, bail};
use armour_ambient::Random;
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use zeroize::Zeroizing;

/// Far more than a key takes.
const MAX_LEN: u64 = 16 * 1024;

/// Makes a key in a new file that its owner alone may read. It outlives a power cut once
/// this returns.
///
/// # Errors
/// If there is such a file, which stays as it is, or if it cannot be written.
pub(super) fn create(path: &Path, random: &Random) -> anyhow::Result<SigningKey> {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret);
    let key = SigningKey::from_bytes(&secret);
    // Without the public half, which only PKCS #8 of the second version has: not all read it.
    let pair = KeypairBytes {
        secret_key: *secret,
        public_key: None,
    };
    let pem = pair.to_pkcs8_pem(LineEnding::LF);
    let pem = pem.map_err(|why| anyhow::anyhow!("write the key as PEM: {why}"))?;
    match write_new(path, pem.as_bytes()) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists, and a key is never overwritten: endpoints may be certified by it",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("write {}", path.display())),
    }
}

/// Reads a key.
///
/// # Errors
/// If the file cannot be read or holds no Ed25519 key.
pub(super) fn read(path: &Path) -> anyhow::Result<SigningKey> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("read the key {shown}"))?;
    let mut pem = Zeroizing::new(String::with_capacity(MAX_LEN as usize));
    file.take(MAX_LEN)
        .read_to_string(&mut pem)
        .with_context(|| format!("read the key {shown}"))?;
    // Its error says nothing of what is in the file.
    SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| {
        anyhow::anyhow!("{shown} is no Ed25519 private key in PEM (PKCS #8, not encrypted)")
    })
}

/// Warns of a key that every user of the machine may read.
pub(super) fn warn_if_open(path: &Path) {
    let mode = fs::metadata(path).map(|one| one.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        let shown = path.display();
        complain!("armour: warning: every user of this machine may read the key {shown}");
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is nobody's.
        let _ = fs::remove_file(path);
        return written;
    }
    let folder = path.parent().filter(|one| !one.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("party.pem");
        let key = create(&file, &Random::seeded(1)).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read(&file).unwrap().to_bytes(), key.to_bytes());
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("party.pem");
        let key = create(&file, &Random::seeded(1)).unwrap();
        let refused = create(&file, &Random::seeded(2)).unwrap_err().to_string();
        assert!(refused.contains("never overwritten"), "{refused}");
        assert_eq!(read(&file).unwrap().to_bytes(), key.to_bytes());
        let nowhere = folder.path().join("none/party.pem");
        assert!(create(&nowhere, &Random::seeded(2)).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("party.pem");
        assert!(read(&file).is_err());
        let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let binary: &[u8] = &[0xff, 0xfe];
        for wrong in [b"".as_slice(), b"hello", binary, secret.as_bytes()] {
            fs::write(&file, wrong).unwrap();
            let refused = format!("{:#}", read(&file).unwrap_err());
            assert!(!refused.contains("c2Vj"), "{refused}");
        }
    }
}
