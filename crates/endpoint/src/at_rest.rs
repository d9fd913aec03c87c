//! Payloads at rest: what an application stores on a device is sealed with a key that it
//! keeps in the system's key store (`docs/at-rest.md`).
//!
//! The format is age (<https://age-encryption.org/v1>), X25519 recipients; the library is
//! `age`, and nothing of the cryptography is ours. The clients for Python and TypeScript
//! open what this seals, and so does the `age` command. `age` takes its random bytes from
//! the operating system itself.

use std::{
    fmt,
    io::{self, BufRead, Read, Write},
    iter,
    str::FromStr,
};

use age::{DecryptError, Decryptor, EncryptError, Encryptor, secrecy::ExposeSecret, x25519};
use zeroize::Zeroizing;

/// Bytes that a stream takes in at once: a chunk of the format.
const CHUNK: usize = 64 * 1024;

/// The key of payloads at rest. Its memory is wiped, and it is never printed.
pub struct Key(x25519::Identity);

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtRestError {
    /// The text is no key of payloads at rest.
    #[error("this is not a key: AGE-SECRET-KEY-1 and 58 characters are")]
    NotAKey,
    /// It was sealed with another key.
    #[error("it was sealed with another key")]
    OtherKey,
    /// It is no age file, or was changed or cut since it was sealed.
    #[error("it is not what was sealed: changed, cut off, or no age file")]
    Damaged,
    /// It could not be read or written.
    #[error(transparent)]
    Io(io::Error),
}

impl Key {
    /// Makes a key. Put its [`Key::secret`] into the key store before anything is sealed.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// The key of a secret that the key store gave back.
    ///
    /// # Errors
    /// [`AtRestError::NotAKey`].
    pub fn from_secret(secret: &str) -> Result<Self, AtRestError> {
        let identity = x25519::Identity::from_str(secret.trim());
        identity.map(Self).map_err(|_| AtRestError::NotAKey)
    }

    /// What the key store keeps: `AGE-SECRET-KEY-1…`, 74 characters. Nobody else should
    /// see it.
    pub fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// Seals bytes as an age file, some 200 bytes longer.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn seal(&self, payload: &[u8]) -> Result<Vec<u8>, AtRestError> {
        Ok(age::encrypt(&self.0.to_public(), payload)?)
    }

    /// Opens an age file. The payload's memory is wiped when it is dropped.
    ///
    /// # Errors
    /// [`AtRestError::OtherKey`] or [`AtRestError::Damaged`].
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AtRestError> {
        // A payload is shorter than its file: the buffer never moves, and leaves no copy.
        let mut payload = Zeroizing::new(Vec::with_capacity(sealed.len()));
        self.open_stream(sealed, &mut *payload)?;
        Ok(payload)
    }

    /// Seals a stream as an age file, however long; returns the payload's bytes.
    ///
    /// # Errors
    /// [`AtRestError::Io`]. What was written then is of no use.
    pub fn seal_stream(
        &self,
        payload: impl Read,
        mut sealed: impl Write,
    ) -> Result<u64, AtRestError> {
        let recipient = self.0.to_public();
        let encryptor = Encryptor::with_recipients(iter::once(&recipient as _))?;
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        let length = copy(payload, &mut writer)?;
        writer.finish()?;
        sealed.flush()?;
        Ok(length)
    }

    /// Opens a stream; returns the payload's bytes. Each 64 KiB are genuine as they are
    /// written, but only the return says that none are missing: use none before it.
    ///
    /// # Errors
    /// As [`Key::open`], and [`AtRestError::Io`].
    pub fn open_stream(
        &self,
        sealed: impl BufRead,
        mut payload: impl Write,
    ) -> Result<u64, AtRestError> {
        let decryptor = Decryptor::new_buffered(sealed)?;
        let reader = decryptor.decrypt(iter::once(&self.0 as _))?;
        let length = copy(reader, &mut payload)?;
        payload.flush()?;
        Ok(length)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl From<EncryptError> for AtRestError {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::Io(error) => error.into(),
            // The rest are of recipients that we do not have: plugins, several, passphrases.
            other => Self::Io(io::Error::other(other)),
        }
    }
}

impl From<DecryptError> for AtRestError {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::NoMatchingKeys => Self::OtherKey,
            DecryptError::Io(error) => error.into(),
            _ => Self::Damaged,
        }
    }
}

impl From<io::Error> for AtRestError {
    /// `age` says by these two kinds that a file was changed or cut off.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

/// As [`io::copy`], through a buffer that is wiped.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let mut buffer = Zeroizing::new(vec![0; CHUNK]);
    let mut length = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The examples of the guide are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/at-rest.md")]
struct Guide;

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &[u8] = b"the payload of an order, which nobody else shall read";

    #[test]
    fn what_is_sealed_opens_with_its_key() {
        let key = Key::generate();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let payload = vec![7; length];
            let sealed = key.seal(&payload).unwrap();
            assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
            assert_eq!(*key.open(&sealed).unwrap(), payload, "{length}");
        }
        let sealed = key.seal(PAYLOAD).unwrap();
        assert!(!sealed.windows(8).any(|part| part == &PAYLOAD[..8]));
        assert_ne!(sealed, key.seal(PAYLOAD).unwrap());
    }

    #[test]
    fn a_stream_is_the_same_file() {
        let key = Key::generate();
        let payload = vec![9; 2 * CHUNK + 5];
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        assert_eq!(
            key.seal_stream(&payload[..], &mut sealed).unwrap(),
            payload.len() as u64
        );
        assert_eq!(*key.open(&sealed).unwrap(), payload);
        assert_eq!(
            key.open_stream(&sealed[..], &mut opened).unwrap(),
            payload.len() as u64
        );
        assert_eq!(opened, payload);
    }

    #[test]
    fn the_key_comes_back_from_its_store_and_is_not_printed() {
        let key = Key::generate();
        let secret = key.secret();
        assert_eq!(secret.len(), 74);
        assert!(secret.starts_with("AGE-SECRET-KEY-1"));
        let again = Key::from_secret(&format!("{}\n", *secret)).unwrap();
        assert_eq!(*again.open(&key.seal(PAYLOAD).unwrap()).unwrap(), PAYLOAD);
        assert_eq!(format!("{key:?}"), "Key(…)");
        for wrong in ["", "secret", &secret[..73], &secret[1..]] {
            let refused = Key::from_secret(wrong).map(drop).unwrap_err();
            assert!(matches!(refused, AtRestError::NotAKey), "{wrong}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let sealed = Key::generate().seal(PAYLOAD).unwrap();
        let refused = Key::generate().open(&sealed).unwrap_err();
        assert!(matches!(refused, AtRestError::OtherKey), "{refused:?}");
    }

    /// Of a payload of two chunks, one that ends after the first among them.
    #[test]
    fn what_was_changed_or_cut_off_does_not_open() {
        let key = Key::generate();
        let sealed = key.seal(&vec![1; CHUNK + 100]).unwrap();
        let header = sealed.len() - (CHUNK + 100 + 2 * 16);
        let first = header + CHUNK + 16;
        for length in [
            0,
            5,
            30,
            header - 1,
            header,
            header + 20,
            first,
            sealed.len() - 1,
        ] {
            assert!(key.open(&sealed[..length]).is_err(), "{length}");
        }
        for at in [header + 3, first + 3, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let refused = key.open(&changed).unwrap_err();
            assert!(matches!(refused, AtRestError::Damaged), "{at}: {refused:?}");
        }
        let refused = key.open(&sealed[..first]).unwrap_err();
        assert!(matches!(refused, AtRestError::Damaged), "{refused:?}");
        let refused = key.open(b"no age file at all\n").unwrap_err();
        assert!(matches!(refused, AtRestError::Damaged), "{refused:?}");
    }

    #[test]
    fn a_writer_that_fails_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let refused = Key::generate().seal_stream(PAYLOAD, Full).unwrap_err();
        assert!(matches!(refused, AtRestError::Io(_)), "{refused:?}");
    }
}
